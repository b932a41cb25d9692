"""Rules of the gate and of training by itself: what a deployment sets and what an author has of their own."""

from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from twin_assets.core.errors import ConfigurationError, InputError

if TYPE_CHECKING:
    from twin_assets.core.authors import Author
    from twin_assets.core.workspace import Workspace
    from twin_assets.settings import Settings

RuleName = Literal[
    "base_loss", "champion_loss", "memorised", "leaks", "format", "baseline_voice", "champion_voice",
    "faithfulness", "answer_relevancy", "style_rubric",
]  # fmt: skip
RULES: tuple[str, ...] = get_args(RuleName)


class GateRules(BaseModel):
    """What a candidate is held to; in an author file every field is optional and stands before the deployment's.

    champion: how the loss on the same held-out texts is compared with the version that is served. "measured": it may
    be higher by `champion_margin` at most; "not_worse": so may the upper end of the difference's interval, so that too
    few texts refuse as well; "better": the whole interval must lie below zero.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    margin: float | None = Field(default=None, ge=-1, le=1, description="share by which the loss is below the base's")
    champion: Literal["measured", "not_worse", "better"] | None = None
    champion_margin: float | None = Field(default=None, ge=0, le=1, description="share the champion may be better by")
    voice_points: float | None = Field(default=None, ge=0, le=100, description="of 100 that another may be ahead by")
    judged_margin: float | None = Field(default=None, ge=0, le=1, description="share of a judge's scale, likewise")
    memorised_words: int | None = Field(default=None, ge=5, description="words in a row copied from training, at most")
    format_failures: float | None = Field(default=None, ge=0, le=1, description="share of texts against their format")
    required: tuple[RuleName, ...] | None = Field(
        default=None, description="rules without whose figures nothing is decided"
    )


class TrainingRules(BaseModel):
    """When training starts by itself; in an author file every field is optional."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    automatic: bool | None = None
    minimum_new_samples: int | None = Field(default=None, ge=1)
    minimum_new_share: float | None = Field(default=None, ge=0, le=1, description="of the samples trained on before")
    minimum_new_pairs: int | None = Field(default=None, ge=1, description="edits and choices of drafts")
    quiet_minutes: float | None = Field(default=None, ge=0, description="since the dataset changed last")
    runs_per_week: int | None = Field(default=None, ge=0)
    minutes_per_week: float | None = Field(default=None, ge=0)


def gate_rules(settings: "Settings", author: "Author") -> GateRules:
    """The rules that hold for an author: their own where they have some, else the deployment's.

    Raises ConfigurationError for a rule that there is not.
    """
    shared = {name: getattr(settings, f"gate_{name}") for name in GateRules.model_fields}
    shared["required"] = [name.strip() for name in settings.gate_required.split(",") if name.strip()]
    try:
        rules = GateRules.model_validate(shared)
    except ValidationError as error:
        raise ConfigurationError(
            f"TWIN_GATE_REQUIRED {settings.gate_required!r} names no rule; the rules are {', '.join(RULES)}."
        ) from error
    return rules.model_copy(update=author.gate.model_dump(exclude_none=True))


def training_rules(settings: "Settings", author: "Author") -> TrainingRules:
    """As gate_rules(), for training."""
    rules = TrainingRules(
        automatic=settings.training_automatic,
        minimum_new_samples=settings.minimum_new_samples,
        minimum_new_share=settings.minimum_new_share,
        minimum_new_pairs=settings.minimum_new_pairs,
        quiet_minutes=settings.training_quiet_minutes,
        runs_per_week=settings.training_runs_per_week,
        minutes_per_week=settings.training_minutes_per_week,
    )
    return rules.model_copy(update=author.training.model_dump(exclude_none=True))


def set_rules(workspace: "Workspace", author_id: str, kind: Literal["gate", "training"], values: Any) -> "Author":
    """Put these rules of an author's own in the place of those before ({}: the deployment's hold).

    Raises InputError for a rule that there is not or a value it cannot have.
    """
    model: type[GateRules] | type[TrainingRules] = GateRules if kind == "gate" else TrainingRules
    try:
        rules = model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(map(str, first["loc"])) or "the rules"
        raise InputError(f"{name}: {first['msg']}; the rules are {', '.join(model.model_fields)}.") from error
    with workspace.authors.changing(author_id) as author:
        changed = author.model_copy(update={kind: rules})
        workspace.authors.save(changed)
    return changed
