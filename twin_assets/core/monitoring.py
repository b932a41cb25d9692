"""How a twin does in use: traffic, latency, ratings and costs from the lake, and whether a measure drifts.

A measure drifts when its last 7 days are worse than the 28 before by a one-sided Mann-Whitney U test with p < 0.0001,
and by enough to matter: of a value from before and one from now the worse is the later one in at least 65 % of pairs.
Values are one per composition, as drafts of one answer are no independent ones; below 20 before or 10 now nothing is
said. Mann and Whitney, "On a test of whether one of two random variables is stochastically larger than the other",
1947. Looked at each day, noise of three kinds alarmed twice in 72 simulated years (tests/unit/test_monitoring.py).
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from twin_assets.core.errors import ModelError

if TYPE_CHECKING:
    from twin_assets.core.workspace import Workspace

NOW, BEFORE = timedelta(days=7), timedelta(days=28)
LEAST_NOW, LEAST_BEFORE = 10, 20
SIGNIFICANCE = 0.0001
WORSE_PAIRS = 0.65
# Failures are looked at within a day: at least so many, and so large a share of what was asked.
ERROR_WINDOW, LEAST_ERRORS, ERROR_SHARE = timedelta(days=1), 5, 0.1
RECENT_TRACES = 50
# Tag of traces in MLflow that hold prompts and texts.
TEXTS_TAG = "twin.texts"


def mlflow_trace_id(trace_id: str) -> str:
    """A trace's id in MLflow."""
    return f"tr-{trace_id}"


@dataclass(frozen=True, slots=True)
class Drift:
    """A measure's last days against those before: medians (of ratings means); change is None where there is too little
    to compare."""

    measure: str
    title: str
    before: float | None
    now: float | None
    change: float | None
    alarming: bool
    message: str


@dataclass(frozen=True, slots=True)
class _Measure:
    name: str
    title: str
    worse: Literal["less", "greater"]
    form: str


MEASURES = (
    _Measure("voice", "Voice score", "less", "{:.0f} of 100"),
    _Measure("rating", "Ratings", "less", "{:.1f} of 5"),
    _Measure("latency", "Time of a composition", "greater", "{:,.0f} ms"),
    _Measure("retrieval", "Likeness of the passages found", "less", "{:.2f}"),
)


def drift(measure: _Measure, before: Sequence[float], now: Sequence[float]) -> Drift:
    """Compare two samples of a measure, see the module."""
    typical = _mean if measure.name == "rating" else _median
    old, new = typical(before), typical(now)
    if old is None or new is None or len(before) < LEAST_BEFORE or len(now) < LEAST_NOW:
        message = (
            f"Too little to compare: {len(now)} in the last 7 days (of {LEAST_NOW} wanted), {len(before)} in the 28 "
            f"before (of {LEAST_BEFORE})."
        )
        return Drift(measure.name, measure.title, old, new, None, False, message)
    from scipy.stats import mannwhitneyu

    found = mannwhitneyu(now, before, alternative=measure.worse, method="asymptotic")
    share = float(found.statistic) / (len(now) * len(before))  # of pairs in which now is the greater one
    worse = share if measure.worse == "greater" else 1 - share
    alarming = float(found.pvalue) < SIGNIFICANCE and worse >= WORSE_PAIRS
    way = "rose" if measure.worse == "greater" else "fell"
    values = f"from {measure.form.format(old)} to {measure.form.format(new)}"
    message = (
        f"{measure.title} {way} {values}: worse in {worse:.0%} of comparisons, which is no accident."
        if alarming
        else f"{values[0].upper()}{values[1:]}; within what chance makes."
    )
    return Drift(measure.name, measure.title, old, new, new - old, alarming, message)


def errors_of(usage: pl.DataFrame, moment: datetime) -> Drift:
    """The share of requests that failed within a day, against the 28 days before the last 7."""
    asked = usage.filter(pl.col("kind").is_in(["compose", "chat"]))
    last = asked.filter(pl.col("created_at") >= moment - ERROR_WINDOW)["error"]
    old = asked.filter(pl.col("created_at").is_between(moment - NOW - BEFORE, moment - NOW, closed="left"))["error"]
    failed, share, before = last.count(), _share(last), _share(old)
    alarming = failed >= LEAST_ERRORS and share is not None and share >= ERROR_SHARE
    message = f"{failed} of {last.len()} requests failed in the last 24 hours."
    change = None if share is None or before is None else share - before
    return Drift("errors", "Failed requests", before, share, change, alarming, message)


