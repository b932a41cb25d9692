"""The fast engine for CPUs: a version's export (merged, 8 bits) run by onnxruntime; rows join and leave its batch.

The graph reads rows of different lengths, each at its own place in buffers of keys and values that it writes itself,
so a step copies nothing. Versions without an export that serves are left to the reference engine.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from twin_assets.core.serving_export import FOLDER, GRAPH, Export, read_export
from twin_serving.engines.batching import Decoder, Row
from twin_serving.engines.streaming import Generation, Piece, pieces, room_for

logger = logging.getLogger(__name__)

# An export that answered this recently does not leave for another, so that many twins do not push each other out.
RESTING_SECONDS = 60.0

Array = npt.NDArray[Any]


class OnnxModel:
    """A loaded export. Raises what onnxruntime raises where it cannot be loaded."""

    def __init__(self, base_folder: Path, folder: Path, export: Export) -> None:
        import onnxruntime
        from transformers import AutoTokenizer

        self.export = export
        self.tokenizer: Any = AutoTokenizer.from_pretrained(base_folder, local_files_only=True, trust_remote_code=False)
        self.session: Any = onnxruntime.InferenceSession(str(folder / GRAPH), providers=["CPUExecutionProvider"])
        inputs = {each.name: each for each in self.session.get_inputs()}
        self.positions = "position_ids" in inputs
        # (name it is read from, name it is written to, heads, size of a head) of every layer's keys and values
        self.kept = [
            (name, name.replace("past_key_values.", "present."), int(each.shape[1]), int(each.shape[3]))
            for name, each in inputs.items() if name.startswith("past_key_values.")
        ]  # fmt: skip
        self.vocabulary = int(next(each for each in self.session.get_outputs() if each.name == "logits").shape[2])
        self.ends = set(export.ends)
        self.decoder = Decoder(lambda: OnnxBatch(self))
        self.used = time.monotonic()

    @property
    def context(self) -> int:
        """Tokens that prompt and answer may have together."""
        return self.export.context

    def buffers(self, rows: int, length: int) -> list[Array]:
        """Keys and values [rows, heads, length, size] of every layer; memory is taken as it is written to."""
        return [np.empty((rows, heads, length, size), np.float32) for _, _, heads, size in self.kept]


class OnnxBatch:
    """Rows that decode together; what batching.Batch is for transformers."""

    def __init__(self, model: OnnxModel) -> None:
        self.model = model
        self.rows: list[Row] = []
        self._kept: list[Array] = []
        self._lengths: list[int] = []  # tokens of each row that are in the buffers
        self._binding: Any = None  # of the buffers as they are now

    def read(self, rows: list[Row]) -> None:
        """Begin the batch with these rows: read their prompts, one after the other, and give each its first token."""
        self._make_room(len(rows), max(len(row.prompt) + row.limit for row in rows))
        for row in rows:
            at, count = len(self.rows), len(row.prompt)
            self.rows.append(row)
            self._lengths.append(count)
            tokens = np.array([row.prompt], np.int64)
            row.put(choose(self._run(self._bound(at, at + 1), tokens, [count]), [row])[0])
        self._leave()

    def step(self) -> None:
        """Give every row its next token; rows that end leave."""
        self._leave()
        if not self.rows:
            return
        self._lengths = [length + 1 for length in self._lengths]
        self._binding = self._binding or self._bound(0, len(self.rows))
        scores = self._run(self._binding, np.array([[row.last] for row in self.rows], np.int64), self._lengths)
        for row, token in zip(self.rows, choose(scores, self.rows), strict=True):
            row.put(token)
        self._leave()

    def take(self, other: "OnnxBatch") -> None:
        """Take in the rows of another batch."""
        if not other.rows:
            return
        if not self.rows:
            self.rows, self._kept, self._lengths = other.rows, other._kept, other._lengths
        else:
            here = len(self.rows)
            self._make_room(here + len(other.rows), other._kept[0].shape[2])
            for mine, theirs in zip(self._kept, other._kept, strict=True):
                for index, length in enumerate(other._lengths):
                    mine[here + index, :, :length] = theirs[index, :, :length]
            self.rows, self._lengths = [*self.rows, *other.rows], [*self._lengths, *other._lengths]
        self._binding = None

    def _make_room(self, rows: int, length: int) -> None:
        """Buffers of at least so many rows and so many tokens each."""
        held_rows, held_length = (self._kept[0].shape[0], self._kept[0].shape[2]) if self._kept else (0, 0)
        if rows <= held_rows and length <= held_length:
            return
        # Twice as many rows as before, so that those that come one by one are not copied each time.
        fresh = self.model.buffers(max(rows, 2 * held_rows), max(length, held_length))
        for new, old in zip(fresh, self._kept, strict=False):
            for index, used in enumerate(self._lengths):
                new[index, :, :used] = old[index, :, :used]
        self._kept, self._binding = fresh, None

    def _leave(self) -> None:
        """Let go of rows that have ended; the last row takes the place of one that goes."""
        for index in range(len(self.rows) - 1, -1, -1):
            row = self.rows[index]
            if not row.ended:
                continue
            row.output.put(None)
            last, length = self.rows.pop(), self._lengths.pop()
            if last is not row:
                self.rows[index], self._lengths[index] = last, length
                for kept in self._kept:
                    kept[index, :, :length] = kept[len(self.rows), :, :length]
            self._binding = None
        if not self.rows:
            self._kept, self._lengths = [], []

    def _bound(self, first: int, end: int) -> Any:
        """A binding of these rows' buffers: read from and written to in place."""
        binding = self.model.session.io_binding()
        for (past, present, *_), kept in zip(self.model.kept, self._kept, strict=True):
            part = kept[first:end]
            binding.bind_input(past, "cpu", 0, np.float32, part.shape, part.ctypes.data)
            binding.bind_output(present, "cpu", 0, np.float32, part.shape, part.ctypes.data)
        return binding

    def _run(self, binding: Any, tokens: Array, lengths: Sequence[int]) -> Array:
        """Scores [rows, vocabulary] of the token after each row's last; lengths: of the rows with these tokens."""
        ends = np.array(lengths, np.int64)[:, None]
        scores = np.empty((len(tokens), 1, self.model.vocabulary), np.float32)
        binding.bind_cpu_input("input_ids", tokens)
        binding.bind_cpu_input("attention_mask", (np.arange(ends.max()) < ends).astype(np.int64))
        if self.model.positions:
            binding.bind_cpu_input("position_ids", ends - tokens.shape[1] + np.arange(tokens.shape[1]))
        binding.bind_output("logits", "cpu", 0, np.float32, scores.shape, scores.ctypes.data)
        self.model.session.run_with_iobinding(binding)
        return scores[:, 0]


