"""The reference engine: transformers. Right for every family, with adapters of many authors in one batch.

A base model is loaded once; adapters are loaded on demand and leave, least recently used first, when together they are
larger than allowed. One that is in use never leaves.
"""

import itertools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from twin_assets.core.errors import ModelError, first_line
from twin_serving.composing.budget import CONTEXT_NAMES
from twin_serving.engines.base_models import can_batch, end_tokens, forward_arguments, load_base
from twin_serving.engines.batching import Batch, Decoder, Row
from twin_serving.engines.lora import LoraLayers, LoraWeights, linear_layers, read_lora
from twin_serving.engines.one_by_one import generated
from twin_serving.engines.peft_adapters import PeftAdapters
from twin_serving.engines.streaming import Generation, Piece, pieces, room_for

ADAPTER_BYTES = 1_000_000_000


@dataclass(eq=False)
class Adapter:
    """A loaded adapter. weights: a plain LoRA's, which shares batches with others; users: generations that need it."""

    name: str
    size: int
    weights: LoraWeights | None
    users: int = 0


class Base:
    """A loaded base model with its tokenizer and the adapters on it."""

    def __init__(self, folder: Path, adapter_bytes: int = ADAPTER_BYTES) -> None:
        import torch

        self.folder = folder
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.adapter_bytes = adapter_bytes
        self.adapters: OrderedDict[str, Adapter] = OrderedDict()
        self.tokenizer, model = load_base(folder, self.device)
        self.ends = end_tokens(model.generation_config, self.tokenizer)
        self.dtype = model.dtype
        self._lock = threading.RLock()
        self._names = itertools.count()
        self._linear = linear_layers(model)
        self._lora: LoraLayers | None = None
        self._peft = PeftAdapters(model)
        self._arguments = forward_arguments(model)
        self.decoder = Decoder(lambda: Batch(self._forward, self.device)) if can_batch(model) else None

    @property
    def model(self) -> Any:
        """The model, with PEFT's wrapper where an adapter needs that."""
        return self._peft.model

    @property
    def context(self) -> int:
        """Tokens the model's positions reach."""
        config = self.model.config
        for name in CONTEXT_NAMES:
            if isinstance(getattr(config, name, None), int):
                return int(getattr(config, name))
        return 2048

    @contextmanager
    def using(self, folder: Path | None) -> Iterator[tuple[Adapter | None, float | None]]:
        """(adapter, seconds it took to load or None where it was there); it stays loaded until the end of the with."""
        if folder is None:
            yield None, None
            return
        key, seconds = str(folder.resolve()), None
        with self._lock:
            adapter = self.adapters.get(key)
            if adapter is None:
                start = time.perf_counter()
                adapter = self.load(folder)
                seconds = time.perf_counter() - start
                self.adapters[key] = adapter
            self.adapters.move_to_end(key)
            adapter.users += 1
            self._make_room()
        try:
            yield adapter, seconds
        finally:
            with self._lock:
                adapter.users -= 1
                self._make_room()

    def _make_room(self) -> None:
        for key, adapter in list(self.adapters.items())[:-1]:
            if sum(each.size for each in self.adapters.values()) <= self.adapter_bytes:
                return
            if adapter.users == 0:
                del self.adapters[key]
                if adapter.weights is None:
                    self._alone(partial(self._peft.delete, adapter.name))

    def _alone(self, change: Callable[[], Any]) -> Any:
        """Change the model while nothing is computed with it."""
        return change() if self.decoder is None else self.decoder.call(change)

    def load(self, folder: Path) -> Adapter:
        """The adapter in the folder. Raises ModelError."""
        if not (folder / "adapter_model.safetensors").is_file():
            raise ModelError(f"There is no adapter_model.safetensors in {folder}; train this version again.")
        name = f"adapter{next(self._names)}"
        try:
            weights = read_lora(folder, self._linear, self.dtype, self.device)
            if weights is None:
                return Adapter(name, self._alone(lambda: self._peft.load(folder, name)), None)
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise ModelError(
                f"The adapter in {folder} does not fit its base model ({first_line(error)}); train it again."
            ) from error
        if self._lora is None:
            self._lora = self._alone(lambda: LoraLayers(self._linear))
        return Adapter(name, weights.size, weights)

    def _forward(self, tokens: Any, mask: Any, positions: Any, cache: Any, adapters: Sequence[Adapter | None]) -> Any:
        """Scores of the token after each row's last, as the decoder asks for them."""
        arguments = dict(self._arguments)
        self.use(adapters)
        if "position_ids" in arguments:
            arguments["position_ids"] = positions
        output = self.model(
            input_ids=tokens, attention_mask=mask, past_key_values=cache, use_cache=True, return_dict=True, **arguments
        )
        return output.logits[:, -1]

    def use(self, adapters: Sequence[Adapter | None]) -> None:
        """Have the model compute with each row's adapter; one that is more than plain LoRA is every row's."""
        first = adapters[0]
        alone = first is not None and first.weights is None
        self._peft.use(first.name if first is not None and alone else None)
        if self._lora is not None:
            self._lora.set([None if each is None else each.weights for each in adapters])

    def tokens(self, prompt: list[int], limit: int, generation: Generation, adapter: Adapter | None) -> Generator[int]:
        """The tokens that follow the prompt: decoded in a batch, or one generation after the other where none fits."""
        if self.decoder is None:
            return self._one_by_one(prompt, limit, generation, adapter)
        key = "mixed" if adapter is None or adapter.weights is not None else adapter.name
        return self.decoder.tokens(Row(prompt, limit, self.ends, generation, adapter, key))

    def _one_by_one(
        self, prompt: list[int], limit: int, generation: Generation, adapter: Adapter | None
    ) -> Generator[int]:
        asked = time.monotonic()
        with self._lock:
            left = max(0.0, generation.seconds - (time.monotonic() - asked))
            self.use([adapter])
            yield from generated(
                self.model, self.tokenizer, self.ends, prompt, limit, replace(generation, seconds=left)
            )


