"""/v1/compose without a model at 20,000 passages: milliseconds of each step and of all.

The author's texts are random walks over the pairs of words of the demo author's writing. A thousand of them are
embedded; the vectors of the others are those of one of these with noise: what a search costs does not depend on them.
"""

import argparse
import random
import re
import tempfile
import time
import zlib
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from demo.content import PLATFORMS
from twin_assets.core import features
from twin_assets.core.authors import Author
from twin_assets.core.documents import RawDocument
from twin_assets.core.embedding import Embedder, Progress, Vectors
from twin_assets.core.lake import rows_frame
from twin_assets.core.voice import update_voice
from twin_assets.core.workspace import Workspace
from twin_assets.settings import Settings
from twin_serving.composing.composer import Composer
from twin_serving.composing.drafting import Generator, Written
from twin_serving.schemas import ComposeRequest
from twin_serving.telemetry.tracing import Trace

AUTHOR, EMBEDDED = "bench", 1000


class Walks:
    """Texts that read like the demo's from word to word; the same number gives the same text."""

    def __init__(self) -> None:
        whole = "\n".join(path.read_text() for path in sorted(PLATFORMS.rglob("*.md")))
        whole += "\n".join(re.sub(r"<[^>]+>", " ", path.read_text()) for path in sorted(PLATFORMS.rglob("*.html")))
        words = whole.split()
        self._next: dict[str, list[str]] = defaultdict(list)
        for one, two in pairwise(words):
            self._next[one].append(two)
        self._starts = [word for word in words if word[0].isupper() and word.isalpha()]

    def text(self, number: int, paragraphs: int = 4) -> str:
        """A text of a few paragraphs, about 90 words."""
        choose = random.Random(number)
        return "\n\n".join(self._paragraph(choose) for _ in range(paragraphs)) + f"\n\nThat was note {number}."

    def _paragraph(self, choose: random.Random) -> str:
        said = [choose.choice(self._starts)]
        while len(said) < 40 and not (len(said) > 14 and said[-1].endswith((".", "?", "!"))):
            said.append(choose.choice(self._next[said[-1]] or self._starts))
        return " ".join(said).rstrip(",;:") + ("" if said[-1].endswith((".", "?", "!")) else ".")


