"""Computes word_background.npz: how often other people use a word, for the voice profile.

Run as `python -m twin_assets.core.data.make_word_background <folder of the corpora>`.
The corpora are openly licensed (voice_brandur: MIT, Brandur Leach; voice_matklad: MIT or Apache-2.0, Aleksey Kladov;
voice_mtlynch: CC-BY-4.0, Michael Lynch; linkedin_export_sanand: MIT, Anand S; retrieval_covidqa: Apache-2.0, deepset).
Kept of them: a 32-bit hash and a share for every word found three times or more, each corpus counting the same, and the
mean over the three blogs of what voice_profile.py measures. No text can be had back from these.
"""

import csv
import json
import statistics
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from twin_assets.core.data.make_voice_background import BLOGS, read_registers
from twin_assets.core.vocabulary import bucket_of, words_of
from twin_assets.core.voice_features import plain
from twin_assets.core.voice_profile import NORMS, measure

LEAST = 3  # times a word must be found in all


def read_corpora(folder: Path) -> dict[str, list[str]]:
    """Texts by corpus."""
    texts = {name: [plain(t) for found in read_registers(folder / name).values() for t in found] for name in BLOGS}
    with (folder / "linkedin_export_sanand" / "Shares.csv").open(encoding="utf-8", newline="") as file:
        texts["linkedin_export_sanand"] = [plain(row["ShareCommentary"]) for row in csv.DictReader(file)]
    papers = json.loads((folder / "retrieval_covidqa" / "200421_covidQA.json").read_text(encoding="utf-8"))
    texts["retrieval_covidqa"] = [p["context"] for paper in papers["data"] for p in paper["paragraphs"]]
    return texts


def main(source: Path, target: Path) -> None:
    """Read the corpora under `source` and write the background to `target`."""
    texts = read_corpora(source)
    counts = {name: Counter(word for text in found for word in words_of(text)) for name, found in texts.items()}
    everything = sum(counts.values(), Counter())
    totals = {name: found.total() for name, found in counts.items()}
    shares: dict[int, float] = {}
    for word, count in everything.items():
        if count >= LEAST:
            share = statistics.fmean(found[word] / totals[name] for name, found in counts.items())
            shares[bucket_of(word)] = shares.get(bucket_of(word), 0.0) + share
    measured = [measure(texts[name]) for name in BLOGS]
    norms = {name: statistics.fmean(read(found) for found in measured) for name, read in NORMS.items()}
    buckets = np.array(sorted(shares), dtype=np.uint32)
    np.savez_compressed(
        target,
        buckets=buckets,
        shares=np.array([shares[int(bucket)] for bucket in buckets], dtype=np.float32),
        words=np.int64(everything.total()),
        norm_names=np.array(list(norms)),
        norm_values=np.array(list(norms.values()), dtype=np.float32),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).with_name("word_background.npz"))
