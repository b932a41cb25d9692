"""Voice score: how much a text sounds like the author, by the impostors method.

A text is compared with the author's own writing and with other people's (Koppel and Winter 2014, "Determining if two
documents are written by the same author"); what counts is how much nearer it is to the author than to the nearest
impostor. The margin is calibrated per length: 0 is what strangers get, 100 what the author's own unseen writing gets.
"""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from twin_assets.core.documents import content_hash
from twin_assets.core.errors import ConfigurationError, TooLittleTextError
from twin_assets.core.voice_features import LENGTHS, PASSAGE_WORDS, Matrix, passages, plain, unit, vectors

if TYPE_CHECKING:
    from twin_assets.core.workspace import Workspace

SCORER_VERSION = "1"
MINIMUM_WORDS = 1_000
FOLDS = 5
# Fewer words say little: four authors against strangers not in the background, mean area under the curve 0.81 at 25
# words, 0.86 at 50, 0.93 at 200.
SCORED_WORDS = 50
# A background author one of whose registers is nearer than this is taken to be the author, and left out. No register of
# one background author is nearer than 0.935 to another's; one person's registers lie at 0.79 to 0.97 from each other,
# so it takes one near register to be recognised. Found on the same authors it was set by: to be validated on others.
SAME_PERSON = 0.945


@dataclass(frozen=True, slots=True)
class VoiceScore:
    """score: 0 (strangers) to 100 (the author's own unseen writing, on average, at this length); single texts scatter
    widely and are clipped, so an author's own passages of 100 words average 60 to 90; similarity: the margin it comes
    from; floor, ceiling: the margins of strangers and of the author at this length; words: length of the text."""

    score: float
    similarity: float
    floor: float
    ceiling: float
    words: int


@dataclass(frozen=True, slots=True)
class Background:
    """Numbers about other people's writing, shipped with the package (data/make_voice_background.py)."""

    idf: Matrix
    means: Matrix
    authors: tuple[str, ...]
    own_similarity: Matrix

    @classmethod
    def load(cls) -> "Background":
        """The shipped background."""
        content = resources.files("twin_assets.core.data").joinpath("voice_background.npz").read_bytes()
        with np.load(BytesIO(content), allow_pickle=False) as data:
            means = data["means"].astype(np.float32) * data["scale"]
            return cls(
                idf=data["idf"].astype(np.float32),
                means=means / np.linalg.norm(means, axis=1, keepdims=True),
                authors=tuple(data["authors"].tolist()),
                own_similarity=data["own_similarity"],
            )

    def without(self, authors: Sequence[str]) -> "Background":
        """The background less these authors."""
        kept = [i for i, name in enumerate(self.authors) if name not in authors]
        return Background(self.idf, self.means[kept], tuple(self.authors[i] for i in kept), self.own_similarity)


