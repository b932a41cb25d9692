"""Engines: what turns messages into text. One small protocol, and the reference engine (transformers + PEFT).

A base model is loaded once; the adapters of all authors on it are loaded on demand and switched per request.
This module knows nothing about authors, the registry or HTTP.
"""

import itertools
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from twin_assets.core.errors import InputError, ModelError
from twin_serving.streaming import Generation, TextStream, first_line

# Weights smaller than this gain nothing from bfloat16 and are served as they were trained.
SMALL_WEIGHTS_BYTES = 200_000_000
DEFAULT_MAX_TOKENS = 512


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
                f"The base model in {folder} cannot be loaded ({first_line(error)}); train or download it again."
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
                    f"The adapter in {folder} does not fit its base model ({first_line(error)}); train it again."
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
    stream = TextStream(base.model, base.tokenizer, torch.tensor([prompt], device=base.device), generation, limit)
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
