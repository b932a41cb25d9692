"""The voice score: does a text read like its author, or like anybody else?

Authorship verification against impostors. A text becomes three kinds of features (voice_features.py): character
3-5-grams, runs of words and marks with the rarer words struck out, and runs of words' shapes and marks; the last two
cannot tell topics. The mean of many authors is taken away (the background, shipped as numbers), so that what is left is
what differs between people, and each feature is divided by how much it varies. What counts is how near a text then lies
to the author, less half of how near it lies to the nearest impostor. This margin is calibrated per length: 0 is what
strangers get, 100 what the author's own unseen writing gets. Method, figures and limits: docs/voice.md.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import resources
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from twin_assets.core.documents import content_hash
from twin_assets.core.errors import BrokenFileError, TooLittleTextError
from twin_assets.core.voice_features import (
    LENGTHS,
    PASSAGE_WORDS,
    Matrix,
    Measure,
    passages,
    pieces,
    plain,
    prose,
    sparse_vectors,
    unit,
    units,
    vectors,
)
from twin_assets.core.whole_files import replacing

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from twin_assets.core.voice_explanation import Explanation
    from twin_assets.core.workspace import Workspace

SCORER_VERSION = "3"
MINIMUM_WORDS = 1_000
FOLDS = 5
HELD_OUT_WORDS = 2_000  # of each fold and length: what the ceiling is the mean of
# Fewer words say little: docs/voice.md.
SCORED_WORDS = 50
# How much nearness to the nearest impostor counts against a text: of 0, 0.5 and 1, 0.5 told authors apart best.
IMPOSTOR_SHARE = np.float32(0.5)
# The background author who is nearest is taken to be the author, and left out, at this nearness and this far ahead of
# the next. The blogs' authors, from 40 passages of their sites' own Markdown, lie at 0.35 to 0.55 from themselves, 0.10
# to 0.21 ahead; the demo's author, who is not there, at 0.26 from the nearest, a collection of news pages at 0.33, 0.07
# ahead. Wrongly left out, one impostor of many is missing; wrongly kept, the author is their own impostor.
SAME_PERSON = 0.3
AHEAD = 0.1


@dataclass(frozen=True, slots=True)
class VoiceScore:
    """score: 0 (strangers) to 100 (the author's own unseen writing, on average, at this length), clipped; unclipped:
    the same before; own passages scatter around 100, so their mean is near 100 only before clipping; similarity: the
    margin it comes from; floor, ceiling: the margins of strangers and of the author at this length; words: length.
    """

    score: float
    similarity: float
    floor: float
    ceiling: float
    words: int
    unclipped: float


@dataclass(frozen=True, slots=True)
class Background:
    """Numbers about other people's writing, shipped with the package (data/make_voice_background.py).

    measure: how texts become vectors; means: mean vectors by author and register; authors: of each mean; floor: mean
    margin, at each of LENGTHS, of strangers whom the background does not know.
    """

    measure: Measure
    means: Matrix
    authors: tuple[str, ...]
    floor: Matrix

    @classmethod
    def load(cls) -> "Background":
        """The shipped background."""
        content = resources.files("twin_assets.core.data").joinpath("voice_background.npz").read_bytes()
        with np.load(BytesIO(content), allow_pickle=False) as data:
            scale = data["feature_scale"].astype(np.float32)
            return cls(
                measure=Measure(data["idf"].astype(np.float32), scale, frozenset(data["known"].tolist())),
                means=data["means"].astype(np.float32) * data["scale"] * scale,
                authors=tuple(data["authors"].tolist()),
                floor=data["floor"],
            )

    def without(self, authors: Collection[str]) -> "Background":
        """The background less these authors."""
        kept = [i for i, name in enumerate(self.authors) if name not in authors]
        return replace(self, means=self.means[kept], authors=tuple(self.authors[i] for i in kept))

    @property
    def centre(self) -> Matrix:
        """Mean of all authors, each counting the same."""
        names = np.array(self.authors)
        return np.mean([self.means[names == name].mean(axis=0) for name in sorted(set(names))], axis=0)


class VoiceScorer:
    """Scores texts against one author's writing.

    measure: the background's; centre: what is taken from every vector; reference: the author's direction from there;
    impostors: the others' [n, features]; floor, ceiling: margins at LENGTHS.
    """

    def __init__(
        self, measure: Measure, centre: Matrix, reference: Matrix, impostors: Matrix, floor: Matrix, ceiling: Matrix
    ) -> None:
        self.measure, self.centre, self.reference, self.impostors = measure, centre, reference, impostors
        self.floor = floor
        self.ceiling = ceiling
        self.fitted_on = ""

    @classmethod
    def fit(cls, texts: Sequence[str], seed: int = 0, background: Background | None = None) -> "VoiceScorer":
        """Learn an author from their texts; raises TooLittleTextError below 1,000 words.

        The ceiling is the mean margin of passages held out in five folds; the floor that of strangers, which
        hardly differs from author to author (standard deviation 0.02 to 0.03).
        """
        count = sum(len(plain(text).split()) for text in texts)
        if count < MINIMUM_WORDS:
            raise TooLittleTextError(
                f"A voice cannot be measured on {count} words; it takes {MINIMUM_WORDS:,}. Add more of your writing."
            )
        background = background or Background.load()
        shuffled = [texts[i] for i in np.random.default_rng(seed).permutation(len(texts))]
        found = _folds(shuffled, background)
        mean = np.concatenate(found).mean(axis=0)
        background = background.without(same_person(mean, background))
        scorer = cls.towards(mean, background)
        scorer.floor = background.floor
        scorer.ceiling = np.maximum(_ceiling(shuffled, found, background), scorer.floor + 1e-3)
        return scorer

    @classmethod
    def towards(cls, mean: Matrix, background: Background) -> "VoiceScorer":
        """A scorer that is not calibrated, for an author of this mean vector."""
        centre = background.centre.astype(np.float16).astype(np.float32)
        near = units(np.vstack([mean, background.means]) - centre).astype(np.float16).astype(np.float32)
        zero = np.zeros(len(LENGTHS), dtype=np.float32)
        return cls(background.measure, centre, near[0], near[1:], zero, zero)

    def margins(self, texts: Sequence[str]) -> Matrix:
        """Nearness to the author less IMPOSTOR_SHARE of that to the nearest impostor, of each text.

        Of a long text the mean of its pieces': a text of 2,000 words has nearly every feature, and tells less.
        """
        return self.margins_of_prose([prose(text) for text in texts])

    def margins_of_prose(self, texts: Sequence[str]) -> Matrix:
        """The margins of texts that are prose already."""
        cut = [pieces(text) for text in texts]
        found = self.margin(*self.nearness(sparse_vectors([piece for text in cut for piece in text], self.measure)))
        starts = np.cumsum([0, *map(len, cut)])[:-1]
        return np.asarray(np.add.reduceat(found, starts) / [len(text) for text in cut], dtype=np.float32)

    def margins_of(self, found: Matrix) -> Matrix:
        """The margins of texts whose vectors are at hand."""
        found = units(found - self.centre)
        return self.margin(found @ self.reference, found @ self.impostors.T)

    def nearness(self, found: "csr_matrix") -> tuple[Matrix, Matrix]:
        """Cosines of texts' sparse vectors to the author [n] and to every impostor [n, impostors], all from the centre.

        A vector less the centre is dense; its products and its length are not needed dense.
        """
        products = np.asarray(found @ self._targets, dtype=np.float32)
        squares = np.asarray(found.multiply(found).sum(axis=1)).ravel()
        lengths = np.sqrt(np.maximum(squares - 2 * products[:, 0] + float(self.centre @ self.centre), 1e-18))
        near = (products[:, 1:] - self.centre @ self._targets[:, 1:]) / lengths[:, None]
        return near[:, 0], near[:, 1:]

    @cached_property
    def _targets(self) -> Matrix:
        """Centre, reference and impostors as columns [features, 2 + impostors]."""
        return np.ascontiguousarray(np.vstack([self.centre, self.reference, self.impostors]).T)

    def towards_author(self, impostor: int | None) -> Matrix:
        """What the margin is a text's product with, where this impostor is the nearest [features]."""
        return self.reference - (0 if impostor is None else IMPOSTOR_SHARE * self.impostors[impostor])

    @staticmethod
    def margin(own: Matrix, others: Matrix) -> Matrix:
        """Nearness to the author [n] less IMPOSTOR_SHARE of the highest of those to impostors [n, impostors]."""
        return np.asarray(own - IMPOSTOR_SHARE * others.max(axis=1, initial=-1.0), dtype=np.float32)

    def explain(self, text: str, most: int = 5) -> "Explanation":
        """What raises and what lowers the score of a text, at most so many reasons each (voice_explanation.py)."""
        from twin_assets.core.voice_explanation import explain

        return explain(self, text, most)

    def spread(self, words: int) -> tuple[float, float]:
        """Floor and ceiling at this length in words."""
        at, lengths = np.log(np.clip(words, LENGTHS[0], LENGTHS[-1])), np.log(LENGTHS)
        return float(np.interp(at, lengths, self.floor)), float(np.interp(at, lengths, self.ceiling))

    def score(self, text: str) -> VoiceScore:
        """The voice score of a text; below SCORED_WORDS it is little more than chance."""
        words = len(plain(text).split())
        floor, ceiling = self.spread(words)
        similarity = float(self.margins([text])[0])
        score = 100 * (similarity - floor) / (ceiling - floor) if words else 0.0
        return VoiceScore(float(np.clip(score, 0, 100)), similarity, floor, ceiling, words, score)

    def save(self, path: Path) -> None:
        """Write the scorer as an .npz of numbers (a rename: no reader sees half of it)."""
        with replacing(path) as file:
            halves = {name: getattr(self, name).astype(np.float16) for name in _HALVES}
            np.savez_compressed(
                file, **halves, idf=self.measure.idf.astype(np.float16), scale=self.measure.scale.astype(np.float16),
                known=np.array(sorted(self.measure.known)), floor=self.floor, ceiling=self.ceiling,
                fitted_on=np.array(self.fitted_on),
            )  # fmt: skip

    @classmethod
    def load(cls, path: Path) -> "VoiceScorer":
        """Read a scorer; raises BrokenFileError for a file that is none."""
        try:
            with np.load(path, allow_pickle=False) as data:
                halves = {name: data[name].astype(np.float32) for name in _HALVES}
                known = frozenset(data["known"].tolist())
                measure = Measure(data["idf"].astype(np.float32), data["scale"].astype(np.float32), known)
                scorer = cls(measure, **halves, floor=data["floor"], ceiling=data["ceiling"])
                scorer.fitted_on = str(data["fitted_on"])
                return scorer
        except (OSError, ValueError, KeyError) as error:
            raise BrokenFileError(f"The voice file {path} cannot be read ({error}); run `twin run` again.") from error


# Kept with 16 bits, as they are used: a score is the same before saving and after loading.
_HALVES = ("centre", "reference", "impostors")


def same_person(mean: Matrix, background: Background) -> set[str]:
    """The background author who is the author of this mean vector, if there is one."""
    near = units(background.means - background.centre) @ unit(mean - background.centre)
    best: dict[str, float] = {}
    for name, nearness in zip(background.authors, near.tolist(), strict=True):
        best[name] = max(best.get(name, -1.0), nearness)
    first, *others = sorted(best, key=lambda name: -best[name]) or [""]
    ahead = not others or best[first] - best[others[0]] > AHEAD
    return {first} if first and best[first] > SAME_PERSON and ahead else set()


def _folds(texts: Sequence[str], background: Background) -> list[Matrix]:
    """Vectors of the texts' passages, each text's in one of five folds (a few long texts are cut up)."""
    folds = [passages(texts[i::FOLDS], PASSAGE_WORDS)[:80] for i in range(FOLDS)]
    if not all(folds):
        pieces = passages(texts, PASSAGE_WORDS)
        folds = [pieces[i::FOLDS] for i in range(FOLDS)]
    return [vectors(fold, background.measure) for fold in folds]


def _ceiling(texts: Sequence[str], folds: Sequence[Matrix], background: Background) -> Matrix:
    """Mean margin of held-out passages at each length; where there is too little for a length, that of the next
    shorter one."""
    cut = all(len(passages(texts[i::FOLDS], PASSAGE_WORDS)) for i in range(FOLDS))
    pieces = texts if cut else passages(texts, PASSAGE_WORDS)
    margins: dict[int, list[float]] = {length: [] for length in LENGTHS}
    for number in range(FOLDS):
        others = np.concatenate([fold for i, fold in enumerate(folds) if i != number])
        scorer = VoiceScorer.towards(others.mean(axis=0), background)
        margins[PASSAGE_WORDS].extend(scorer.margins_of(folds[number][: HELD_OUT_WORDS // PASSAGE_WORDS]))
        for length in LENGTHS:
            held_out = (
                passages(pieces[number::FOLDS], length)[: min(20, HELD_OUT_WORDS // length)]
                if length != PASSAGE_WORDS
                else []
            )
            if held_out:
                margins[length].extend(scorer.margins(held_out))
    ceiling: list[float] = []
    for length in LENGTHS:
        enough = len(margins[length]) >= FOLDS or not ceiling
        ceiling.append(float(np.mean(margins[length])) if enough else ceiling[-1])
    return np.asarray(ceiling, dtype=np.float32)


def update_voice(workspace: "Workspace", author: str, texts: Sequence[str]) -> VoiceScorer:
    """Fit the author's scorer on these texts and keep it where serving finds it; the same texts are not fitted
    again."""
    fitted_on = content_hash(SCORER_VERSION, sorted(texts))
    try:
        kept = load_scorer(workspace, author)
    except BrokenFileError:  # broken, or of an older version: made anew
        kept = None
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
