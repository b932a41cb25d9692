"""The voice score against authors it has never seen: figures of docs/voice.md, and the voice matrix.

Needs the captured data (../shared/data). Every fold takes the author and the stranger out of the background. What is
named beside the score in the same run: plain similarity to the author's mean, the usual way. `--manuals FOLDER` (see
make_voice_background.py) adds the manuals' authors as strangers. Without `--quick`, four nano twins are
trained for the matrix (minutes).
"""

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.metrics import roc_auc_score

from twin_assets.core.data.make_voice_background import CORPORA, cut, halves, paragraphs_of, read_prose
from twin_assets.core.voice import Background, VoiceScorer
from twin_assets.core.voice_features import Matrix, passages, pieces, units, vectors

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
AUTHORS = ("voice_mtlynch", "voice_matklad", "voice_brandur", "linkedin_export_sanand")
PARTS = ("areas", "calibration", "registers", "years", "flat", "matrix")
LENGTHS = (50, 100, 200, 400)
OPENED = {"n't": " not", "'re": " are", "'ve": " have", "'ll": " will", "'m": " am", "'d": " would", "can't": "cannot"}
REWORDED = {"but": "however", "so": "therefore", "really": "very", "get": "obtain", "got": "obtained", "just": "simply",
            "use": "utilize", "used": "utilized", "also": "additionally", "need": "require", "because": "since",
            "lot": "great deal", "start": "commence", "help": "assist", "show": "demonstrate", "think": "believe",
            "want": "wish", "like": "such as", "about": "regarding", "make": "create"}  # fmt: skip


def flattened(text: str) -> dict[str, str]:
    """The text with its style taken off step by step, each step on top of those before."""
    steps = {"as written": text}
    text = steps["lower case, no line breaks, emoji or rare marks"] = " ".join(
        re.sub(r"[^\w\s.,'’-]", "", text.lower()).split()
    )
    for short, full in sorted(OPENED.items(), key=lambda pair: -len(pair[0])):
        text = text.replace("’", "'").replace(short, full)
    steps["… contractions opened"] = text
    steps["… re-worded"] = re.sub(r"\w+", lambda word: REWORDED.get(word.group(), word.group()), text)
    return steps


def read(manuals: Path | None) -> dict[str, dict[str, list[str]]]:
    """Documents by author and register; `articles`: 91 news and magazine pages by as many people."""
    names = CORPORA if manuals else AUTHORS
    prose = {name: read_prose(name, DATA, manuals or DATA) for name in names}
    pages = json.loads((DATA / "html_article_benchmark" / "ground-truth.json").read_text(encoding="utf-8"))
    papers = json.loads((DATA / "retrieval_covidqa" / "200421_covidQA.json").read_text(encoding="utf-8"))
    prose["articles"] = {"pages": [page["articleBody"] for page in pages.values()]}
    prose["papers"] = {"papers": [paper["paragraphs"][0]["context"] for paper in papers["data"]]}
    return prose


def split(registers: dict[str, list[str]]) -> tuple[list[str], dict[str, list[str]]]:
    """Documents to learn from, and those held out by register."""
    both = {name: halves(texts) for name, texts in registers.items() if len(texts) > 3}
    return [t for mine, _ in both.values() for t in mine], {name: rest for name, (_, rest) in both.items()}


def unclipped(scorer: VoiceScorer, texts: list[str]) -> list[float]:
    """Scores of texts as they are before clipping."""
    return [scorer.score(text).unclipped for text in texts]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--manuals", type=Path)
    parser.add_argument("--part", choices=PARTS, help="one of the tables alone")
    arguments = parser.parse_args()
    console = Console(width=150)
    if not (DATA / "README.md").is_file():
        console.print(f"The captured data is not at {DATA}: nothing to measure.")
        return
    if arguments.part == "matrix":
        console.print(matrix())
        return
    limit = 12 if arguments.quick else 40
    prose = read(arguments.manuals)
    parts = {name: split(registers) for name, registers in prose.items()}
    background = Background.load()
    tested = {
        (name, length): cut([t for texts in rest.values() for t in texts], length, limit)
        for name, (_, rest) in parts.items()
        for length in LENGTHS
    }
    found = {key: [vectors(pieces(t), background.measure) for t in texts] for key, texts in tested.items() if texts}
    means = {name: vectors(cut(parts[name][0], 200, 60), background.measure).mean(0) for name in AUTHORS}
    if arguments.part in (None, "areas"):
        console.print(areas(background, means, found))
    scorers = {name: VoiceScorer.fit(parts[name][0], background=background.without([name])) for name in AUTHORS}
    tables: dict[str, Callable[[], Table]] = {
        "calibration": lambda: calibration(scorers, tested),
        "registers": lambda: registers(scorers, parts, limit),
        "years": lambda: years(limit),
        "flat": lambda: flat(scorers, tested),
    }
    for name, table in tables.items():
        if arguments.part in (None, name):
            console.print(table())
    if not (arguments.part or arguments.quick):
        console.print(matrix())


