"""Engines: what turns messages into text. One small protocol, and the reference engine (transformers + PEFT).

A base model is loaded once; the adapters of all authors on it are loaded on demand and switched per request.
This module knows nothing about authors, the registry or HTTP.
"""

import itertools
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal, Protocol

from twin_assets.core.errors import InputError, ModelError

# Weights smaller than this gain nothing from bfloat16 and are served as they were trained.
SMALL_WEIGHTS_BYTES = 200_000_000
DEFAULT_MAX_TOKENS = 512


@dataclass(frozen=True, slots=True)
class Generation:
    """What to generate: messages as {"role", "content"}; temperature 0 is greedy; seed None draws anew each time."""

    messages: Sequence[dict[str, str]]
    max_tokens: int | None = None
    temperature: float = 0.7
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    seconds: float = 240.0


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of the answer as it comes; the token counts are those so far, `finish` is set on the last piece."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish: Literal["stop", "length"] | None = None


class Engine(Protocol):
    """Generates text with one model; engines are used by one request at a time."""

    @property
    def context(self) -> int:
        """Tokens that prompt and answer may have together."""

    def generate(self, generation: Generation) -> Iterator[Piece]:
        """Pieces of the answer; the last has `finish`. Raises InputError where the prompt does not fit."""


class Base:
    """A loaded base model with its tokenizer and the adapters on it (LRU, at most `max_adapters`)."""

    def __init__(self, folder: Path, max_adapters: int = 16) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.folder = folder
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        # Held while the model is used or changed: an adapter is never swapped under a running generation.
        self.lock = threading.RLock()
        self.adapters: OrderedDict[str, str] = OrderedDict()
        self.max_adapters = max_adapters
        self._names = itertools.count()
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            model: Any = AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=_dtype(folder, self.device),
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
            )
        except (OSError, ValueError) as error:
            raise ModelError(
                f"The base model in {folder} cannot be loaded ({_first_line(error)}); train or download it again."
            ) from error
        self.model: Any = model.to(self.device).eval()
        self.plain = True  # no adapter wrapper yet

    @property
    def context(self) -> int:
        """Tokens the model's positions reach."""
        config = self.model.config
        for name in ("max_position_embeddings", "n_positions", "n_ctx", "seq_length"):
            if isinstance(getattr(config, name, None), int):
                return int(getattr(config, name))
        return 2048

    def load_adapter(self, folder: Path) -> str:
        """Load an adapter (nothing happens where it is loaded) and return its name inside the model."""
        from peft import PeftModel

        with self.lock:
            key = str(folder.resolve())
            if key in self.adapters:
                self.adapters.move_to_end(key)
                return self.adapters[key]
            if not (folder / "adapter_model.safetensors").is_file():
                raise ModelError(f"There is no adapter_model.safetensors in {folder}; train this version again.")
            name = f"adapter{next(self._names)}"
            try:
                if self.plain:
                    self.model = PeftModel.from_pretrained(self.model, folder, adapter_name=name).eval()
                    self.plain = False
                else:
                    self.model.load_adapter(folder, adapter_name=name)
            except (OSError, ValueError, RuntimeError, KeyError) as error:
                raise ModelError(
                    f"The adapter in {folder} does not fit its base model ({_first_line(error)}); train it again."
                ) from error
            self.adapters[key] = name
            while len(self.adapters) > self.max_adapters:
                self.model.delete_adapter(self.adapters.popitem(last=False)[1])
            return name


class TransformersEngine:
    """The reference engine: transformers' generate() on a shared base, with one adapter or with none."""

    def __init__(self, base: Base, adapter: Path | None) -> None:
        self.base = base
        self.adapter = adapter
        if adapter is not None:
            base.load_adapter(adapter)

    @property
    def context(self) -> int:
        """Tokens that prompt and answer may have together."""
        return self.base.context

    def generate(self, generation: Generation) -> Iterator[Piece]:
        """Pieces of the answer; the last has `finish`. Raises InputError where the prompt does not fit."""
        with ExitStack() as stack:
            stack.enter_context(self.base.lock)
            if self.adapter is not None:
                # Not set_adapter's default: that would turn gradients on for the adapter.
                self.base.model.set_adapter(self.base.load_adapter(self.adapter), inference_mode=True)
            elif not self.base.plain:
                stack.enter_context(self.base.model.disable_adapter())
            yield from _pieces(self.base, generation)


def _pieces(base: Base, generation: Generation) -> Iterator[Piece]:
    import torch

    from twin_assets.core.prompts import encode_prompt

    prompt = encode_prompt(base.tokenizer, generation.messages)
    room = base.context - len(prompt)
    if room < 1:
        raise InputError(
            f"The messages have {len(prompt)} tokens and the model reads {base.context}; "
            "shorten them to leave room for an answer."
        )
    limit = min(generation.max_tokens or DEFAULT_MAX_TOKENS, room)
    stream = _Stream(base, torch.tensor([prompt], device=base.device), generation, limit)
    held = ""
    for text in stream:
        held += text
        cut = _stop_at(held, generation.stop)
        if cut is not None:
            stream.cancel()
            yield Piece(held[:cut], len(prompt), stream.tokens, "stop")
            return
        ready = len(held) - _possible_stop(held, generation.stop)
        if ready:
            yield Piece(held[:ready], len(prompt), stream.tokens)
            held = held[ready:]
    yield Piece(held, len(prompt), stream.tokens, "length" if stream.cut_off else "stop")


