"""vLLM where it and a GPU are there: one engine a base, adapters loaded on demand, all requests in its own batch.

Written against vLLM's AsyncLLM; in this project's tests only the arguments it is called with are checked, as no machine
of theirs has vLLM.
"""

import asyncio
import itertools
import json
import logging
import threading
from collections.abc import AsyncIterator, Generator, Iterator
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from twin_assets.core.errors import ModelError, first_line
from twin_serving.engines.base_models import end_tokens
from twin_serving.engines.streaming import Generation, Piece, pieces, room_for

logger = logging.getLogger(__name__)

# Adapters in GPU memory and beside it, and the largest rank they may have.
GPU_ADAPTERS, CPU_ADAPTERS, RANK = 8, 64, 64


def engine_arguments(base: Path) -> dict[str, Any]:
    """What AsyncEngineArgs is given for a base."""
    return {
        "model": str(base), "tokenizer": str(base), "trust_remote_code": False, "load_format": "safetensors",
        "enable_lora": True, "max_loras": GPU_ADAPTERS, "max_cpu_loras": CPU_ADAPTERS, "max_lora_rank": RANK,
        "enable_prefix_caching": True, "disable_log_stats": True,
    }  # fmt: skip


def sampling_arguments(generation: Generation, limit: int, ends: set[int]) -> dict[str, Any]:
    """What SamplingParams is given for a generation; stop strings are looked for by our own rule."""
    return {
        "max_tokens": limit, "temperature": generation.temperature, "top_p": generation.top_p,
        "seed": generation.seed, "stop_token_ids": sorted(ends), "detokenize": False,
    }  # fmt: skip


def fits(adapter: Path) -> bool:
    """Whether vLLM serves an adapter: plain LoRA of a rank that is reserved for."""
    try:
        said = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    more = said.get("modules_to_save") or said.get("use_dora") or said.get("bias", "none") != "none"
    return not more and said.get("peft_type") == "LORA" and said.get("r", 0) <= RANK


class VllmModel:
    """A base in vLLM, driven by an event loop in a thread of its own. Raises what vLLM raises."""

    def __init__(self, base: Path) -> None:
        from transformers import AutoTokenizer, GenerationConfig
        from vllm import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM

        self.tokenizer: Any = AutoTokenizer.from_pretrained(base, local_files_only=True, trust_remote_code=False)
        said = (base / "generation_config.json").is_file()
        self.ends = end_tokens(GenerationConfig.from_pretrained(base) if said else GenerationConfig(), self.tokenizer)
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, name="vllm", daemon=True).start()
        self._numbers: dict[Path, int] = {}
        self._requests = itertools.count()
        self._lock = threading.Lock()

        async def load() -> Any:
            return AsyncLLM.from_engine_args(AsyncEngineArgs(**engine_arguments(base)))

        try:
            self.engine = asyncio.run_coroutine_threadsafe(load(), self.loop).result()
        except Exception:
            self.loop.call_soon_threadsafe(self.loop.stop)
            raise
        self.context = int(self.engine.model_config.max_model_len)

    def tokens(self, prompt: list[int], limit: int, generation: Generation, adapter: Path | None) -> Generator[int]:
        """The tokens that follow the prompt; closing it ends the request."""
        from vllm import SamplingParams
        from vllm.lora.request import LoRARequest
        from vllm.sampling_params import RequestOutputKind

        lora = None
        if adapter is not None:
            with self._lock:
                number = self._numbers.setdefault(adapter, len(self._numbers) + 1)
            lora = LoRARequest(lora_name=str(adapter), lora_int_id=number, lora_path=str(adapter))
        sampling = SamplingParams(
            **sampling_arguments(generation, limit, self.ends), output_kind=RequestOutputKind.DELTA
        )
        answers = self.engine.generate(
            {"prompt_token_ids": prompt}, sampling, request_id=str(next(self._requests)), lora_request=lora
        )
        yield from streamed(answers, self.loop, generation.seconds)


def streamed(answers: AsyncIterator[Any], loop: asyncio.AbstractEventLoop, seconds: float) -> Generator[int]:
    """The tokens of vLLM's answers, which come in another thread's loop; closing it closes them, after `seconds` too.

    Raises ModelError.
    """
    queue: SimpleQueue[list[int] | Exception | None] = SimpleQueue()

    async def run() -> None:
        try:
            async with asyncio.timeout(seconds):
                async for answer in answers:
                    queue.put(list(answer.outputs[0].token_ids))
            queue.put(None)
        except TimeoutError:
            queue.put(None)
        except Exception as error:  # raised again by the thread that waits
            queue.put(error)

    future = asyncio.run_coroutine_threadsafe(run(), loop)
    try:
        while (found := queue.get()) is not None:
            if isinstance(found, Exception):
                raise ModelError(f"Generating failed: {first_line(found)}.") from found
            yield from found
    finally:
        future.cancel()


class VllmEngine:
    """A base in vLLM with one adapter or with none."""

    def __init__(self, model: VllmModel, adapter: Path | None) -> None:
        self.model = model
        self.adapter = adapter

    @property
    def context(self) -> int:
        """Tokens that prompt and answer may have together."""
        return self.model.context

    def generate(self, generation: Generation) -> Iterator[Piece]:
        """Pieces of the answer; the last has `finish`. Raises InputError where the prompt does not fit."""
        from twin_assets.core.prompts import encode_prompt

        prompt = encode_prompt(self.model.tokenizer, generation.messages)
        limit = room_for(generation, len(prompt), self.context)
        tokens = self.model.tokens(prompt, limit, generation, self.adapter)
        yield from pieces(tokens, self.model.tokenizer, self.model.ends, len(prompt), generation.stop)


class VllmEngines:
    """Makes the engine of the first base that asks; one base fills a GPU, so that others are left to other engines."""

    def __init__(self) -> None:
        self._model: tuple[Path, VllmModel] | None = None
        self._failed: set[Path] = set()
        self._lock = threading.Lock()

    def __call__(self, base_folder: Path, adapter: Path | None) -> VllmEngine | None:
        """The engine, None where vLLM or a GPU is missing or the adapter is of a kind that vLLM does not serve."""
        if not available() or (adapter is not None and not fits(adapter)):
            return None
        with self._lock:
            if self._model is None and base_folder not in self._failed:
                self._load(base_folder)
            if self._model is None:
                return None
            base, model = self._model
        return VllmEngine(model, adapter) if base == base_folder else None

    def _load(self, base: Path) -> None:
        try:
            self._model = base, VllmModel(base)
        except Exception as error:  # whatever it is, the reference can serve; loading again would take as long again
            logger.warning("vLLM cannot load the base model in %s, other engines serve: %s", base, first_line(error))
            self._failed.add(base)


def available() -> bool:
    """Whether vLLM is installed and a GPU is there."""
    if find_spec("vllm") is None:
        return False
    import torch

    return bool(torch.cuda.is_available())
