"""update_samples(): documents → `passages` → `samples`.

The first derivation takes each document by itself. The second adds what all of them together tell: near-duplicate
group and split, passages of other documents as context, a teacher's instructions, and what the author leaves out. It
is worked out for all samples at once, from what is there and never from how it came to be there; then the documents
whose samples come out otherwise are written, and no others. Nothing at all is done while a fingerprint of everything
that goes into it stays the same.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

import polars as pl

from twin_assets.core.datasets.contexts import CONTEXTS_VERSION, choose_contexts
from twin_assets.core.datasets.exclusions import BY_AUTHOR, excluded_by_author, target_hash
from twin_assets.core.datasets.passages import PASSAGES_VERSION, build_passages
from twin_assets.core.datasets.splits import place, repeated_passages
from twin_assets.core.documents import Sample, content_hash
from twin_assets.core.lake import Derivation, Lake, derive, rows_frame
from twin_assets.core.teacher import TEACHER_VERSION, Request, Teaching, known_instructions, teach

if TYPE_CHECKING:
    from twin_assets.core.workspace import Workspace

# Changes when the same passages would be put together to other samples.
SAMPLES_VERSION = f"4/{PASSAGES_VERSION}/{CONTEXTS_VERSION}"
DUPLICATE = "near-duplicate of document "
REPEATED = "a passage nearer to training says the same"

# What a teacher is shown of a sample.
ASKED = ("form", "title", "heading", "target")

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class SamplesUpdate:
    """What update_samples() did: counts of documents whose samples were written, and what the teacher did."""

    derivation: Derivation
    teaching: Teaching


def update_samples(
    workspace: "Workspace",
    author: str,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
) -> SamplesUpdate:
    """Bring table `samples` up to date with corpus, chunks, exclusions and settings.

    A teacher that is configured is asked for the instructions it has not yet given; what it does not give is made by
    rules, and asked for again next time. progress: told (documents done, to do); say: told the teacher's estimated
    cost and progress. Raises LakeError, ConfigurationError for a teacher's address that is none.
    """
    lake, settings = workspace.lake, workspace.settings
    derive(
        lake, author=author, upstream="documents", downstream="passages", key="document_id",
        hash_column="document_hash", where=pl.col("rejected").is_null(), version=PASSAGES_VERSION, progress=progress,
        function=lambda documents: build_passages(documents, _kinds(lake, author, documents)),
    )  # fmt: skip
    state = lake.read("dataset_state", author).to_dicts()
    fingerprint, count = _fingerprint(workspace, author)
    if state and state[0]["fingerprint"] == fingerprint and not (settings.teacher_url and state[0]["pending"]):
        return SamplesUpdate(Derivation(unchanged=count), Teaching())
    samples = _placed(lake, author)
    teaching = Teaching()
    if settings.teacher_url:
        teaching = teach(workspace, author, _requests(samples), say)
    samples = _instructed(workspace, author, samples)
    samples = _with_contexts(lake, author, samples, settings.context_share)
    hashes = [(document, content_hash(rows.rows())) for (document,), rows in samples.group_by("document_id")]
    upstream = pl.DataFrame(hashes, schema={"document_id": pl.String, "sample_hash": pl.String}, orient="row")
    derivation = derive(
        lake, author=author, upstream=upstream, downstream="samples", key="document_id", hash_column="sample_hash",
        function=lambda wanted: samples.join(wanted.select("document_id"), on="document_id", how="semi"),
        version=SAMPLES_VERSION, progress=progress,
    )  # fmt: skip
    pending = samples.filter(pl.col("excluded").is_null(), pl.col("instructed_by").is_null()).height
    row = {
        "author": author, "fingerprint": _fingerprint(workspace, author)[0],
        "pending": pending if settings.teacher_url else 0,
    }  # fmt: skip
    lake.replace_author("dataset_state", author, [row])
    return SamplesUpdate(derivation, teaching)


def _kinds(lake: Lake, author: str, documents: pl.DataFrame) -> dict[str, str]:
    """What the platform says of a post beyond that it is one: a response, or a thread of several."""
    posts = documents.filter(pl.col("category") == "post")["document_id"].to_list()
    raw = lake.read(
        "raw_documents", author, columns=["document_id", "metadata"], where=pl.col("document_id").is_in(posts)
    )
    kinds = {}
    for document, metadata in raw.iter_rows():
        found = json.loads(metadata or "{}")
        if found.get("kind") == "response":
            kinds[document] = "response"
        elif len(found.get("tweets") or ()) > 1:
            kinds[document] = "thread"
    return kinds


def _placed(lake: Lake, author: str) -> pl.DataFrame:
    """All passages in order, with group, split and why they are left out."""
    corpus = pl.col("rejected").is_null()
    texts = lake.read("documents", author, columns=["document_id", "text"], where=corpus)
    passages = lake.read("passages", author).drop("author", "input_hash", "derived_version")
    documents, targets = excluded_by_author(lake, author)
    left_out = pl.col("document_id").is_in(list(documents)) | pl.col("target").map_elements(
        lambda target: bool(targets) and target_hash(target) in targets, return_dtype=pl.Boolean
    )
    samples = passages.join(place(texts), on="document_id").sort("document_id", "position")
    samples = samples.with_columns(
        name=pl.concat_str("document_id", pl.lit(":"), "position"),
        excluded=pl.coalesce(
            pl.when(left_out).then(pl.lit(BY_AUTHOR)), pl.lit(DUPLICATE) + pl.col("duplicate_of"), "unfit"
        ),
    )
    repeated = repeated_passages(samples.filter(pl.col("excluded").is_null()).select("name", "split", "target"))
    repeats = pl.when(pl.col("name").is_in(list(repeated))).then(pl.lit(REPEATED))
    return samples.with_columns(excluded=pl.coalesce("excluded", repeats)).drop("name")


def _requests(samples: pl.DataFrame) -> list[Request]:
    """What a teacher is asked for: every text once, samples in use alone."""
    used = samples.filter(pl.col("excluded").is_null()).select(*ASKED, "document_id")
    return [Request(*row) for row in used.unique(ASKED, keep="first", maintain_order=True).iter_rows()]


def _instructed(workspace: "Workspace", author: str, samples: pl.DataFrame) -> pl.DataFrame:
    """The samples with the teacher's instructions where it is configured and has given one."""
    settings = workspace.settings
    known = known_instructions(workspace.lake, author, settings.teacher_model) if settings.teacher_url else {}
    written: list[str | None] = [None] * samples.height
    if known:
        rows = samples.select(ASKED).iter_rows()
        written = [known.get(Request(*row).key(settings.teacher_model)) for row in rows]
    given = pl.Series("given", written, dtype=pl.String)
    used = samples.with_columns(given).with_columns(
        given=pl.when(pl.col("excluded").is_null()).then(pl.col("given")),
    )
    return used.with_columns(
        instruction=pl.coalesce("given", "instruction"),
        instructed_by=pl.when(pl.col("given").is_not_null()).then(pl.lit(settings.teacher_model)),
    ).drop("given")


