"""evaluate(): a model version on held-out documents, through the server that would serve it."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from twin_assets.core.datasets import Dataset, load_dataset
from twin_assets.core.documents import content_hash
from twin_assets.core.errors import ServingError, TooLittleTextError
from twin_assets.core.evaluation.plots import report_plot
from twin_assets.core.evaluation.report import EVALUATION_VERSION, Answer, HeldOut, Report, TextFigures
from twin_assets.core.evaluation.similarity import JUDGED, NO_JUDGE, similarities
from twin_assets.core.overlap import VerbatimIndex
from twin_assets.core.prompts import Message, messages
from twin_assets.core.registry import ModelVersion
from twin_assets.core.voice import SCORED_WORDS, VoiceScorer

if TYPE_CHECKING:
    from twin_assets.core.workspace import Workspace

# (conversation, most tokens to answer with) -> answer
Chat = Callable[[Sequence[Message], int], str]
Progress = Callable[[str, float], None]

HELD_OUT_SAMPLES = 100


class Effort(NamedTuple):
    """How many texts to have written and how long."""

    samples: int
    tokens: int


NANO_EFFORT, STANDARD_EFFORT = Effort(4, 80), Effort(12, 300)


def evaluate(
    workspace: "Workspace",
    author: str,
    version: str,
    chat: Chat | str | None,
    *,
    assembled: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Evaluate a version on the author's present dataset and keep the report with it in the registry.

    chat: answers a conversation, or the base URL of an OpenAI-compatible server on which the author is a model; None
    measures the loss alone (a champion on a new test set). assembled: drafts for evaluation_samples() by sample id.
    A report on the same dataset version is returned as it is, unless it lacks what is asked for now. progress: told
    each stage and the share of it that is done.
    Raises UnknownModelError, ServingError where the server does not answer, TooLittleTextError without held-out texts.
    """
    registry = workspace.registry
    found = registry.get(author, version)
    dataset = load_dataset(workspace.lake, author)
    cached = _cached(workspace, found, dataset, chat is not None, assembled is not None)
    if cached is not None:
        return cached
    samples = evaluation_samples(dataset, found.is_nano)
    name = workspace.authors.get(author).name
    left_out = dict.fromkeys(JUDGED, NO_JUDGE)
    answers = [] if chat is None else _answers(_as_chat(chat, author), name, samples, found.is_nano, progress)
    if chat is None:
        left_out["generated"] = "evaluated without a server: held-out loss only"
    if assembled is None:
        left_out["assembled"] = "no assembled drafts were handed in"
    measure = _Measure(workspace, dataset, left_out)
    targets = dict(samples.select("sample_id", "target").iter_rows())
    generated = measure({a.sample_id: a.text for a in answers}, targets) if answers else None
    if generated is not None and found.is_nano:
        generated = generated.model_copy(update={"voice": None})
        left_out["generated_voice"] = "nano strings the author's syllables together: it measures 100 and says nothing"
    report = Report(
        author=author,
        version=version,
        base_model=found.base_model,
        is_nano=found.is_nano,
        dataset_version=dataset.version,
        evaluated_at=datetime.now(UTC),
        held_out=held_out_loss(workspace, found, name, dataset, progress),
        generated=generated,
        assembled=measure(assembled, targets) if assembled else None,
        own=measure(targets, None),
        median_seconds=statistics.median(a.seconds for a in answers) if answers else None,
        left_out=left_out,
        answers=answers,
    )
    content = report.model_dump(mode="json")
    if chat is None:
        registry.record_report(author, version, content, name=_loss_only(dataset))
    else:
        registry.record_report(author, version, content, report.metrics(), {"report.png": report_plot(report)})
    return report


def _loss_only(dataset: Dataset) -> str:
    # Beside the version's own report, which it was approved by, not in its place.
    return f"report-{dataset.version[:12]}"


def evaluation_samples(dataset: Dataset, is_nano: bool) -> pl.DataFrame:
    """The held-out samples that texts are written for: a few, drawn by hash, the same for every version."""
    test = dataset.split("test")
    if test.is_empty():
        raise TooLittleTextError(
            f"There is no held-out text of {dataset.author!r} to evaluate on; add more of their writing."
        )
    effort = NANO_EFFORT if is_nano else STANDARD_EFFORT
    drawn = sorted(test["sample_id"].to_list(), key=lambda sample_id: content_hash("evaluation", sample_id))
    return test.filter(pl.col("sample_id").is_in(drawn[: effort.samples]))