class _Stream:
    """Runs generate() in a thread and iterates over its text; an error in the thread is raised here.

    Closing the iteration early ends the generation after the token that is being computed. It is its own streamer:
    transformers' holds text back to the next space, and a stop string would be seen that much later.
    """

    def __init__(self, base: Base, prompt: Any, generation: Generation, limit: int) -> None:
        import torch
        from transformers import StoppingCriteriaList

        self.tokens = 0
        self.cut_off = False
        self._base = base
        self._ends = _end_tokens(base)
        self._queue: SimpleQueue[int | None] = SimpleQueue()
        self._prompt_seen = False
        self._cancelled = threading.Event()
        self._error: Exception | None = None
        arguments: dict[str, Any] = {
            "input_ids": prompt,
            "attention_mask": torch.ones_like(prompt),
            "max_new_tokens": limit,
            "max_time": generation.seconds,
            "pad_token_id": base.tokenizer.pad_token_id,
            "eos_token_id": sorted(self._ends) or None,
            "stopping_criteria": StoppingCriteriaList([self._stop]),
            "streamer": self,
            **_sampling(generation),
        }
        self._thread = threading.Thread(target=self._run, args=(arguments, generation.seed), daemon=True)

    def __iter__(self) -> Iterator[str]:
        self._thread.start()
        ids: list[int] = []
        shown = 0  # tokens whose text has been given
        try:
            while (token := self._queue.get()) is not None:
                self.tokens += 1
                self.cut_off = token not in self._ends
                ids.append(token)
                # A few tokens of what was shown stay in front: how a token reads can depend on the one before.
                kept = max(0, shown - 4)
                fresh = self._decode(ids[kept:])[len(self._decode(ids[kept:shown])) :]
                if fresh and not fresh.endswith("\ufffd"):  # which may be a character that is still incomplete
                    shown = len(ids)
                    yield fresh
            kept = max(0, shown - 4)
            yield self._decode(ids[kept:])[len(self._decode(ids[kept:shown])) :]
        finally:
            self.cancel()
            self._thread.join()
        if self._error is not None:
            raise ModelError(f"Generating failed: {_first_line(self._error)}.") from self._error

    def put(self, value: Any) -> None:
        """Called by generate() with the prompt, then with each token."""
        if self._prompt_seen:
            self._queue.put(int(value[-1]))
        self._prompt_seen = True

    def end(self) -> None:
        """Called by generate() after the last token."""
        self._queue.put(None)

    def cancel(self) -> None:
        """Ask the generation to end."""
        self._cancelled.set()

    def _decode(self, ids: list[int]) -> str:
        return str(self._base.tokenizer.decode(ids, skip_special_tokens=True))

    def _run(self, arguments: dict[str, Any], seed: int | None) -> None:
        import torch

        try:
            if seed is None:
                torch.seed()
            else:
                torch.manual_seed(seed)
            with torch.inference_mode():
                self._base.model.generate(**arguments)
        except Exception as error:  # raised again by the iterating thread
            self._error = error
            self.end()

    def _stop(self, ids: Any, _scores: Any, **_: Any) -> Any:
        import torch

        return torch.full((ids.shape[0],), self._cancelled.is_set(), device=ids.device, dtype=torch.bool)


def _sampling(generation: Generation) -> dict[str, Any]:
    if generation.temperature == 0:
        return {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    return {"do_sample": True, "temperature": generation.temperature, "top_p": generation.top_p, "top_k": 0}


def _end_tokens(base: Base) -> set[int]:
    """Ids that end an answer: the model's own list and the tokenizer's end of sequence."""
    configured = base.model.generation_config.eos_token_id
    ends = set(configured if isinstance(configured, list) else [configured])
    return {int(token) for token in ends | {base.tokenizer.eos_token_id} if token is not None}


def _stop_at(text: str, stops: tuple[str, ...]) -> int | None:
    found = [position for stop in stops if (position := text.find(stop)) >= 0]
    return min(found) if found else None


def _possible_stop(text: str, stops: tuple[str, ...]) -> int:
    """Length of the longest ending of the text that a stop string may still begin with."""
    lengths = (n for stop in stops for n in range(1, len(stop)) if text.endswith(stop[:n]))
    return max(lengths, default=0)


def _dtype(folder: Path, device: str) -> Any:
    import torch

    if device == "cuda":
        return torch.bfloat16
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    fast = bool(torch.cpu._is_avx512_bf16_supported())
    return torch.bfloat16 if fast and size >= SMALL_WEIGHTS_BYTES else torch.float32


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


class EnginePool:
    """Engines by (base folder, adapter folder); at most `max_bases` bases stay loaded, least recently used leave."""

    def __init__(self, max_bases: int = 3, max_adapters: int = 16) -> None:
        self.max_bases = max_bases
        self.max_adapters = max_adapters
        self._bases: OrderedDict[str, Base] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def full(self) -> bool:
        """Whether loading another base would make one leave."""
        return len(self._bases) >= self.max_bases

    def engine(self, base_folder: Path, adapter: Path | None) -> Engine:
        """The engine for this base and adapter, loading what is not loaded. Raises ModelError."""
        key = str(base_folder.resolve())
        with self._lock:
            base = self._bases.get(key)
            if base is None:
                base = Base(base_folder, self.max_adapters)
                self._bases[key] = base
                while len(self._bases) > self.max_bases:
                    self._bases.popitem(last=False)
            self._bases.move_to_end(key)
        return TransformersEngine(base, adapter)
