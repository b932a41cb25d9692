"""Continuous batching: requests join and leave a running batch between two tokens; every row is as if it were alone.

Rows of one batch share a key-value cache that is padded on the left: a request that comes is read (prefilled) by itself
and its cache joined to the batch's; one that ends is taken out. Each row has its own positions, mask, sampling and end.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Generator, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, Protocol

from twin_assets.core.errors import ModelError, first_line
from twin_serving.engines.streaming import Generation

logger = logging.getLogger(__name__)

# Tokens of prompts, with their padding, that are read at once; the running rows wait meanwhile.
PREFILL_TOKENS = 1024
# A decoder without rows keeps its thread for so long.
IDLE_SECONDS = 5.0

# (tokens, mask, positions, cache, adapter of each row) to the scores of the token after each row's last.
Forward = Callable[[Any, Any, Any, Any, Sequence[Any]], Any]


@dataclass(eq=False)
class Row:
    """One generation. key: rows with equal keys may share a batch; adapter: what the engine knows of it."""

    prompt: list[int]
    limit: int
    ends: Collection[int]
    generation: Generation
    adapter: Any
    key: Hashable
    cancelled: bool = False
    last: int = 0
    count: int = 0
    random: Any = None
    output: "SimpleQueue[int | Exception | None]" = field(default_factory=SimpleQueue)
    began: float = field(default_factory=time.monotonic)

    def put(self, token: int) -> None:
        """Hand on the row's next token."""
        self.last, self.count = token, self.count + 1
        self.output.put(token)

    @property
    def ended(self) -> bool:
        """Whether the row needs no more tokens."""
        return (
            self.cancelled
            or self.count >= self.limit
            or (self.count > 0 and self.last in self.ends)
            or time.monotonic() - self.began > self.generation.seconds
        )


