"""Engines: what turns messages into text. One small protocol, and the pool that chooses an engine for a model version.

Knows nothing about authors, the registry or HTTP; the engines themselves live in modules of their own.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from twin_assets.core.errors import ModelError
from twin_assets.settings import Settings
from twin_serving.engines.streaming import Generation, Piece


class Engine(Protocol):
    """Generates text with one model. Thread-safe: many generations run at once, and an engine batches inside."""

    @property
    def context(self) -> int:
        """Tokens that prompt and answer may have together."""

    def generate(self, generation: Generation) -> Iterator[Piece]:
        """Pieces of the answer; the last has `finish`. Closing the iterator ends the generation.

        Raises InputError where the prompt does not fit and ModelError where generating fails, both at the first piece
        or later.
        """


# (base folder, adapter folder or None) to an engine for it, or None where this kind of engine has none. It keeps what
# it loaded for as long as it sees fit: an engine is asked for anew for every request.
EngineMaker = Callable[[Path, Path | None], Engine | None]


def engine_makers(settings: Settings) -> list[EngineMaker]:
    """The kinds of engines in the order they are asked; the reference engine, which can everything, is the last."""
    from twin_serving.engines.onnx_engine import OnnxEngines
    from twin_serving.engines.transformers_engine import TransformersEngines
    from twin_serving.engines.vllm_engine import VllmEngines

    reference = TransformersEngines(adapter_bytes=settings.adapter_memory_mb * 1_000_000)
    if settings.engine == "reference":
        return [reference]
    return [VllmEngines(), OnnxEngines(settings.export_memory_mb * 1_000_000), reference]


class EnginePool:
    """The engine for a base and an adapter: the first that a maker has."""

    def __init__(self, makers: Sequence[EngineMaker]) -> None:
        self.makers = makers

    def engine(self, base_folder: Path, adapter: Path | None) -> Engine:
        """The engine for this base and adapter, loading what is not loaded. Raises ModelError."""
        for maker in self.makers:
            engine = maker(base_folder, adapter)
            if engine is not None:
                return engine
        raise ModelError(f"No engine can serve the model in {adapter or base_folder}; see the settings of engines.")
