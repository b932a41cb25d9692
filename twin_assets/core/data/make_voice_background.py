"""Computes voice_background.npz: what other people's writing looks like, in numbers, for the voice score.

Run as `python -m twin_assets.core.data.make_voice_background <folder of the three corpora>`.
The corpora are openly licensed (voice_brandur: MIT, Brandur Leach; voice_matklad: MIT or Apache-2.0, Aleksey Kladov;
voice_mtlynch: CC-BY-4.0, Michael Lynch). What is kept of them: the inverse document frequency of 16,384 hashed
character n-grams, one mean vector for each author and register, and how similar an author's unseen passages are to
their own mean at each length. No text can be had back from these.
"""

import random
import re
import sys
from pathlib import Path

import numpy as np

from twin_assets.core.voice_features import FEATURES, LENGTHS, PASSAGE_WORDS, Matrix, passages, unit, vectors

CORPORA = ("voice_brandur", "voice_matklad", "voice_mtlynch")
PASSAGES_PER_REGISTER = 300
MINIMUM_PASSAGES = 40
_FRONT_MATTER = re.compile(r"\A(---|\+\+\+)\n.*?\n\1\n", re.DOTALL)


def read_registers(folder: Path) -> dict[str, list[str]]:
    """Texts of a corpus by register (the folder under `content` they lie in), front matter taken off."""
    registers: dict[str, list[str]] = {}
    for path in sorted([*folder.rglob("*.md"), *folder.rglob("*.dj")]):
        parts = path.relative_to(folder / "content").parts
        text = _FRONT_MATTER.sub("", path.read_text(encoding="utf-8", errors="replace"))
        registers.setdefault(parts[0] if len(parts) > 1 else "content", []).append(text)
    return registers


def _own_similarity(texts: list[str], mean: Matrix, idf: Matrix, length: int) -> float:
    return float((vectors(passages(texts, length)[:100], idf) @ mean).mean())


def main(source: Path, target: Path) -> None:
    """Read the corpora under `source` and write the background to `target`."""
    draw = random.Random(0)
    kept: dict[tuple[str, str], tuple[list[str], list[str]]] = {}
    for corpus in CORPORA:
        for register, texts in read_registers(source / corpus).items():
            draw.shuffle(texts)
            half = len(texts) // 2
            if len(passages(texts[:half], PASSAGE_WORDS)) >= MINIMUM_PASSAGES:
                kept[corpus, register] = texts[:half], texts[half:]
    # The first half of each register makes statistics and means, the second tells how similar unseen writing is.
    reference = {key: passages(first, PASSAGE_WORDS)[:PASSAGES_PER_REGISTER] for key, (first, _) in kept.items()}
    every = vectors([passage for found in reference.values() for passage in found], np.ones(FEATURES, np.float32))
    idf = np.log((1 + len(every)) / (1 + (every > 0).sum(axis=0))) + 1
    idf = idf.astype(np.float16).astype(np.float32)
    means = {key: unit(vectors(found, idf).mean(axis=0)) for key, found in reference.items()}
    own = [np.mean([_own_similarity(second, means[key], idf, n) for key, (_, second) in kept.items()]) for n in LENGTHS]
    stacked = np.stack(list(means.values()))
    scale = stacked.max(axis=1, keepdims=True) / 255
    np.savez_compressed(
        target,
        idf=idf.astype(np.float16),
        means=np.round(stacked / scale).astype(np.uint8),
        scale=scale.astype(np.float32),
        authors=np.array([corpus for corpus, _ in means]),
        registers=np.array([register for _, register in means]),
        own_similarity=np.array(own, dtype=np.float32),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).with_name("voice_background.npz"))
