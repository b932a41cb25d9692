"""The evaluation report: every figure with what it was measured on, and what was left out and why."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

EVALUATION_VERSION = "2"
NANO_NOTICE = (
    "This model has two million parameters and was made from nothing but the author's text: its words prove that the "
    "machinery works, they are not prose."
)


class HeldOut(BaseModel):
    """Loss on the author's held-out texts, in nats, every token weighing the same; the base is without the adapter."""

    samples: int
    tokens: int
    characters: int
    loss: float = Field(description="nats per token, tuned")
    loss_base: float = Field(description="nats per token, base")
    loss_per_character: float = Field(description="nats per character, tuned: comparable between tokenizers")

    @property
    def improvement(self) -> float:
        """By what share the tuned model's loss is below its base's (negative: it is worse)."""
        return 1.0 - self.loss / self.loss_base


class TextFigures(BaseModel):
    """Means over a set of texts answering held-out instructions.

    voice: 0 to 100, of all texts together (None below 50 words, where it means nothing); similarity: Ragas metrics
    against the author's text, 0 to 1; longest_overlap: words in the longest stretch that stands verbatim in the
    training texts; leaks: personal data and secrets found.
    """

    samples: int
    words: float
    voice: float | None
    similarity: dict[str, float] = Field(default_factory=dict)
    longest_overlap: int
    leaks: int


class Answer(BaseModel):
    """One generated text beside what the author wrote."""

    sample_id: str
    instruction: str
    target: str
    text: str
    seconds: float


class Report(BaseModel):
    """An evaluation of one model version on one dataset version."""

    model_config = ConfigDict(extra="forbid")

    author: str
    version: str
    base_model: str
    is_nano: bool
    dataset_version: str
    evaluation_version: str = EVALUATION_VERSION
    evaluated_at: datetime
    held_out: HeldOut
    generated: TextFigures | None = Field(description="texts the model wrote through the server")
    assembled: TextFigures | None = Field(description="drafts assembled from the author's own sentences, the baseline")
    own: TextFigures = Field(description="what the author wrote to the same instructions")
    median_seconds: float | None = Field(description="time of one answer")
    left_out: dict[str, str] = Field(description="what was not measured, and why")
    answers: list[Answer] = Field(default_factory=list)

    @property
    def notice(self) -> str | None:
        """What every place that shows this model's text has to say, None where nothing."""
        return NANO_NOTICE if self.is_nano else None

    def metrics(self) -> dict[str, float]:
        """The headline figures by name, for the registry."""
        figures: dict[str, float | None] = {
            "held_out_loss": self.held_out.loss,
            "held_out_loss_base": self.held_out.loss_base,
            "held_out_loss_per_character": self.held_out.loss_per_character,
            "own_voice": self.own.voice,
            "median_seconds": self.median_seconds,
        }
        for name, texts in (("generated", self.generated), ("assembled", self.assembled)):
            if texts is not None:
                figures[f"{name}_voice"] = texts.voice
                figures[f"{name}_longest_overlap"] = float(texts.longest_overlap)
                figures[f"{name}_leaks"] = float(texts.leaks)
                figures |= {f"{name}_{metric}": value for metric, value in texts.similarity.items()}
        return {name: value for name, value in figures.items() if value is not None}