def areas(background: Background, means: dict[str, Matrix], found: dict[tuple[str, int], list[Matrix]]) -> Table:
    """Area under the curve of each author's own held-out passages against each stranger's, mean and least.

    found: vectors of each passage's pieces.
    """
    table = Table("author", *(f"{n} words: score (least) | plain" for n in LENGTHS), title="area under the curve")
    everything: dict[tuple[str, str, int], tuple[float, float]] = {}
    for author, mean in means.items():
        direction = units(mean[None])[0]
        for stranger in {name for name, _ in found} - {author}:
            scorer = VoiceScorer.towards(mean, background.without([author, stranger]))
            for n in LENGTHS:
                if (stranger, n) not in found or (author, n) not in found:
                    continue
                rows = [*found[author, n], *found[stranger, n]]
                truth = np.arange(len(rows)) < len(found[author, n])
                scores = [scorer.margins_of(cut_up).mean() for cut_up in rows]
                plain = [(cut_up @ direction).mean() for cut_up in rows]
                everything[author, stranger, n] = roc_auc_score(truth, scores), roc_auc_score(truth, plain)
    easy = set(CORPORA) - set(AUTHORS)
    for name, authors, left in (*((a, {a}, set()) for a in means), ("all", set(means), set()),
                                ("all, strangers without the manuals", set(means), easy)):  # fmt: skip
        cells = [
            [both for (a, s, m), both in everything.items() if m == n and a in authors and s not in left]
            for n in LENGTHS
        ]
        table.add_row(name, *map(_shown, cells))
    return table


def _shown(areas: list[tuple[float, float]]) -> str:
    ours, plain = np.array(areas).T
    return f"{ours.mean():.3f} ({ours.min():.2f}) | {plain.mean():.3f}"


def calibration(scorers: dict[str, VoiceScorer], tested: dict[tuple[str, int], list[str]]) -> Table:
    """Floor, ceiling and what held-out own passages score before and after clipping."""
    table = Table("author", *(f"{n}: floor / ceiling, own ± sd (clipped)" for n in LENGTHS), title="calibration")
    for author, scorer in scorers.items():
        cells = []
        for n in LENGTHS:
            scores = [scorer.score(text) for text in tested[author, n]]
            raw = [score.unclipped for score in scores]
            clipped = np.mean([score.score for score in scores])
            floor, ceiling = scores[0].floor, scores[0].ceiling
            cells.append(f"{floor:.3f} / {ceiling:.3f}, {np.mean(raw):.0f} ± {np.std(raw):.0f} ({clipped:.0f})")
        table.add_row(author, *cells)
    return table


def registers(
    scorers: dict[str, VoiceScorer], parts: dict[str, tuple[list[str], dict[str, list[str]]]], limit: int
) -> Table:
    """What each register's held-out passages of 200 words score, and with that register never learned."""
    table = Table(
        "author", "register", "score, register learned", "register never learned", title="registers (200 words)"
    )
    for author in AUTHORS[:3]:
        _, rest = parts[author]
        for register, texts in rest.items():
            held_out = cut(texts, 200, limit)
            others = [text for name, found in rest.items() if name != register for text in found]
            if len(held_out) < 8 or len(passages(others, 200)) < 15:
                continue
            other = VoiceScorer.fit(others, background=Background.load().without([author]))
            table.add_row(
                author, register, f"{np.mean(unclipped(scorers[author], held_out)):.0f}",
                f"{np.mean(unclipped(other, held_out)):.0f}",
            )  # fmt: skip
    return table


def years(limit: int) -> Table:
    """What later years score, learned from the oldest half of a blog whose files are named by date."""
    texts: dict[str, list[str]] = {}
    for path in sorted((DATA / "voice_matklad" / "content" / "posts").glob("20*.dj")):
        texts.setdefault(path.name[:4], []).append("\n\n".join(paragraphs_of(path.read_text(encoding="utf-8"))))
    known = sorted(texts)[: len(texts) // 2]
    old = [text for year in known for text in texts[year]]
    scorer = VoiceScorer.fit(old, background=Background.load().without(["voice_matklad"]))
    table = Table("year", "score", title=f"voice_matklad, learned from {known[0]} to {known[-1]} (200 words)")
    for year in sorted(set(texts) - set(known)):
        if held_out := cut(texts[year], 200, limit):
            table.add_row(year, f"{np.mean(unclipped(scorer, held_out)):.0f}")
    return table


def flat(scorers: dict[str, VoiceScorer], tested: dict[tuple[str, int], list[str]]) -> Table:
    """What is left of the score when the style is taken off, step by step, the topic kept."""
    table = Table("author", *flattened(""), title="style flattened (100 words, before clipping)")
    for author, scorer in scorers.items():
        steps = [flattened(text) for text in tested[author, 100]]
        table.add_row(
            author, *(f"{np.mean(unclipped(scorer, [s[name] for s in steps])):.0f}" for name in flattened(""))
        )
    return table


def matrix() -> Table:
    """The voice matrix: loss per character of each twin (rows) on each author's held-out text (columns)."""
    from benchmarks.voice_matrix import TWINS, measure, own_best

    losses, samples = measure(DATA, words=25_000, minutes=0.8)
    by_text, by_twin = own_best(losses)
    heads = [f"{name} (n={count})" for name, count in zip(TWINS, samples, strict=True)]
    table = Table("twin", *heads, "predicts its own best", title="nats per character")
    for name, row, first, second in zip(TWINS, losses, by_text, by_twin, strict=True):
        table.add_row(name, *(f"{loss:.3f}" for loss in row), f"of all twins: {first}; of all authors: {second}")
    return table


if __name__ == "__main__":
    main()