def _with_contexts(lake: Lake, author: str, samples: pl.DataFrame, share: float) -> pl.DataFrame:
    """Rows of table `samples`: contexts come from training documents alone, whatever the sample's own split."""
    used = samples.filter(pl.col("excluded").is_null())
    # A document without a sample in use is a copy, or one the author does not want to see again.
    shown = used.filter(pl.col("split") == "train", pl.col("form") != "code")
    chunks = lake.read("chunks", author, columns=["chunk_id", "document_id", "text"]).join(
        shown.select("document_id", "group_id").unique(), on="document_id"
    )
    contexts = choose_contexts(used, chunks, share)
    rows = []
    for row in samples.iter_rows(named=True):
        context = contexts.get((row["document_id"], row["position"]))
        rows.append(
            Sample(
                document_id=row["document_id"],
                position=row["position"],
                form=row["form"],
                instruction=row["instruction"],
                context=context.text if context else "",
                target=row["target"],
                group_id=row["group_id"],
                split=row["split"],
                excluded=row["excluded"],
                context_documents=context.documents if context else (),
                instructed_by=row["instructed_by"],
            ).row()
        )
    return rows_frame("samples", rows)


def _fingerprint(workspace: "Workspace", author: str) -> tuple[str, int]:
    """Hash of everything the samples depend on and of what they are; number of documents."""
    lake, settings = workspace.lake, workspace.settings
    model = settings.teacher_model if settings.teacher_url else ""
    digest = blake2b(
        content_hash(SAMPLES_VERSION, TEACHER_VERSION, model, settings.context_share).encode(), digest_size=16
    )
    derived = ["document_id", "input_hash", "derived_version"]
    count = 0
    for table, columns in (
        ("samples", derived), ("chunks", ["chunk_hash"]), ("exclusions", ["kind", "value"]),
        *([("instructions", ["request"])] if model else []), ("passages", derived),
    ):  # fmt: skip
        rows = lake.read(table, author, columns=columns).unique()
        lines = rows.select(pl.concat_str(pl.all(), separator=" ")).to_series().sort()
        digest.update("\n".join(lines).encode() + b"\n\n")
        count = rows.height
    return digest.hexdigest(), count