def held_out_loss(
    workspace: "Workspace", version: ModelVersion, name: str, dataset: Dataset, progress: Progress | None = None
) -> HeldOut:
    """Loss of a version, with its adapter and without, on the dataset's test split (at most 100 samples of it)."""
    from twin_assets.core.training.loading import load_version
    from twin_assets.core.training.loss import answer_loss
    from twin_assets.core.training.recipes import recipe_for
    from twin_assets.core.training.threads import fastest_threads

    test = dataset.split("test")
    drawn = sorted(test["sample_id"].to_list(), key=lambda sample_id: content_hash("held-out", sample_id))
    test = test.filter(pl.col("sample_id").is_in(drawn[:HELD_OUT_SAMPLES]))
    length = recipe_for("nano" if version.is_nano else "hub").length

    def report(done: int, total: int) -> None:
        if progress is not None:
            progress("measuring held-out loss", done / total)

    model, tokenizer = load_version(workspace, version)
    with fastest_threads():
        tuned = answer_loss(model, tokenizer, name, test, max_length=length, progress=report)
        with model.disable_adapter():
            base = answer_loss(model, tokenizer, name, test, max_length=length)
    return HeldOut(
        samples=tuned.samples,
        tokens=tuned.tokens,
        characters=tuned.characters,
        loss=tuned.per_token,
        loss_base=base.per_token,
        loss_per_character=tuned.per_character,
    )


class _Measure:
    """Figures of sets of texts, against one author's training texts."""

    def __init__(self, workspace: "Workspace", dataset: Dataset, left_out: dict[str, str]) -> None:
        self.embedder = workspace.embedder
        trained = dataset.split("train")["target"].to_list()
        self.index = VerbatimIndex(trained)
        self.scorer: VoiceScorer | None = None
        try:
            self.scorer = VoiceScorer.fit(trained)
        except TooLittleTextError as error:
            left_out["voice"] = str(error)

    def __call__(self, texts: Mapping[str, str], targets: Mapping[str, str] | None) -> TextFigures:
        from twin_assets.core.cleaning.redaction import redact

        pairs = [(targets[name], text) for name, text in texts.items() if name in targets] if targets else []
        words = [len(text.split()) for text in texts.values()]
        voice = None
        if self.scorer is not None and sum(words) >= SCORED_WORDS:
            # Together they are long enough to be told from a stranger's; one short post is not.
            voice = self.scorer.score("\n\n".join(texts.values())).score
        return TextFigures(
            samples=len(texts),
            words=sum(words) / max(1, len(words)),
            voice=voice,
            similarity=similarities(pairs, self.embedder),
            longest_overlap=max((self.index.longest(text) for text in texts.values()), default=0),
            leaks=sum(redact(text)[1].total() for text in texts.values()),
        )


def _cached(
    workspace: "Workspace", found: ModelVersion, dataset: Dataset, generated: bool, assembled: bool
) -> Report | None:
    for name in ("report",) if generated else ("report", _loss_only(dataset)):
        stored = workspace.registry.report(found.author, found.version, name)
        if stored is None or stored.get("evaluation_version") != EVALUATION_VERSION:
            continue
        report = Report.model_validate(stored)
        complete = (report.generated or not generated) and (report.assembled or not assembled)
        if complete and report.dataset_version == dataset.version:
            return report
    return None


def _answers(chat: Chat, name: str, samples: pl.DataFrame, is_nano: bool, progress: Progress | None) -> list[Answer]:
    effort = NANO_EFFORT if is_nano else STANDARD_EFFORT
    answers = []
    for done, row in enumerate(samples.iter_rows(named=True), start=1):
        asked = messages(name, row["form"], row["instruction"], row["context"])
        start = time.perf_counter()
        text = chat(asked, effort.tokens)
        seconds = time.perf_counter() - start
        answers.append(
            Answer(
                sample_id=row["sample_id"],
                instruction=row["instruction"],
                target=row["target"],
                text=text,
                seconds=seconds,
            )
        )
        if progress is not None:
            progress("writing to held-out instructions", done / samples.height)
    return answers


def _as_chat(chat: Chat | str, author: str) -> Chat:
    if not isinstance(chat, str):
        return chat
    import httpx

    url = f"{chat.rstrip('/')}/v1/chat/completions"

    def ask(conversation: Sequence[Message], tokens: int) -> str:
        body: dict[str, Any] = {"model": author, "messages": list(conversation), "max_tokens": tokens}
        try:
            answer = httpx.post(url, json=body, timeout=300.0)
            answer.raise_for_status()
            return str(answer.json()["choices"][0]["message"]["content"])
        except (httpx.HTTPError, KeyError, IndexError, ValueError) as error:
            raise ServingError(f"The server at {url} did not answer an evaluation request: {error}") from error

    return ask
