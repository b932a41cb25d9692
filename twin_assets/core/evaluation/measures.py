"""Figures of sets of texts that answer the same held-out instructions, against one author's training texts."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from twin_assets.core.datasets import Dataset
from twin_assets.core.errors import TooLittleTextError
from twin_assets.core.evaluation.formats import broken_rules
from twin_assets.core.evaluation.intervals import (
    Interval,
    Numbers,
    drawn_anew,
    interval,
    mean_interval,
    paired_difference,
)
from twin_assets.core.evaluation.report import Answer, TextFigures
from twin_assets.core.evaluation.similarity import similarities
from twin_assets.core.overlap import VerbatimIndex
from twin_assets.core.voice import SCORED_WORDS, VoiceScorer

if TYPE_CHECKING:
    from twin_assets.core.embedding import Embedder

NANO_VOICE = "nano strings the author's syllables together: it measures 100 and says nothing"


@dataclass
class Measured:
    """Figures, and what a paired comparison needs: values by metric and sample id, voice by bootstrap draw."""

    figures: TextFigures
    values: dict[str, dict[str, float]] = field(default_factory=dict)
    sample_ids: tuple[str, ...] = ()
    voice: Numbers | None = None


class Measure:
    """Measures sets of answers; what it cannot measure it puts into `left_out`."""

    def __init__(self, embedder: "Embedder", dataset: Dataset, left_out: dict[str, str], is_nano: bool) -> None:
        self.embedder = embedder
        trained = dataset.split("train")["target"].to_list()
        self.index = VerbatimIndex(trained)
        self.scorer: VoiceScorer | None = None
        self.is_nano = is_nano
        if is_nano:
            left_out["generated_voice"] = NANO_VOICE
        try:
            self.scorer = VoiceScorer.fit(trained)
        except TooLittleTextError as error:
            left_out["voice"] = str(error)

    def __call__(
        self, answers: Sequence[Answer], judged: Mapping[str, dict[str, float]] | None, *, generated: bool
    ) -> Measured:
        """Figures of one system's answers; generated: a model wrote them (else they are the author's words)."""
        from twin_assets.core.cleaning.redaction import redact

        texts = [answer.text for answer in answers]
        ids = tuple(answer.sample_id for answer in answers)
        own = all(answer.text == answer.target for answer in answers)
        similar = {} if own else similarities([(answer.target, answer.text) for answer in answers], self.embedder)
        values = {name: dict(zip(ids, found, strict=True)) for name, found in similar.items()}
        values |= {name: dict(found) for name, found in (judged or {}).items()}
        values["words"] = {answer.sample_id: float(len(answer.text.split())) for answer in answers}
        measured = Measured(self._figures(answers, values, set(similar)), values, ids)
        figures = measured.figures
        figures.leaks = sum(redact(text)[1].total() for text in texts)
        figures.intervals = self.intervals_of(values, list(values))
        if not (generated and self.is_nano):
            self._voice(measured, texts)
        return measured

    @staticmethod
    def intervals_of(values: Mapping[str, Mapping[str, float]], metrics: Sequence[str]) -> dict[str, Interval]:
        """Mean and interval of each of the metrics that there are values of."""
        found = {name: mean_interval(list(values[name].values())) for name in metrics if values.get(name)}
        return {name: each for name, each in found.items() if each is not None}

    def _figures(
        self, answers: Sequence[Answer], values: Mapping[str, Mapping[str, float]], similar: set[str]
    ) -> TextFigures:
        means = {name: statistics.fmean(found.values()) for name, found in values.items() if found}
        broken = {a.sample_id: broken_rules(a.form, a.text) for a in answers}
        return TextFigures(
            samples=len(answers),
            words=means["words"],
            voice=None,
            similarity={name: value for name, value in means.items() if name in similar},
            judged={name: value for name, value in means.items() if name not in similar and name != "words"},
            longest_overlap=max((self.index.longest(answer.text) for answer in answers), default=0),
            leaks=0,
            broken={name: rules for name, rules in broken.items() if rules},
            median_seconds=_median(answer.seconds for answer in answers),
            prompt_tokens=_mean(answer.prompt_tokens for answer in answers),
            written_tokens=_mean(answer.written_tokens for answer in answers),
        )

    def _voice(self, measured: Measured, texts: Sequence[str]) -> None:
        """Score all texts together: they are long enough to be told from a stranger's, one short post is not."""
        scorer = self.scorer
        if scorer is None or sum(len(text.split()) for text in texts) < SCORED_WORDS:
            return

        def score(some: Sequence[str]) -> float:
            return scorer.score("\n\n".join(some)).score

        figures = measured.figures
        figures.voice = score(texts)
        measured.voice = drawn_anew(texts, score)
        figures.intervals["voice"] = interval(figures.voice, measured.voice, len(texts))


def compared(ours: Measured, theirs: Measured) -> dict[str, Interval]:
    """Differences, ours less theirs, in every figure that both have, paired on the same texts."""
    found = {
        name: paired_difference(ours.values[name], theirs.values[name])
        for name in ours.values
        if name in theirs.values and name != "words"
    }
    if ours.voice is not None and theirs.voice is not None and ours.sample_ids == theirs.sample_ids:
        difference = (ours.figures.voice or 0.0) - (theirs.figures.voice or 0.0)
        found["voice"] = interval(difference, ours.voice - theirs.voice, len(ours.sample_ids))
    return {name: each for name, each in found.items() if each is not None}


def answer_of(row: Mapping[str, Any], text: str, **made: Any) -> Answer:
    """An answer to a sample's row."""
    return Answer(
        sample_id=row["sample_id"], form=row["form"], instruction=row["instruction"], target=row["target"], text=text,
        **made,
    )  # fmt: skip


def _median(values: Any) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _mean(values: Any) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None