def drifts(usage: pl.DataFrame, ratings: pl.DataFrame, moment: datetime) -> list[Drift]:
    """Every measure. usage: rows of that table; ratings: created_at, rating."""
    composed = usage.filter((pl.col("kind") == "compose") & pl.col("error").is_null())
    columns = {
        "voice": (composed, "voice"), "rating": (ratings, "rating"), "latency": (composed, "milliseconds"),
        "retrieval": (composed, "retrieval"),
    }  # fmt: skip
    found = []
    for measure in MEASURES:
        frame, column = columns[measure.name]
        values = frame.filter(pl.col(column).is_not_null()).select("created_at", pl.col(column).cast(pl.Float64))
        now = values.filter(pl.col("created_at").is_between(moment - NOW, moment, closed="left"))
        before = values.filter(pl.col("created_at").is_between(moment - NOW - BEFORE, moment - NOW, closed="left"))
        if values.height:
            found.append(drift(measure, before[column].to_list(), now[column].to_list()))
    return [*found, errors_of(usage, moment)]


def watched(workspace: "Workspace", author: str, moment: datetime | None = None) -> list[Drift]:
    """The author's measures now. Raises LakeError."""
    moment = moment or datetime.now(UTC)
    return drifts(*_read(workspace, author, moment - NOW - BEFORE), moment)


def monitoring(workspace: "Workspace", author: str, days: int, moment: datetime | None = None) -> dict[str, Any]:
    """The answer of GET /v1/twins/{author}/monitoring over so many days. Raises UnknownAuthorError, LakeError."""
    workspace.authors.get(author)
    moment = moment or datetime.now(UTC)
    since = moment - timedelta(days=days)
    usage, ratings = _read(workspace, author, min(since, moment - NOW - BEFORE))
    shown, rated = usage.filter(pl.col("created_at") >= since), ratings.filter(pl.col("created_at") >= since)
    composed = shown.filter((pl.col("kind") == "compose") & pl.col("error").is_null())
    chats = shown.filter((pl.col("kind") == "chat") & pl.col("error").is_null())
    said = workspace.lake.read("feedback", author, columns=["feedback_id"], where=pl.col("created_at") >= since)
    return {
        "author": author,
        "days": days,
        "totals": {
            "compositions": composed.height,
            "chats": chats.height,
            "drafts": int(composed["drafts"].sum()),
            "feedback": said.height,
            **_cost(workspace, shown),
            "errors": int(shown["error"].count()),
        },
        "latency": {
            **_quantiles(composed["milliseconds"]),
            "steps": _steps(composed),
            "chat": _quantiles(chats["milliseconds"]),
        },
        "daily": _daily(shown, composed, rated, since.date(), moment.date()),
        "drift": [asdict(each) for each in drifts(usage, ratings, moment)],
        "traces": _traces(workspace, author, shown),
        "prompts_kept": workspace.settings.keep_prompts,
    }


def drop_texts(workspace: "Workspace", author: str) -> int:
    """Delete the author's traces in MLflow that hold prompts and texts, and say how many there were.

    For forgetting: which of them repeats a document cannot be told cheaply, and `usage` keeps their figures. Raises
    LakeError, ModelError.
    """
    if workspace.lake.read("usage", author, columns=["author"]).is_empty():
        return 0
    import mlflow
    from mlflow.exceptions import MlflowException

    experiment, deleted = workspace.registry.experiment(author), 0
    client = mlflow.MlflowClient(workspace.settings.tracking_uri)
    kept = f"tag.`{TEXTS_TAG}` = 'kept'"
    try:
        while found := client.search_traces(
            locations=[experiment], filter_string=kept, max_results=100, include_spans=False
        ):
            deleted += client.delete_traces(experiment, trace_ids=[trace.info.trace_id for trace in found])
    except MlflowException as error:
        raise ModelError(f"The traces of {author} that hold texts cannot be deleted from MLflow: {error}") from error
    return deleted


