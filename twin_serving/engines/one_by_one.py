"""transformers' own generate(), token by token: for families whose rows cannot join a batch."""

import itertools
import threading
from collections.abc import Collection, Generator
from queue import SimpleQueue
from typing import Any

from twin_assets.core.errors import ModelError, first_line
from twin_serving.engines.streaming import Generation


def generated(
    model: Any, tokenizer: Any, ends: Collection[int], prompt: list[int], limit: int, generation: Generation
) -> Generator[int]:
    """The tokens of transformers' own generate(), run in a thread; closing ends it. Raises ModelError."""
    import torch
    from transformers import StoppingCriteriaList

    output: SimpleQueue[int | Exception | None] = SimpleQueue()
    cancelled = threading.Event()
    seen = itertools.count()

    class Streamer:
        def put(self, value: Any) -> None:
            if next(seen):  # the first is the prompt
                output.put(int(value[-1]))

        def end(self) -> None:
            output.put(None)

    def stop(ids: Any, _scores: Any, **_: Any) -> Any:
        return torch.full((ids.shape[0],), cancelled.is_set(), device=ids.device, dtype=torch.bool)

    def run() -> None:
        try:
            torch.seed() if generation.seed is None else torch.manual_seed(generation.seed)
            with torch.inference_mode():
                model.generate(
                    input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=limit,
                    max_time=generation.seconds, pad_token_id=tokenizer.pad_token_id, eos_token_id=sorted(ends) or None,
                    stopping_criteria=StoppingCriteriaList([stop]), streamer=Streamer(), **_sampling(generation),
                )  # fmt: skip
        except Exception as error:  # raised again by the iterating thread
            output.put(error)

    ids = torch.tensor([prompt], device=model.device)
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        while (token := output.get()) is not None:
            if isinstance(token, Exception):
                raise ModelError(f"Generating failed: {first_line(token)}.") from token
            yield token
    finally:
        cancelled.set()
        thread.join()


def _sampling(generation: Generation) -> dict[str, Any]:
    if generation.temperature == 0:
        return {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    return {"do_sample": True, "temperature": generation.temperature, "top_p": generation.top_p, "top_k": 0}
