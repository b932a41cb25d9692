"""Computes voice_background.npz: what other people's writing looks like, in numbers, for the voice score.

Run as `python -m twin_assets.core.data.make_voice_background <folder of the blogs> <folder of the manuals>`. CORPORA
names each corpus, its author, licence and source. The manuals are the documentation in source distributions
(`pip download --no-deps --no-binary :all:`) and Debian packages (`apt-get download`, `dpkg-deb -x` to `deb_<name>`).
What is kept of them: inverse document frequencies, the 400 most frequent words, a mean vector of each author and
register, and what strangers score. No text can be had back from it.
"""

import csv
import random
import re
import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from twin_assets.core.voice import Background, VoiceScorer
from twin_assets.core.voice_features import (
    FEATURES,
    KNOWN_WORDS,
    LENGTHS,
    PASSAGE_WORDS,
    WORD,
    Matrix,
    Measure,
    passages,
    units,
    vectors,
)

PASSAGES = 50  # of a register
MINIMUM_PASSAGES = 15
STRANGERS = 6  # passages of each author and length
LEAST_PARAGRAPH_WORDS = 8
_FRONT_MATTER = re.compile(r"\A(---|\+\+\+)\n.*?\n\1\n", re.DOTALL)
_ROLE = re.compile(r":[a-zA-Z:+-]+:`~?([^`<]*?)(?:\s*<[^`]*>)?`")
_MARK = re.compile(r"\A\s*([-*]|\d+\.|#\.)\s+")
_NO_PROSE = re.compile(r"\A(\.\. |:[a-z-]+|[=~^\"'#*+\-]{3,}|>>>|[#<{>]|\$ )|\|")
LEAST_LETTERS = 0.92  # code, tables and lists of names have fewer letters and blanks


@dataclass(frozen=True, slots=True)
class Corpus:
    """One author's writing: folders or files (glob patterns) by register."""

    author: str
    licence: str
    source: str
    registers: dict[str, tuple[str, ...]]


def _manual(author: str, licence: str, source: str, **registers: str) -> Corpus:
    return Corpus(author, licence, source, {name: tuple(found.split()) for name, found in registers.items()})


BLOGS = ("voice_brandur", "voice_matklad", "voice_mtlynch")
CORPORA = {
    "voice_brandur": _manual("Brandur Leach", "MIT", "github.com/brandur/sorg"),
    "voice_matklad": _manual("Aleksey Kladov", "MIT or Apache-2.0", "github.com/matklad/matklad.github.io"),
    "voice_mtlynch": _manual("Michael Lynch", "CC-BY-4.0", "github.com/mtlynch/mtlynch.io"),
    "linkedin_export_sanand": _manual("Anand S", "MIT", "github.com/sanand0"),
    "smith": _manual(
        "Nathaniel J. Smith", "MIT or Apache-2.0; BSD-2-Clause", "PyPI trio 0.35.0, patsy 1.0.3",
        trio="trio-*/docs/source/*.rst", patsy="patsy-*/doc/*.rst",
    ),
    "batchelder": _manual(
        "Ned Batchelder", "Apache-2.0", "PyPI coverage 7.17.3",
        manual="coverage-*/doc/*.rst", changes="coverage-*/CHANGES.rst",
    ),
    "beazley": _manual("David Beazley", "BSD-3-Clause", "PyPI curio 1.6", manual="curio-*/docs/*.rst"),
    "leifer": _manual("Charles Leifer", "MIT", "PyPI peewee 4.5.3", manual="peewee-*/docs/peewee/*.rst"),
    "bayer": _manual(
        "Michael Bayer", "MIT", "PyPI sqlalchemy 2.1.9, mako 1.4.3",
        manual="sqlalchemy-*/doc/build/orm/**/*.rst sqlalchemy-*/doc/build/core/*.rst",
        changes="sqlalchemy-*/doc/build/changelog/changelog_0[67]*.rst sqlalchemy-*/doc/build/changelog/migration*",
        mako="mako-*/doc/build/*.rst",
    ),
    "behnel": _manual("Stefan Behnel", "BSD-3-Clause", "PyPI lxml 6.1.3", manual="lxml-*/doc/*.txt"),
    "madden": _manual(
        "Jason Madden", "MIT", "PyPI gevent 26.9.0", manual="gevent-*/docs/*.rst", changes="gevent-*/CHANGES.rst",
    ),
    "rodola": _manual(
        "Giampaolo Rodola", "BSD-3-Clause", "PyPI psutil 7.2.2", manual="psutil-*/docs/*.rst psutil-*/HISTORY.rst",
    ),
    "cooper": _manual("Mendel Cooper", "public domain", "Debian abs-guide", manual="deb_abs-guide/**/*.html"),
    "brokken": _manual(
        "Frank Brokken", "GPL", "Debian c++-annotations-html", manual="deb_c++-annotations-html/**/*.html",
    ),
    "aoki": _manual(
        "Osamu Aoki", "GPL-2.0; MIT", "Debian debian-reference-en, debmake-doc",
        reference="deb_debian-reference-en/**/*.en.html",
        guide="deb_debmake-doc/**/*.en.html deb_debmake-doc/**/html/*.html",
    ),
    "fernandez": _manual(
        "Javier Fernández-Sanguino Peña", "GPL-2.0", "Debian harden-doc", manual="deb_harden-doc/**/en-US/*.html",
    ),
    "hertzog": _manual(
        "Raphaël Hertzog, Roland Mas", "GPL-2.0 or CC-BY-SA-3.0", "Debian debian-handbook",
        manual="deb_debian-handbook/**/en-US/*.html",
    ),
}  # fmt: skip