def _read(workspace: "Workspace", author: str, since: datetime) -> tuple[pl.DataFrame, pl.DataFrame]:
    recent = pl.col("created_at") >= since
    ratings = workspace.lake.read(
        "feedback", author, columns=["created_at", "rating"], where=recent & pl.col("rating").is_not_null()
    )
    return workspace.lake.read("usage", author, where=recent), ratings


def _cost(workspace: "Workspace", usage: pl.DataFrame) -> dict[str, float]:
    """Tokens, and what they cost by the prices that are set."""
    read, written = int(usage["prompt_tokens"].sum()), int(usage["completion_tokens"].sum())
    settings = workspace.settings
    cost = (read * settings.input_price + written * settings.output_price) / 1e6
    return {"tokens": read + written, "cost": round(cost, 6)}


def _steps(composed: pl.DataFrame) -> dict[str, dict[str, float | None]]:
    """Quantiles of each step; what one answer does several times is added up."""
    rows = [
        {"answer": number, "name": step["name"], "ms": float(step["ms"])}
        for number, steps in enumerate(composed["steps"])
        for step in json.loads(steps or "[]")
    ]
    frame = pl.DataFrame(rows, schema={"answer": pl.Int64, "name": pl.String, "ms": pl.Float64})
    sums = frame.group_by("answer", "name", maintain_order=True).agg(pl.col("ms").sum())
    names = sums["name"].unique(maintain_order=True)
    return {name: _quantiles(sums.filter(pl.col("name") == name)["ms"]) for name in names}


def _daily(
    usage: pl.DataFrame, composed: pl.DataFrame, ratings: pl.DataFrame, first: date, last: date
) -> list[dict[str, Any]]:
    """One entry for each day (UTC), also for those on which nothing was asked."""
    day = pl.col("created_at").dt.date().alias("day")
    days = pl.DataFrame({"day": pl.date_range(first, last, "1d", eager=True)})
    made = composed.group_by(day).agg(
        compositions=pl.len(), p50_ms=pl.col("milliseconds").median(), voice=pl.col("voice").mean(),
        retrieval=pl.col("retrieval").mean(),
    )  # fmt: skip
    spent = usage.group_by(day).agg(
        tokens=pl.col("prompt_tokens").fill_null(0).sum() + pl.col("completion_tokens").fill_null(0).sum()
    )
    said = ratings.group_by(day).agg(rating=pl.col("rating").cast(pl.Float64).mean())
    joined = days.join(made, on="day", how="left").join(said, on="day", how="left").join(spent, on="day", how="left")
    joined = joined.with_columns(pl.col("compositions", "tokens").fill_null(0)).sort("day")
    return [row | {"day": row["day"].isoformat()} for row in joined.to_dicts()]


def _traces(workspace: "Workspace", author: str, usage: pl.DataFrame) -> list[dict[str, Any]]:
    newest = usage.filter(pl.col("kind") != "generation").sort("created_at", descending=True).head(RECENT_TRACES)
    if newest.is_empty():
        return []
    prompts: dict[str, str] = {}
    if workspace.settings.keep_prompts:
        where = pl.col("trace_id").is_in(newest["trace_id"].to_list())
        rows = workspace.lake.read("compositions", author, columns=["trace_id", "prompt"], where=where)
        prompts = dict(rows.iter_rows())
    place = (
        f"{workspace.settings.mlflow_ui_url.rstrip('/')}/#/experiments/{workspace.registry.experiment(author)}/traces"
    )
    return [
        {
            **{name: row[name] for name in ("trace_id", "kind", "format", "milliseconds", "model_version")},
            "created_at": row["created_at"].isoformat(),
            "status": "error" if row["error"] else "ok",
            "error": row["error"],
            "steps": json.loads(row["steps"] or "[]"),
            "prompt": prompts.get(row["trace_id"]),
            "mlflow_url": f"{place}?selectedEvaluationId={mlflow_trace_id(row['trace_id'])}",
        }
        for row in newest.iter_rows(named=True)
    ]


def _quantiles(values: pl.Series) -> dict[str, float | None]:
    return {"p50": values.quantile(0.5, "linear"), "p95": values.quantile(0.95, "linear")}


def _share(errors: pl.Series) -> float | None:
    return errors.count() / errors.len() if errors.len() else None


def _median(values: Sequence[float]) -> float | None:
    return float(pl.Series(values, dtype=pl.Float64).median()) if values else None  # type: ignore[arg-type]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