class VoiceScorer:
    """Scores texts against one author's writing.

    reference: the author's mean vector; impostors: the others' [n, features]; floor, ceiling: margins at LENGTHS.
    """

    def __init__(self, idf: Matrix, reference: Matrix, impostors: Matrix, floor: Matrix, ceiling: Matrix) -> None:
        self.idf = idf
        self.reference = reference
        self.impostors = impostors
        self.floor = floor
        self.ceiling = ceiling
        self.fitted_on = ""

    @classmethod
    def fit(cls, texts: Sequence[str], seed: int = 0, background: Background | None = None) -> "VoiceScorer":
        """Learn an author from their texts; raises TooLittleTextError below 1,000 words.

        The ceiling is the margin of passages held out in five folds. The floor is what a stranger gets: with m_k the
        mean of a background author and c(n) how similar somebody's unseen passages of n words are to their own mean,
        c(n) · (m_k·author - max over the others of m_k·m_j), averaged; the mean margins
        of strangers measured on four authors lie within 0.01 of it.
        """
        count = sum(len(plain(text).split()) for text in texts)
        if count < MINIMUM_WORDS:
            raise TooLittleTextError(
                f"A voice cannot be measured on {count} words; it takes {MINIMUM_WORDS:,}. Add more of your writing."
            )
        background = background or Background.load()
        shuffled = [texts[i] for i in np.random.default_rng(seed).permutation(len(texts))]
        reference = _mean(shuffled, background.idf)
        authors = {
            name
            for name, mean in zip(background.authors, background.means, strict=True)
            if float(mean @ reference) > SAME_PERSON
        }
        background = background.without(sorted(authors))
        scorer = cls(background.idf, reference, background.means, *np.zeros((2, len(LENGTHS)), dtype=np.float32))
        strangers = []
        for name, mean in zip(background.authors, background.means, strict=True):
            others = background.without([name]).means
            strangers.append(float(mean @ reference) - float((others @ mean).max(initial=0.0)))
        scorer.floor = np.asarray(background.own_similarity * np.mean(strangers), dtype=np.float32)
        scorer.ceiling = np.maximum(_ceiling(shuffled, scorer), scorer.floor + 1e-3)
        return scorer

    def margins(self, texts: Sequence[str]) -> Matrix:
        """Similarity to the author less the highest similarity to an impostor, of each text."""
        found = vectors(texts, self.idf)
        return np.asarray(found @ self.reference - (found @ self.impostors.T).max(axis=1), dtype=np.float32)

    def score(self, text: str) -> VoiceScore:
        """The voice score of a text; below 25 words it is little more than chance."""
        words = len(plain(text).split())
        at = np.log(np.clip(words, LENGTHS[0], LENGTHS[-1]))
        floor = float(np.interp(at, np.log(LENGTHS), self.floor))
        ceiling = float(np.interp(at, np.log(LENGTHS), self.ceiling))
        similarity = float(self.margins([text])[0])
        score = 100 * (similarity - floor) / (ceiling - floor) if words else 0.0
        return VoiceScore(float(np.clip(score, 0, 100)), similarity, floor, ceiling, words)

    def save(self, path: Path) -> None:
        """Write the scorer as an .npz of numbers (a rename: no reader sees half of it)."""
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        with os.fdopen(descriptor, "wb") as file:
            arrays = {name: getattr(self, name) for name in _FIELDS}
            np.savez_compressed(file, fitted_on=np.array(self.fitted_on), **arrays)
        os.replace(temporary, path)

    @classmethod
    def load(cls, path: Path) -> "VoiceScorer":
        """Read a scorer; raises ConfigurationError for a file that is none."""
        try:
            with np.load(path, allow_pickle=False) as data:
                scorer = cls(*(data[name] for name in _FIELDS))
                scorer.fitted_on = str(data["fitted_on"])
                return scorer
        except (OSError, ValueError, KeyError) as error:
            raise ConfigurationError(
                f"The voice file {path} cannot be read ({error}); run `twin run` again."
            ) from error


_FIELDS = ("idf", "reference", "impostors", "floor", "ceiling")


def _mean(texts: Sequence[str], idf: Matrix) -> Matrix:
    found = passages(texts, PASSAGE_WORDS)[:400] or [" ".join(texts)]
    return unit(vectors(found, idf).mean(axis=0))


def _ceiling(texts: Sequence[str], scorer: VoiceScorer) -> Matrix:
    """Mean margin of held-out passages at each length; where there is too little for a length, that of the next
    shorter one, grown as the floor's size grows."""
    folds = [list(texts[i::FOLDS]) for i in range(FOLDS)]
    if len(texts) < FOLDS:  # a few long texts: cut them up
        pieces = passages(texts, PASSAGE_WORDS)
        folds = [pieces[i::FOLDS] for i in range(FOLDS)]
    means = [_mean([t for j, fold in enumerate(folds) if j != i for t in fold], scorer.idf) for i in range(FOLDS)]
    ceiling: list[float] = []
    for position, length in enumerate(LENGTHS):
        margins: list[Any] = []
        for fold, mean in zip(folds, means, strict=True):
            held_out = passages(fold, length)[:40]
            if held_out:
                other = VoiceScorer(scorer.idf, mean, scorer.impostors, scorer.floor, scorer.floor)
                margins.extend(other.margins(held_out))
        if len(margins) >= FOLDS or not ceiling:
            ceiling.append(float(np.mean(margins)) if margins else 0.0)
        else:
            ceiling.append(ceiling[-1] * float(scorer.floor[position] / scorer.floor[position - 1]))
    return np.asarray(ceiling, dtype=np.float32)


def update_voice(workspace: "Workspace", author: str, texts: Sequence[str]) -> VoiceScorer:
    """Fit the author's scorer on these texts and keep it where serving finds it; the same texts are not fitted
    again."""
    fitted_on = content_hash(SCORER_VERSION, sorted(texts))
    kept = load_scorer(workspace, author)
    if kept is not None and kept.fitted_on == fitted_on:
        return kept
    scorer = VoiceScorer.fit(texts)
    scorer.fitted_on = fitted_on
    scorer.save(scorer_path(workspace, author))
    return scorer


def load_scorer(workspace: "Workspace", author: str) -> VoiceScorer | None:
    """The author's scorer, None where none was fitted yet."""
    path = scorer_path(workspace, author)
    return VoiceScorer.load(path) if path.is_file() else None


def scorer_path(workspace: "Workspace", author: str) -> Path:
    """Where the author's scorer is kept."""
    return workspace.settings.home / "profiles" / f"{author}.voice.npz"