class Batch:
    """Rows that decode together."""

    def __init__(self, forward: Forward, device: str) -> None:
        self.forward = forward
        self.device = device
        self.rows: list[Row] = []
        self._cache: Any = None
        self._mask: Any = None  # rows × cached tokens; 0 where a row has padding

    def read(self, rows: list[Row]) -> None:
        """Begin the batch with these rows: read their prompts and give each its first token."""
        import torch
        from transformers import DynamicCache

        width = max(len(row.prompt) for row in rows)
        tokens = torch.zeros((len(rows), width), dtype=torch.long)
        mask = torch.zeros_like(tokens)
        for index, row in enumerate(rows):
            tokens[index, width - len(row.prompt) :] = torch.tensor(row.prompt)
            mask[index, width - len(row.prompt) :] = 1
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        self.rows, self._mask = rows, mask.to(self.device)
        self._cache = DynamicCache()  # of full length for every layer, also where the model looks through a window
        self._advance(tokens.to(self.device), positions.to(self.device))

    def step(self) -> None:
        """Give every row its next token; rows that end leave."""
        import torch

        self._keep([index for index, row in enumerate(self.rows) if not row.ended])
        if not self.rows:
            return
        tokens = torch.tensor([[row.last] for row in self.rows], device=self.device)
        self._mask = torch.cat([self._mask, self._mask.new_ones((len(self.rows), 1))], dim=1)
        self._advance(tokens, self._mask.sum(dim=1, keepdim=True) - 1)

    def take(self, other: "Batch") -> None:
        """Take in the rows of another batch."""
        import torch
        from torch.nn.functional import pad

        if not other.rows:
            return
        if not self.rows:
            self.rows, self._cache, self._mask = other.rows, other._cache, other._mask
            return
        width = max(self._mask.shape[1], other._mask.shape[1])

        def joined(mine: Any, theirs: Any) -> Any:
            """One below the other, with zeros in front of the shorter; the length is the mask's last but a layer's
            last but one dimension."""
            behind = (0, 0) if mine.dim() == 4 else ()
            return torch.cat(
                [pad(each, (*behind, width - each.shape[-1 - len(behind) // 2], 0)) for each in (mine, theirs)]
            )

        for mine, theirs in zip(self._cache.layers, other._cache.layers, strict=True):
            mine.keys, mine.values = joined(mine.keys, theirs.keys), joined(mine.values, theirs.values)
        self._mask = joined(self._mask, other._mask)
        self.rows = [*self.rows, *other.rows]

    def _advance(self, tokens: Any, positions: Any) -> None:
        scores = self.forward(tokens, self._mask, positions, self._cache, [row.adapter for row in self.rows])
        for row, token in zip(self.rows, choose(scores, self.rows), strict=True):
            row.put(token)
        self._keep([index for index, row in enumerate(self.rows) if not row.ended])

    def _keep(self, indices: list[int]) -> None:
        """Let the other rows go, and the padding that only they needed."""
        import torch

        if len(indices) == len(self.rows):
            return
        for index in set(range(len(self.rows))) - set(indices):
            self.rows[index].output.put(None)
        self.rows = [self.rows[index] for index in indices]
        if not self.rows:
            self._cache = self._mask = None
            return
        kept = torch.tensor(indices, device=self.device)
        mask = self._mask[kept]
        first = int(mask.argmax(dim=1).min())
        self._mask = mask[:, first:]
        for layer in self._cache.layers:
            layer.keys = layer.keys[kept][:, :, first:]
            layer.values = layer.values[kept][:, :, first:]


def choose(scores: Any, rows: Sequence[Row]) -> list[int]:
    """Each row's next token by its own temperature, top_p and random numbers, as transformers' generate() draws."""
    tokens: list[int] = scores.argmax(dim=-1).tolist()
    for index, row in enumerate(rows):
        if row.generation.temperature > 0:
            tokens[index] = _drawn(scores[index], row)
    return tokens


def _drawn(scores: Any, row: Row) -> int:
    import torch

    if row.random is None:
        row.random = torch.Generator(scores.device)
        if row.generation.seed is None:
            row.random.seed()
        else:
            row.random.manual_seed(row.generation.seed)
    chances = torch.softmax(scores.float() / row.generation.temperature, dim=-1)
    if row.generation.top_p < 1:
        ordered, order = chances.sort(descending=True)
        ordered[ordered.cumsum(dim=-1) - ordered >= row.generation.top_p] = 0.0
        return int(order[torch.multinomial(ordered, 1, generator=row.random)])
    return int(torch.multinomial(chances, 1, generator=row.random))


class AnyBatch(Protocol):
    """What a decoder runs: rows that decode together, however an engine keeps what it knows of them."""

    rows: list[Row]

    def read(self, rows: list[Row]) -> None:
        """Begin the batch with these rows: read their prompts and give each its first token."""

    def step(self) -> None:
        """Give every row its next token; rows that end leave."""

    def take(self, other: Any) -> None:
        """Take in the rows of another batch of the same kind."""


class Decoder:
    """Runs batches in a thread of its own; the only thread that touches the model. Rows of other keys take turns."""

    def __init__(self, make_batch: Callable[[], "AnyBatch"]) -> None:
        self.make_batch = make_batch
        self._changed = threading.Condition()
        self._waiting: deque[Row] = deque()
        self._calls: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._batches: dict[Hashable, AnyBatch] = {}
        self._thread: threading.Thread | None = None

    def tokens(self, row: Row) -> Generator[int]:
        """The row's tokens as they come; closing it takes the row out of its batch. Raises ModelError."""
        self._wake(lambda: self._waiting.append(row))
        try:
            while (token := row.output.get()) is not None:
                if isinstance(token, Exception):
                    raise ModelError(f"Generating failed: {first_line(token)}.") from token
                yield token
        finally:
            row.cancelled = True

    def call(self, function: Callable[[], Any]) -> Any:
        """What the function returns, run between two tokens: for what changes the model."""
        future: Future[Any] = Future()
        self._wake(lambda: self._calls.append((function, future)))
        return future.result()

    def _wake(self, change: Callable[[], None]) -> None:
        with self._changed:
            change()
            self._changed.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="decoder", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        import torch

        with torch.inference_mode():
            while self._work_comes():
                self._make_calls()
                self._admit()
                for key, batch in list(self._batches.items()):
                    self._try([batch], batch.rows, batch.step)
                    if not batch.rows:
                        del self._batches[key]

    def _work_comes(self) -> bool:
        """Wait for work; False, and no thread is left, where none comes for a while."""
        with self._changed:
            while not (self._batches or self._waiting or self._calls):
                if not self._changed.wait(IDLE_SECONDS) and not (self._waiting or self._calls):
                    self._thread = None
                    return False
        return True

    def _make_calls(self) -> None:
        import torch

        while self._calls:
            function, future = self._calls.popleft()
            try:
                # What is loaded now must be ordinary tensors: others of the model are changed again later.
                with torch.inference_mode(False), torch.no_grad():
                    future.set_result(function())
            except Exception as error:  # raised again by the calling thread
                future.set_exception(error)

    def _admit(self) -> None:
        """Take the rows that wait longest, and others of their key that fit beside them, into their batch."""
        if not self._waiting:
            return
        first = self._waiting[0]
        chosen: list[Row] = []
        for row in list(self._waiting):
            widest = max(len(each.prompt) for each in [row, *chosen])
            if row.key == first.key and (not chosen or widest * (len(chosen) + 1) <= PREFILL_TOKENS):
                chosen.append(row)
        for row in chosen:
            self._waiting.remove(row)
        coming = [row for row in chosen if not row.cancelled]
        if coming:
            fresh = self.make_batch()
            self._try([fresh], coming, lambda: fresh.read(coming))
            batch = self._batches.setdefault(first.key, self.make_batch())
            self._try([batch, fresh], [*batch.rows, *fresh.rows], lambda: batch.take(fresh))

    def _try(self, batches: Sequence[AnyBatch], rows: list[Row], work: Callable[[], None]) -> None:
        """Do the work; where it fails, the rows and the batches, whose caches may be half changed, end with it."""
        try:
            work()
        except Exception as error:
            logger.exception("decoding failed")
            for batch in batches:
                batch.rows = []
            for row in rows:
                row.output.put(error)