class QuickEmbedder(Embedder):
    """Embeds the first texts; of the others it makes a vector near one of those."""

    known: Vectors | None = None

    def embed(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        """As Embedder.embed, of what is embedded."""
        if self.known is None:
            self.known = super().embed(texts[:EMBEDDED])
        random = np.random.default_rng(zlib.crc32(texts[0].encode()))
        near = self.known[random.integers(len(self.known), size=len(texts))]
        near = near + 0.02 * random.normal(size=near.shape).astype(np.float32)
        return near / np.linalg.norm(near, axis=1, keepdims=True)


def build(home: Path, count: int) -> Workspace:
    """A deployment whose author has `count` passages."""
    workspace = Workspace(Settings(home=home))
    workspace.embedder = QuickEmbedder(workspace.settings.models_folder / "embedder")
    workspace.authors.save(Author(id=AUTHOR, name="Bench"))
    walks, start = Walks(), datetime(2015, 1, 1, tzinfo=UTC)
    rows = []
    for number in range(count):
        url = f"https://example.org/{number}"
        document = RawDocument(
            AUTHOR, "files", str(number), "post", "files:bench", url, "", walks.text(number), "text/plain",
            start + timedelta(hours=number),
        )  # fmt: skip
        rows.append(document.row() | {"collected_at": start, "removed_at": None})
    workspace.lake.append("raw_documents", rows_frame("raw_documents", rows))
    for step in (features.update_corpus, features.update_chunks, features.update_embeddings, features.update_index):
        step(workspace, AUTHOR)
    update_voice(workspace, AUTHOR, [walks.text(number) for number in range(200)])
    return Workspace(workspace.settings)


class Timed(Composer):
    """A composer that keeps the last trace."""

    def check(self, request: ComposeRequest, text: str) -> float:
        """Milliseconds to tie a text of a model's to its sources, and to check and score it."""
        material = self._gather(request, [])
        version: Any = Generator(request.author, "bench", "bench")
        started = time.perf_counter()
        self._written(Written(0, text, "bench@bench", "stop"), "bench", version, 400, material)
        return (time.perf_counter() - started) * 1000

    def measure(self, request: ComposeRequest) -> tuple[float, dict[str, float]]:
        """Milliseconds of one answer, and of its steps."""
        kept: list[Trace] = []
        self.tracer.composed = lambda trace, *_: kept.append(trace)  # type: ignore[method-assign]
        started = time.perf_counter()
        self.compose(request)
        took = (time.perf_counter() - started) * 1000
        self.keeper.flush()  # what is written after the answer is nobody's wait
        steps: dict[str, float] = defaultdict(float)
        for step in kept[-1].steps:
            steps[step.name] += (step.end - step.start) / 1e6
        return took, steps


def no_model(*_: Any, **__: Any) -> Any:
    """Stands for a model that is not there."""
    raise AssertionError("no model is approved, so none is asked")


def at(times: Sequence[float], share: float) -> float:
    """What this share of the times stays under."""
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="2,000 passages, 20 prompts")
    parser.add_argument("--home", type=Path, help="a folder that keeps what is built")
    parser.add_argument("--prompts", type=int, help="instead of 200, or of 20 with --quick")
    options = parser.parse_args()
    count, asked = (2000, 20) if options.quick else (20_000, 200)
    asked = options.prompts or asked
    with tempfile.TemporaryDirectory() as folder:
        home = options.home or Path(folder)
        workspace = Workspace(Settings(home=home)) if (home / "lake").is_dir() else build(home, count)
        composer = Timed(workspace, no_model)
        walks = Walks()
        prompts = [f"Write a post about {' '.join(walks.text(10**6 + n).split()[:8])}" for n in range(asked)]
        started = time.perf_counter()
        composer.measure(ComposeRequest(author=AUTHOR, prompt="Write a post about habits"))
        first = (time.perf_counter() - started) * 1000
        report("before passages are remembered", composer, prompts, first)
        report("passages remembered", composer, prompts, first)
        texts = [" ".join(walks.text(2 * 10**6 + n, 2).split("\n\n")[:2]) * 2 for n in range(asked)]
        checks(composer, prompts, texts)


def report(name: str, composer: Timed, prompts: Sequence[str], first: float) -> None:
    """Ask every prompt and print what it took."""
    cpu = time.process_time()
    measured = [composer.measure(ComposeRequest(author=AUTHOR, prompt=prompt)) for prompt in prompts]
    cpu = (time.process_time() - cpu) * 1000 / len(prompts)
    table = Table(title=f"{name}: {len(prompts)} prompts; first answer of all {first:,.0f} ms; CPU {cpu:.0f} ms each")
    for column in ("step", "p50 ms", "p99 ms"):
        table.add_column(column, justify="left" if column == "step" else "right")
    for step in measured[0][1]:
        times = [steps[step] for _, steps in measured]
        table.add_row(step, f"{at(times, 0.5):.1f}", f"{at(times, 0.99):.1f}")
    totals = [took for took, _ in measured]
    table.add_row("whole", f"{at(totals, 0.5):.1f}", f"{at(totals, 0.99):.1f}")
    Console(width=120).print(table)


def checks(composer: Timed, prompts: Sequence[str], texts: Sequence[str]) -> None:
    """Check a text of a model's for every prompt, twice, and print what it took."""
    for name in ("first", "again"):
        requests = [ComposeRequest(author=AUTHOR, prompt=prompt) for prompt in prompts]
        times = [composer.check(request, text) for request, text in zip(requests, texts, strict=True)]
        print(f"checks of a model's draft, {name}: p50 {at(times, 0.5):.1f} ms, p99 {at(times, 0.99):.1f} ms")


if __name__ == "__main__":
    main()