class TransformersEngine:
    """One base with one adapter or with none; made per request."""

    def __init__(self, base: Base, adapter: Path | None) -> None:
        self.base = base
        self.adapter = adapter
        with base.using(adapter) as (_, seconds):  # what cannot be loaded is said now
            self._swap_seconds = seconds

    @property
    def context(self) -> int:
        """Tokens that prompt and answer may have together."""
        return self.base.context

    def generate(self, generation: Generation) -> Iterator[Piece]:
        """Pieces of the answer; the last has `finish`. Raises InputError where the prompt does not fit."""
        from twin_assets.core.prompts import encode_prompt

        base = self.base
        prompt = encode_prompt(base.tokenizer, generation.messages)
        limit = room_for(generation, len(prompt), base.context)
        with base.using(self.adapter) as (adapter, seconds):
            tokens = base.tokens(prompt, limit, generation, adapter)
            swap_seconds = seconds or self._swap_seconds
            for piece in pieces(tokens, base.tokenizer, base.ends, len(prompt), generation.stop):
                yield piece if swap_seconds is None else replace(piece, swap_seconds=swap_seconds)


class TransformersEngines:
    """Makes the reference engine for any base; at most `max_bases` bases stay loaded, least recently used leave."""

    def __init__(self, max_bases: int = 3, adapter_bytes: int = ADAPTER_BYTES) -> None:
        self.max_bases = max_bases
        self.adapter_bytes = adapter_bytes
        self.bases: OrderedDict[str, Base] = OrderedDict()
        self._lock = threading.Lock()
        self._loading: dict[str, threading.Lock] = {}  # kept for bases that left: one may just be loaded again

    def __call__(self, base_folder: Path, adapter: Path | None) -> TransformersEngine:
        """The engine; the base is loaded where it is not, while others go on being used. Raises ModelError."""
        key = str(base_folder.resolve())
        with self._lock:
            loading = self._loading.setdefault(key, threading.Lock())
        with loading:
            base = self.bases.get(key) or Base(base_folder, self.adapter_bytes)
            with self._lock:
                self.bases[key] = base
                self.bases.move_to_end(key)
                while len(self.bases) > self.max_bases:
                    self.bases.popitem(last=False)
        return TransformersEngine(base, adapter)
