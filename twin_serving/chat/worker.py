"""The inference worker: LitServe's LitAPI that holds the engines. The only process that loads models."""

import signal
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from typing import Any

from fastapi import HTTPException
from litserve import LitAPI

from twin_assets.core.errors import TwinError
from twin_assets.core.processes import end_with_parent
from twin_assets.core.workspace import Workspace
from twin_assets.settings import Settings
from twin_serving.api.answers import status_of
from twin_serving.chat.endpoint import SEEDS, ChatRequest, ChatSpec
from twin_serving.chat.loop import ConcurrentLoop
from twin_serving.chat.models import ServedModels
from twin_serving.engines.streaming import Generation

# Scores divided by less overflow; and there is no telling its draws from the likeliest token.
LEAST_TEMPERATURE = 0.001


class ChatAPI(LitAPI):  # type: ignore[misc]
    """Answers chat requests with the version that serves the author named as `model`."""

    def __init__(self, settings: Settings, candidate: tuple[str, str] | None = None) -> None:
        super().__init__(
            spec=ChatSpec(settings.serving_rows, settings.serving_queue), loop=ConcurrentLoop(settings.serving_rows)
        )
        self.settings = settings
        self.candidate = candidate

    def authorize(self) -> None:
        """Open: the guard in front of the app asks for the key (LitServe's own check would ask on /health too)."""

    def setup(self, device: Any) -> None:
        """Begin to load models; returns at once, so that everything that needs none answers early."""
        # Ctrl-C reaches every process of the group: the server decides when the worker ends.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        end_with_parent()
        self.models = ServedModels(Workspace(self.settings), self.candidate)
        self.models.start()

    def predict(self, request: ChatRequest, asked: float) -> Iterator[dict[str, Any]]:
        """Pieces of the answer, each with the version it comes from and the tokens so far; runs many times at once.

        asked: monotonic seconds at which the request came. Raises HTTPException.
        """
        waited = time.monotonic() - asked
        left = self.settings.serving_seconds - waited
        if left <= 0:
            raise HTTPException(504, f"The request waited {waited:.0f} s, longer than an answer may take; ask again.")
        try:
            served = self.models.get(request.model)
            # Closed with this generator: that takes the row out of its batch.
            with closing(served.engine.generate(_generation(request, left))) as pieces:  # type: ignore[type-var]
                for piece in pieces:
                    yield {**asdict(piece), "served": served.name, "waited": waited}
        except TwinError as error:
            raise HTTPException(status_of(error), str(error)) from error


def _generation(request: ChatRequest, seconds: float) -> Generation:
    """What is asked for as every engine can do it: rows share a batch, and one that failed there would end others."""
    stop = [request.stop] if isinstance(request.stop, str) else request.stop or []
    return Generation(
        messages=[message.plain for message in request.messages],
        max_tokens=request.max_completion_tokens or request.max_tokens,
        temperature=request.temperature if request.temperature >= LEAST_TEMPERATURE else 0.0,
        top_p=request.top_p,
        seed=None if request.seed is None else request.seed % SEEDS,
        stop=tuple(text for text in stop if text),
        seconds=seconds,
    )