def choose(scores: Array, rows: Sequence[Row]) -> list[int]:
    """Each row's next token by its own temperature, top_p and random numbers, as batching.choose() does.

    Not by torch: its threads and onnxruntime's, both waiting busily, cost a fifth of the speed on two cores.
    """
    best = scores.argmax(axis=1).tolist()
    return [
        _drawn(scores[index], row) if row.generation.temperature > 0 else best[index] for index, row in enumerate(rows)
    ]


def _drawn(scores: Array, row: Row) -> int:
    if row.random is None:
        row.random = np.random.default_rng(row.generation.seed)
    chances = np.exp((scores - scores.max()).astype(np.float64) / row.generation.temperature)
    order = None
    if row.generation.top_p < 1:
        order = np.argsort(-chances, kind="stable")
        chances = chances[order]
        before = np.cumsum(chances) - chances
        chances[before >= row.generation.top_p * chances.sum()] = 0.0
    sums = np.cumsum(chances)
    at = min(int(np.searchsorted(sums, row.random.random() * sums[-1], side="right")), len(sums) - 1)
    return at if order is None else int(order[at])


class OnnxEngine:
    """The engine of one version."""

    def __init__(self, model: OnnxModel) -> None:
        self.model = model

    @property
    def context(self) -> int:
        """Tokens that prompt and answer may have together."""
        return self.model.context

    def generate(self, generation: Generation) -> Iterator[Piece]:
        """Pieces of the answer; the last has `finish`. Raises InputError where the prompt does not fit."""
        from twin_assets.core.prompts import encode_prompt

        model = self.model
        prompt = encode_prompt(model.tokenizer, generation.messages)
        limit = room_for(generation, len(prompt), model.context)
        tokens = model.decoder.tokens(Row(prompt, limit, model.ends, generation, None, "all"))
        yield from pieces(tokens, model.tokenizer, model.ends, len(prompt), generation.stop)
        model.used = time.monotonic()


@dataclass
class OnnxEngines:
    """Makes engines for versions with an export that serves; together the loaded ones stay within `memory` bytes.

    Where that is full of exports that answered a moment ago, and for versions without one, there is none (None).
    """

    memory: int = 2_000_000_000
    models: "OrderedDict[Path, OnnxModel]" = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _loading: dict[Path, Export] = field(default_factory=dict)
    _failed: dict[Path, Export] = field(default_factory=dict)

    def __call__(self, base_folder: Path, adapter: Path | None) -> OnnxEngine | None:
        """The engine, loaded where it is not; None where another kind has to serve, as also while it is loaded."""
        if adapter is None:
            return None
        version = adapter.parent
        export = read_export(version)
        with self._lock:
            for gone in [each for each in self.models if not (each / FOLDER / GRAPH).is_file()]:
                del self.models[gone]  # withdrawn, or forgotten
            if export is None or export.engine != "onnx":
                self.models.pop(version, None)
                return None
            model = self.models.get(version)
            if model is not None and model.export == export:
                model.used = time.monotonic()
                self.models.move_to_end(version)
                return OnnxEngine(model)
            if version in self._loading or self._failed.get(version) == export or not self._make_room(export.bytes):
                return None
            self._loading[version] = export
        model = self._load(base_folder, version, export)
        with self._lock:
            del self._loading[version]
            if model is None:
                self._failed[version] = export
                return None
            self.models[version] = model
        return OnnxEngine(model)

    def _load(self, base_folder: Path, version: Path, export: Export) -> OnnxModel | None:
        try:
            return OnnxModel(base_folder, version / FOLDER, export)
        except Exception as error:  # whatever it is, the reference can serve
            logger.warning("the export in %s cannot be loaded, the reference serves: %s", version / FOLDER, error)
            return None

    def _make_room(self, size: int) -> bool:
        """Whether so many bytes fit beside what is loaded and being loaded, when what rests has left."""
        room = self.memory - size - sum(export.bytes for export in self._loading.values())
        resting = time.monotonic() - RESTING_SECONDS
        for version, model in list(self.models.items()):
            if self._bytes() <= room:
                break
            if model.used < resting:
                del self.models[version]
        return self._bytes() <= room

    def _bytes(self) -> int:
        return sum(model.export.bytes for model in self.models.values())
