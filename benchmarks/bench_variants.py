"""Is the best of four assembled drafts better than the first? Three real authors, the ranking judged from outside.

Each author's texts are parted in three: drafts are made of the first third, ranked by a voice scorer fitted on the
second, and their voice is then measured by a scorer fitted on the last, which the ranking never saw. The prompts are
the first sentences of texts of the last third. Needs the captured data (../shared/data).
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.questions import DATA
from twin_assets.core.authors import Author
from twin_assets.core.data.make_voice_background import read_prose
from twin_assets.core.embedding import Embedder
from twin_assets.core.sentences import split_sentences
from twin_assets.core.voice import Background, VoiceScorer
from twin_assets.core.voice_edits import Voice
from twin_serving.assembling.assemble import assemble
from twin_serving.assembling.passages import OwnDocument
from twin_serving.composing.judging import Draft, judged
from twin_serving.composing.library import AuthorLibrary, EmbeddingMemory
from twin_serving.composing.material import Material
from twin_serving.composing.novelty import PublishedRuns
from twin_serving.composing.ranking import ranked, value
from twin_serving.schemas import ComposeRequest

AUTHORS = ("voice_mtlynch", "voice_matklad", "voice_brandur")
VARIANTS, MOST_TEXTS, PROMPTS = 4, 80, 120
COLUMNS = (
    "author", "prompts", "drafts", "voice, first", "best", "novelty, first", "best", "value, first", "best",
    "voice better / worse",
)  # fmt: skip


def library_of(texts: Sequence[str], scorer: VoiceScorer) -> AuthorLibrary:
    """The library of an author who published these."""
    documents = {str(n): OwnDocument(str(n), "", f"https://example.org/{n}", text) for n, text in enumerate(texts)}
    runs = PublishedRuns()
    runs.update({name: document.text for name, document in documents.items()})
    return AuthorLibrary(None, documents, scorer, published=runs)


def drafts_of(prompt: str, library: AuthorLibrary, vectors: Any, embed: EmbeddingMemory) -> list[dict[str, Any]]:
    """Up to four assembled drafts, judged, in the order of their variants."""
    likeness = vectors @ embed([prompt])[0]
    order = [list(library.documents.values())[n] for n in np.argsort(-likeness)[:24]]
    hits: list[Any] = [
        SimpleNamespace(
            document_id=each.document_id, text=each.text, title="", url=each.url, vector=vectors[int(each.document_id)]
        )
        for each in order
    ]
    request = ComposeRequest(author="bench", prompt=prompt, variants=VARIANTS)
    material = Material(Author(id="bench", name="Bench"), request, library, hits, [], Voice())
    found: dict[str, dict[str, Any]] = {}
    for variant in range(VARIANTS):
        draft = assemble(prompt, material.documents, [], embed, style=material.style, seed=variant)
        if draft.text and draft.text not in found:
            made = Draft("assembled", variant, draft.text, draft.parts, draft.sentences, draft.problems)
            found[draft.text] = judged(made, material, embed)
    return list(found.values())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="six prompts an author")
    options = parser.parse_args()
    if not (DATA / "README.md").is_file():
        print(f"The captured data is not at {DATA}: nothing to measure.")
        return
    table = Table(title=f"The best of {VARIANTS} assembled drafts against the first of them (means)")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column == "author" else "right")
    every: list[list[float]] = []
    with tempfile.TemporaryDirectory() as folder:
        embedder = Embedder(Path(folder))
        for name in AUTHORS:
            rows = measure(name, 6 if options.quick else PROMPTS, embedder)
            every += rows
            table.add_row(name.removeprefix("voice_"), *shown(rows))
    table.add_row("all", *shown(every))
    Console(width=150).print(table)
    if len(every) > 1:
        gains = np.array([[row[2] - row[1], row[4] - row[3]] for row in every])
        for what, gain in zip(("voice", "novelty"), gains.T, strict=True):
            drawn = np.random.default_rng(0).choice(gain, (2000, len(gain))).mean(axis=1)
            low, high = np.percentile(drawn, [2.5, 97.5])
            print(f"{what}: the best is {gain.mean():+.3f} from the first (95 % interval {low:+.3f} to {high:+.3f})")


def shown(rows: Sequence[Sequence[float]]) -> list[str]:
    """A row of the table."""
    if not rows:
        return ["0", *["–"] * (len(COLUMNS) - 2)]
    means = np.mean(rows, axis=0)
    better = sum(row[2] > row[1] + 1 for row in rows), sum(row[2] < row[1] - 1 for row in rows)
    figures = [f"{mean:.1f}" for mean in means[:3]] + [f"{mean:.2f}" for mean in means[3:]]
    return [str(len(rows)), *figures, f"{better[0]} / {better[1]}"]


def measure(name: str, prompts: int, embedder: Embedder) -> list[list[float]]:
    """One author's prompts: drafts, and voice, novelty and value of the first and of the best."""
    texts = [text for found in read_prose(name, DATA, DATA).values() for text in found if len(text.split()) > 120]
    thirds = [texts[n::3] for n in range(3)]
    background = Background.load().without([name])
    inside, outside = (VoiceScorer.fit(third, background=background) for third in thirds[1:])
    library = library_of(thirds[0][:MOST_TEXTS], inside)
    embed = EmbeddingMemory(embedder.embed)
    vectors = embed([document.text[:1500] for document in library.documents.values()])
    rows = []
    for text in thirds[2][:prompts]:
        prompt = next(span.text for span in split_sentences(text) if len(span.text.split()) > 5)[:200]
        drafts = drafts_of(prompt, library, vectors, embed)
        if len(drafts) < 2:
            continue
        first, best = drafts[0], ranked(drafts, assembled_first=False)[0]
        voices = [outside.score(draft["text"]).unclipped for draft in (first, best)]
        novelty = [draft["scores"]["novelty"] for draft in (first, best)]
        rows.append([len(drafts), *voices, *novelty, value(first), value(best)])
    return rows


if __name__ == "__main__":
    main()