def paragraphs_of(text: str) -> list[str]:
    """Paragraphs of prose of a Markdown, Djot or reStructuredText document, each on one line, its marks taken off:
    what kind of markup somebody was given to write in is not voice."""
    text = _FRONT_MATTER.sub("", text)
    text = re.sub(r"^(```|~~~).*?^\1[^\n]*$", "", text, flags=re.MULTILINE | re.DOTALL)
    found = []
    for block in re.split(r"\n\s*\n", text):
        block = _MARK.sub("", block.strip("\n"))
        line = _ROLE.sub(r"\1", " ".join(block.split()))
        if _NO_PROSE.search(line):
            continue
        line = re.sub(r"!?\[([^\]]*)\](\([^)]*\)|\[[^\]]*\]|\{[^}]*\})", r"\1", line)
        line = re.sub(r"`([^`<]+?)(?:\s*<[^>]*>)?`_{0,2}", r"\1", line)
        line = re.sub(r"``?|\*\*?|(?<!\w)_|_(?!\w)|\{[^}]*\}|::$|https?://\S+|<[^>]*>", "", line).strip()
        if _is_prose(line):
            found.append(line)
    return found


def _is_prose(line: str) -> bool:
    letters = sum(c.isalpha() or c in " .,;'’:!?—-" for c in line)
    return len(line.split()) >= LEAST_PARAGRAPH_WORDS and letters >= LEAST_LETTERS * len(line) and line[0].isupper()


def html_paragraphs(text: str) -> list[str]:
    """Paragraphs of prose of a page."""
    from lxml import html

    found = html.fromstring(text.encode()).xpath("//p | //div[@class='para']")
    lines = [" ".join(p.text_content().split()) for p in found]
    return [line for line in lines if _is_prose(line) and "Prev" not in line]


def read_registers(folder: Path) -> dict[str, list[str]]:
    """Texts of a blog by register (the folder under `content` they lie in), front matter taken off."""
    registers: dict[str, list[str]] = {}
    for path in sorted([*folder.rglob("*.md"), *folder.rglob("*.dj")]):
        parts = path.relative_to(folder / "content").parts
        text = _FRONT_MATTER.sub("", path.read_text(encoding="utf-8", errors="replace"))
        registers.setdefault(parts[0] if len(parts) > 1 else "content", []).append(text)
    return registers


def read_prose(name: str, blogs: Path, manuals: Path) -> dict[str, list[str]]:
    """Documents of an author by register, as paragraphs of prose."""
    corpus = CORPORA[name]
    if name == "linkedin_export_sanand":
        with (blogs / name / "Shares.csv").open(encoding="utf-8", newline="") as file:
            texts = [row["ShareCommentary"].replace('"\n"', "\n").strip('"') for row in csv.DictReader(file)]
        return {"posts": [text for text in texts if text.strip()]}
    if not corpus.registers:
        raw = read_registers(blogs / name)
        found = {register: [paragraphs_of(t) for t in texts] for register, texts in raw.items()}
    else:
        found = {
            register: [_read(path) for pattern in patterns for path in sorted(manuals.glob(pattern)) if path.is_file()]
            for register, patterns in corpus.registers.items()
        }
    return {r: ["\n\n".join(p) for p in documents if p] for r, documents in found.items()}


