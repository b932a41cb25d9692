"""The evaluation report: every figure with what it was measured on, and what was left out and why."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from twin_assets.core.evaluation.intervals import Interval

EVALUATION_VERSION = "4"
NANO_NOTICE = (
    "This model has two million parameters and was made from nothing but the author's text: its words prove that the "
    "machinery works, they are not prose."
)
# What writes to the same held-out instructions: the version, the one that is served, and the stock base with retrieved
# context and few-shot examples of the author's training texts.
System = Literal["candidate", "champion", "baseline", "assembled"]


class TextLoss(BaseModel):
    """Nats of one held-out text, tuned and base, over its tokens and characters."""

    sample_id: str
    nats: float
    nats_base: float
    tokens: int
    characters: int


class HeldOut(BaseModel):
    """Loss on the author's held-out texts, in nats, every token weighing the same; the base is without the adapter."""

    samples: int
    tokens: int
    characters: int
    loss: float = Field(description="nats per token, tuned")
    loss_base: float = Field(description="nats per token, base")
    loss_per_character: float = Field(description="nats per character, tuned: comparable between tokenizers")
    loss_interval: Interval | None = None
    below_base: Interval | None = Field(default=None, description="improvement, paired by text")
    texts: list[TextLoss] = Field(default_factory=list)

    @property
    def improvement(self) -> float:
        """By what share the tuned model's loss is below its base's (negative: it is worse)."""
        return 1.0 - self.loss / self.loss_base


class TextFigures(BaseModel):
    """Means over a set of texts answering held-out instructions.

    voice: 0 to 100, of all texts together (None below 50 words, where it means nothing); similarity: Ragas metrics
    against the author's text, 0 to 1; judged: Ragas metrics of a judge, 0 to 1, the style rubric 1 to 5;
    longest_overlap: words in the longest stretch that stands verbatim in the training texts; leaks: personal data and
    secrets found; broken: by sample id, which rules of its form a text breaks; intervals: of voice, words, similarity
    and judged; median_seconds, prompt_tokens, written_tokens: what one answer took, None where nothing was served.
    """

    samples: int
    words: float
    voice: float | None
    similarity: dict[str, float] = Field(default_factory=dict)
    judged: dict[str, float] = Field(default_factory=dict)
    longest_overlap: int
    leaks: int
    broken: dict[str, list[str]] = Field(default_factory=dict)
    intervals: dict[str, Interval] = Field(default_factory=dict)
    median_seconds: float | None = None
    prompt_tokens: float | None = None
    written_tokens: float | None = None

    @property
    def broken_share(self) -> float:
        """Share of the texts that break a rule of their form."""
        return len(self.broken) / max(1, self.samples)


class Answer(BaseModel):
    """One text beside what the author wrote; tokens and seconds are those of its generation, None where there was none.

    finish: why it ended, "stop" or "length".
    """

    sample_id: str
    form: str
    instruction: str
    target: str
    text: str
    seconds: float | None = None
    prompt_tokens: int | None = None
    written_tokens: int | None = None
    finish: str | None = None


class JudgeUsage(BaseModel):
    """What the judge took; cost in the currency of the prices that are set, None where none are."""

    model: str
    requests: int
    input_tokens: int
    output_tokens: int
    seconds: float
    cost: float | None


class Champion(BaseModel):
    """The version that was served when the candidate was evaluated, on the same held-out texts."""

    version: str
    held_out: HeldOut
    generated: TextFigures | None = None


class Report(BaseModel):
    """An evaluation of one model version on one dataset version.

    differences: of the candidate from "champion" and "baseline", by figure, each paired on the same texts;
    retrieval: Ragas' context precision and recall of the passages that every system was given.
    """

    model_config = ConfigDict(extra="forbid")

    author: str
    version: str
    base_model: str
    is_nano: bool
    dataset_version: str
    dataset_delta_version: int | None = None
    evaluation_version: str = EVALUATION_VERSION
    evaluated_at: datetime
    held_out: HeldOut
    generated: TextFigures | None = Field(description="texts the model wrote through the server")
    champion: Champion | None = None
    baseline: TextFigures | None = Field(default=None, description="the stock base with retrieval and few-shot")
    assembled: TextFigures | None = Field(description="drafts assembled from the author's own sentences")
    own: TextFigures = Field(description="what the author wrote to the same instructions")
    differences: dict[str, dict[str, Interval]] = Field(default_factory=dict)
    retrieval: dict[str, Interval] = Field(default_factory=dict)
    judge: JudgeUsage | None = None
    left_out: dict[str, str] = Field(description="what was not measured, and why")
    answers: dict[System, list[Answer]] = Field(default_factory=dict)

    @property
    def notice(self) -> str | None:
        """What every place that shows this model's text has to say, None where nothing."""
        return NANO_NOTICE if self.is_nano else None

    @property
    def systems(self) -> dict[str, TextFigures]:
        """The figures of everything that wrote, and of the author, by name."""
        champion = self.champion.generated if self.champion else None
        found = {
            "candidate": self.generated, "champion": champion, "baseline": self.baseline, "assembled": self.assembled,
            "author": self.own,
        }  # fmt: skip
        return {name: figures for name, figures in found.items() if figures is not None}

    def metrics(self) -> dict[str, float]:
        """The headline figures by name, for the registry."""
        figures: dict[str, float | None] = {
            "held_out_loss": self.held_out.loss,
            "held_out_loss_base": self.held_out.loss_base,
            "held_out_loss_per_character": self.held_out.loss_per_character,
            "held_out_samples": float(self.held_out.samples),
            "own_voice": self.own.voice,
            "median_seconds": self.generated.median_seconds if self.generated else None,
        }
        if below := self.held_out.below_base:
            figures |= {"below_base": below.value, "below_base_low": below.low, "below_base_high": below.high}
        for name, texts in (("generated", self.generated), ("baseline", self.baseline), ("assembled", self.assembled)):
            if texts is not None:
                figures[f"{name}_samples"] = float(texts.samples)
                figures[f"{name}_voice"] = texts.voice
                figures[f"{name}_longest_overlap"] = float(texts.longest_overlap)
                figures[f"{name}_leaks"] = float(texts.leaks)
                figures[f"{name}_broken_forms"] = float(len(texts.broken))
                figures |= {f"{name}_{metric}": value for metric, value in (texts.similarity | texts.judged).items()}
        figures |= {name: found.value for name, found in self.retrieval.items()}
        return {name: value for name, value in figures.items() if value is not None}
