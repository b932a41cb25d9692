"""Streams the text of one generation while transformers' generate() computes it, token by token, in a thread."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from twin_assets.core.errors import ModelError


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


class TextStream:
    """Runs generate() in a thread and iterates over its text; an error in the thread is raised here.

    Closing the iteration early ends the generation after the token that is being computed. It is its own streamer:
    transformers' holds text back to the next space, and a stop string would be seen that much later.
    """

    def __init__(self, model: Any, tokenizer: Any, prompt: Any, generation: Generation, limit: int) -> None:
        import torch
        from transformers import StoppingCriteriaList

        self.tokens = 0
        self.cut_off = False
        self._model = model
        self._tokenizer = tokenizer
        self._ends = _end_tokens(model, tokenizer)
        self._queue: SimpleQueue[int | None] = SimpleQueue()
        self._prompt_seen = False
        self._cancelled = threading.Event()
        self._error: Exception | None = None
        arguments: dict[str, Any] = {
            "input_ids": prompt,
            "attention_mask": torch.ones_like(prompt),
            "max_new_tokens": limit,
            "max_time": generation.seconds,
            "pad_token_id": tokenizer.pad_token_id,
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
            raise ModelError(f"Generating failed: {first_line(self._error)}.") from self._error

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
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))

    def _run(self, arguments: dict[str, Any], seed: int | None) -> None:
        import torch

        try:
            if seed is None:
                torch.seed()
            else:
                torch.manual_seed(seed)
            with torch.inference_mode():
                self._model.generate(**arguments)
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


def _end_tokens(model: Any, tokenizer: Any) -> set[int]:
    """Ids that end an answer: the model's own list and the tokenizer's end of sequence."""
    configured = model.generation_config.eos_token_id
    ends = set(configured if isinstance(configured, list) else [configured])
    return {int(token) for token in ends | {tokenizer.eos_token_id} if token is not None}


def first_line(error: Exception) -> str:
    """The first line of what an error says, without its full stop."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