def _read(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8", errors="replace")
    return html_paragraphs(text) if path.suffix == ".html" else paragraphs_of(text)


def halves(documents: list[str], seed: int = 0) -> tuple[list[str], list[str]]:
    """Documents drawn into two halves of about as many words; one long document is cut in four first."""
    if len(documents) == 1:
        found = documents[0].split("\n\n")
        documents = ["\n\n".join(found[i * len(found) // 4 : (i + 1) * len(found) // 4]) for i in range(4)]
    drawn = random.Random(seed).sample(documents, len(documents))
    ends = np.cumsum([len(text.split()) for text in drawn])
    first = int(np.searchsorted(ends, ends[-1] / 2)) + 1
    return drawn[:first], drawn[first:]


def cut(texts: list[str], length: int, limit: int) -> list[str]:
    """At most `limit` passages of `length` words, drawn from all the texts."""
    found = passages(texts, length)
    return random.Random(0).sample(found, min(limit, len(found)))


def frequent_words(prose: dict[str, dict[str, list[str]]]) -> list[str]:
    """The KNOWN_WORDS words that most authors use much: by the sum of the roots of their shares."""
    weight: Counter[str] = Counter()
    for registers in prose.values():
        words = [w.lower().replace("’", "'") for texts in registers.values() for t in texts for w in WORD.findall(t)]
        for word, count in Counter(words).items():
            weight[word] += np.sqrt(count / len(words))
    return sorted(word for word, _ in weight.most_common(KNOWN_WORDS))


def main(blogs: Path, manuals: Path, target: Path) -> None:
    """Read the corpora and write the background to `target`.

    The first half of each register's documents makes statistics and means, the second tells what strangers score.
    """
    prose = {name: read_prose(name, blogs, manuals) for name in CORPORA}
    words = frequent_words(prose)
    known = frozenset(words)
    first: dict[tuple[str, str], list[str]] = {}
    second: dict[str, list[str]] = {}
    for name, registers in prose.items():
        for register, documents in registers.items():
            if documents:
                mine, rest = halves(documents)
                if len(found := cut(mine, PASSAGE_WORDS, PASSAGES)) >= MINIMUM_PASSAGES:
                    first[name, register] = found
                    second.setdefault(name, []).extend(rest)
    names = tuple(name for name, _ in first)
    plain = Measure(np.ones(FEATURES, np.float32), np.ones(FEATURES, np.float32), known)
    spread = np.sum([(vectors(found, plain) > 0).sum(axis=0) for found in first.values()], axis=0)
    idf = (np.log((1 + sum(map(len, first.values()))) / (1 + spread)) + 1).astype(np.float16).astype(np.float32)
    unscaled = [vectors(found, replace(plain, idf=idf)) for found in first.values()]
    measure = Measure(idf, deviations(unscaled, names), known)
    means = np.stack([found.mean(axis=0) for found in unscaled])
    scale = means.max(axis=1, keepdims=True) / 255
    floor = np.zeros(len(LENGTHS), np.float32)
    background = Background(measure, np.round(means / scale) * scale * measure.scale, names, floor)
    np.savez_compressed(
        target,
        idf=idf.astype(np.float16),
        feature_scale=measure.scale.astype(np.float16),
        known=np.array(words),
        means=np.round(means / scale).astype(np.uint8),
        scale=scale.astype(np.float32),
        authors=np.array(names),
        registers=np.array([register for _, register in first]),
        floor=stranger_margins(background, second),
    )
    nearest(background, [register for _, register in first])


def deviations(found: list[Matrix], names: tuple[str, ...]) -> Matrix:
    """What each feature is multiplied by so that all vary about as much (cosine delta, Evert et al. 2017): one over the
    standard deviation, within an author and between them; those that hardly vary are held back [features]."""
    rows = {name: np.vstack([x for x, other in zip(found, names, strict=True) if other == name]) for name in names}
    within = np.mean([x.var(axis=0) for x in rows.values()], axis=0)
    between = np.stack([x.mean(axis=0) for x in rows.values()]).var(axis=0)
    scale = 1 / np.sqrt(within + between + np.median(within) + 1e-12)
    return np.asarray(scale / scale.max(), dtype=np.float16).astype(np.float32)


def stranger_margins(background: Background, second: dict[str, list[str]]) -> Matrix:
    """Mean margin of strangers at each length: every pair of authors, both taken out of the background."""
    tested = {
        name: [vectors(found, background.measure) for n in LENGTHS if (found := cut(texts, n, STRANGERS))]
        for name, texts in second.items()
    }
    margins: list[list[float]] = [[] for _ in LENGTHS]
    for author in second:
        mean = background.means[np.array(background.authors) == author].mean(axis=0)
        for stranger in second:
            if author != stranger:
                scorer = VoiceScorer.towards(mean, background.without([author, stranger]))
                for collected, rows in zip(margins, tested[stranger], strict=False):
                    collected.append(float(scorer.margins_of(rows).mean()))
    print("strangers' margins", [(len(found), np.mean(found).round(4), np.std(found).round(4)) for found in margins])
    return np.array([np.mean(found) for found in margins], dtype=np.float32)


def nearest(background: Background, registers: list[str]) -> None:
    """Print how near registers of one author and of two lie to each other; SAME_PERSON lies between."""
    near = units(background.means - background.centre)
    same = np.equal.outer(background.authors, background.authors)
    found = near @ near.T
    for i, name in enumerate(background.authors):
        own, other = found[i][same[i] & (np.arange(len(near)) != i)], found[i][~same[i]]
        print(
            name, registers[i], "own registers", np.round(np.sort(own)[::-1], 2), "others", round(float(other.max()), 2)
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(__file__).with_name("voice_background.npz"))
