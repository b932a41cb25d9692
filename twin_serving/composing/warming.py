"""Embeds an author's passages before anybody asks for a draft, whenever nobody is being served.

A draft looks at some 140 passages. On two cores they take a third of a second to embed, and nothing once they are
remembered; 20,000 posts take some minutes of otherwise idle time after a start.
"""

import threading
import time
from collections.abc import Iterable, Iterator
from itertools import islice

from twin_serving.assembling.forms import SHAPES
from twin_serving.assembling.passages import OwnDocument, passages, sections
from twin_serving.assembling.scoring import MOST_SECTION_PASSAGES, Chosen
from twin_serving.composing.library import EmbeddingMemory

BATCH = 8
# Seconds without a request before it goes on, and its pause after each batch as a share of the batch's time.
QUIET, PAUSE = 0.5, 1.0


class Traffic:
    """How many drafts are being made, and since when there are none."""

    def __init__(self) -> None:
        self._running, self._ended, self._lock = 0, 0.0, threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            self._running += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._running -= 1
            self._ended = time.monotonic()

    @property
    def quiet(self) -> bool:
        """Whether there have been none for a moment."""
        return not self._running and time.monotonic() - self._ended > QUIET


def embed_ahead(
    documents: Iterable[OwnDocument], memory: EmbeddingMemory, traffic: Traffic, stopped: threading.Event
) -> int:
    """Embed what a draft would embed of these documents; returns how many texts that were. Ends when it is stopped, or
    where the memory is full and would only forget."""
    texts, count = _texts(documents), 0
    while batch := list(islice(texts, BATCH)):
        fresh = list(dict.fromkeys(text for text in batch if not memory.known(text)))
        while not traffic.quiet:
            if stopped.wait(QUIET):
                return count
        if stopped.is_set() or (fresh and memory.full):
            return count
        if fresh:
            started = time.monotonic()
            memory(fresh)
            count += len(fresh)
            stopped.wait(PAUSE * (time.monotonic() - started))
    return count


def _texts(documents: Iterable[OwnDocument]) -> Iterator[str]:
    """The passages of posts and articles as the assembled draft embeds them, the newest documents first."""
    prose = [document for document in documents if document.category != "code"]
    prose.sort(key=lambda document: document.published_at.timestamp() if document.published_at else 0.0, reverse=True)
    for document in prose:
        # Not through their caches, which are for the documents that are asked for.
        for section in sections.__wrapped__(document):
            found = passages.__wrapped__(section, SHAPES["post"].paragraph)
            yield from Chosen(section, found[:MOST_SECTION_PASSAGES]).texts
