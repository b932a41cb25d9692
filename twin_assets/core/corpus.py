"""update_corpus(): raw documents → `cleaned` → `documents`, with what only all of an author's documents together tell.

Two derivations (lake.derive). The first cleans each document by itself. The second adds what the others say of it:
which of its paragraphs recur as boilerplate, and where else its text stands. That much is part of its input hash, so
that a document which makes a footer recognisable has exactly the documents with this footer derived again. Both facts
depend on the documents alone, never on their order, so that any history ends in what a fresh build gives.
"""

import json
from collections import Counter
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import polars as pl

from twin_assets.core.cleaning.documents import CLEANER_VERSION, clean_documents
from twin_assets.core.cleaning.duplicates import cross_posts
from twin_assets.core.cleaning.quotes import quoted_spans
from twin_assets.core.cleaning.recurring import recurring, without_recurring
from twin_assets.core.documents import TABLES, Document, content_hash
from twin_assets.core.errors import UnknownAuthorError
from twin_assets.core.lake import Derivation, Lake, derive, rows_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twin_assets.core.workspace import Workspace

# Changes when the same cleaned documents would be put together to something else.
CORPUS_VERSION = "1"
CROSS_POST = "cross-post of "

_TRAITS = (
    "document_id", "platform", "category", "url", "published_at", "place", "edges", "words", "signature",
    "cleaned_hash",
)  # fmt: skip
_FACTS = {name: TABLES["documents"][name] for name in ("document_id", "addresses")} | {
    "boilerplate": pl.List(pl.String), "rejected": pl.String(),
}  # fmt: skip


def update_corpus(
    workspace: "Workspace", author: str, progress: "Callable[[int, int], None] | None" = None
) -> Derivation:
    """Clean what was collected or changed since, and drop what was removed at its source; counts are of `documents`.

    One run at a time: another's cleaned documents, come between, would be taken for assembled.
    """
    with workspace.lake.exclusive("corpus_state", author):
        return _update_corpus(workspace, author, progress)


def _update_corpus(workspace: "Workspace", author: str, progress: "Callable[[int, int], None] | None") -> Derivation:
    lake = workspace.lake
    own = _contacts(workspace, author)
    derive(
        lake, author=author, upstream="raw_documents", downstream="cleaned", key="document_id",
        hash_column="raw_hash", where=pl.col("removed_at").is_null(), function=partial(clean_documents, own=own),
        version=f"{CLEANER_VERSION}/{content_hash(*own)[:8]}" if own else CLEANER_VERSION, progress=progress,
    )  # fmt: skip
    fingerprint, count = _fingerprint(lake, author)
    if lake.read("corpus_state", author)["fingerprint"].to_list() == [fingerprint]:
        return Derivation(unchanged=count)
    derivation = derive(
        lake, author=author, upstream=corpus_facts(lake, author), downstream="documents", key="document_id",
        hash_column="facts_hash", function=partial(_assemble, lake, author), version=CORPUS_VERSION, progress=progress,
    )  # fmt: skip
    state = [{"author": author, "fingerprint": _fingerprint(lake, author)[0]}]
    lake.replace_author("corpus_state", author, state)
    return derivation


def corpus_summary(lake: Lake, author: str) -> dict[str, Any]:
    """What cleaning did: private things taken out by kind, paragraphs left out as boilerplate, cross-posts, what else
    was rejected and why, and the languages of the corpus, each with its number."""
    columns = ["language", "quoted", "redacted", "redactions", "left_out", "rejected"]
    rows = lake.read("documents", author, columns=columns)
    redacted: Counter[str] = Counter()
    for text in rows.filter(pl.col("redactions") > 0)["redacted"]:
        redacted.update(json.loads(text))
    corpus = rows.filter(pl.col("rejected").is_null())
    reasons = Counter(rows["rejected"].drop_nulls())
    cross_posts = sum(number for reason, number in reasons.items() if reason.startswith(CROSS_POST))
    return {
        "redacted": dict(sorted(redacted.items())),
        "boilerplate paragraphs": int(corpus["left_out"].list.len().sum()),
        "documents with quotes": corpus.filter(pl.col("quoted").list.len() > 0).height,
        "cross-posts": cross_posts,
        "rejected": {reason: n for reason, n in sorted(reasons.items()) if not reason.startswith(CROSS_POST)},
        "languages": dict(sorted(Counter(corpus["language"].fill_null("too short to tell")).items())),
    }


def corpus_facts(lake: Lake, author: str) -> pl.DataFrame:
    """What an author's documents say of each other: document_id, boilerplate (keys of paragraphs to take away),
    addresses (of the same text, where there are several), rejected (of a cross-post that another document stands for)
    and facts_hash, of the cleaned document with all that."""
    cleaned = lake.read("cleaned", author, columns=[*_TRAITS, "rejected"])
    alive = cleaned.filter(pl.col("rejected").is_null())
    twins = cross_posts(alive)
    footers = recurring(alive.filter(pl.col("category") != "code"))
    facts = pl.concat([footers.select("document_id"), twins.select("document_id"), twins.select(document_id="kept")])
    facts = (
        facts.unique()
        .join(footers, on="document_id", how="left")
        .join(_same(alive, twins), on="document_id", how="left")
    )
    facts = facts.join(cleaned.select("document_id", "cleaned_hash"), on="document_id")
    hashes = [content_hash(*(row[name] for name in sorted(row))) for row in facts.iter_rows(named=True)]
    facts = facts.with_columns(facts_hash=pl.Series(hashes, dtype=pl.String)).drop("cleaned_hash")
    return cleaned.select("document_id", "cleaned_hash").join(facts, on="document_id", how="left").select(
        *_FACTS, pl.coalesce("facts_hash", "cleaned_hash").alias("facts_hash")
    )  # fmt: skip


def same_texts(lake: Lake, author: str, documents: "Sequence[str]") -> list[str]:
    """These documents and all others of the author's that are cross-posts of them, or they of those."""
    cleaned = lake.read("cleaned", author, columns=[*_TRAITS, "rejected"])
    twins = cross_posts(cleaned.filter(pl.col("rejected").is_null()))
    wanted = pl.col("document_id").is_in(documents) | pl.col("kept").is_in(documents)
    groups = twins.filter(wanted)["kept"].unique()
    found = twins.filter(pl.col("kept").is_in(groups.to_list()))["document_id"]
    return sorted({*documents, *groups, *found})


def _same(alive: pl.DataFrame, twins: pl.DataFrame) -> pl.DataFrame:
    """document_id, addresses, rejected of the documents whose text stands at several addresses."""
    members = pl.concat([twins, twins.select(document_id="kept", kept="kept").unique()])
    members = members.join(alive.select("document_id", "platform", "url", "published_at"), on="document_id")
    rows: list[dict[str, Any]] = []
    ordered = members.sort("kept", pl.col("document_id") != pl.col("kept"), "published_at", "platform", "url")
    for (kept,), group in ordered.group_by("kept", maintain_order=True):
        addresses = {
            row["url"]: {"platform": row["platform"], "url": row["url"]} for row in group.to_dicts() if row["url"]
        }
        name = group["url"][0] or kept
        rows.append({"document_id": kept, "addresses": list(addresses.values()), "rejected": None})
        rows += [
            {"document_id": other, "addresses": None, "rejected": f"{CROSS_POST}{name}"}
            for other in group["document_id"][1:]
        ]
    return pl.DataFrame(rows, schema={name: _FACTS[name] for name in ("document_id", "addresses", "rejected")})


def _assemble(lake: Lake, author: str, facts: pl.DataFrame) -> pl.DataFrame:
    """Rows of `documents` of these rows of corpus_facts()."""
    wanted = pl.col("document_id").is_in(facts["document_id"].to_list())
    cleaned = lake.read("cleaned", author, where=wanted).rename({"rejected": "unfit"})
    return rows_frame("documents", [_document(row).row() for row in cleaned.join(facts, on="document_id").to_dicts()])


def _document(row: dict[str, Any]) -> Document:
    rejected = row["unfit"] or row["rejected"]
    text, removed = without_recurring(row["text"], row["title"], row["boilerplate"] or ())
    address = [{"platform": row["platform"], "url": row["url"]}] if row["url"] else []
    return Document(
        document_id=row["document_id"], platform=row["platform"], external_id=row["external_id"],
        category=row["category"], url=row["url"], title=row["title"], text="" if rejected else text,
        language=row["language"], published_at=row["published_at"],
        quoted=() if rejected or row["category"] == "code" else quoted_spans(text),
        addresses=row["addresses"] or address, redacted=json.loads(row["redacted"]),
        left_out=[*removed, *row["left_out"]], rejected=rejected,
    )  # fmt: skip


def _contacts(workspace: "Workspace", author: str) -> tuple[str, ...]:
    try:
        return tuple(sorted(workspace.authors.get(author).contacts))
    except UnknownAuthorError:  # documents may be there before their author is, as after a restore
        return ()


def _fingerprint(lake: Lake, author: str) -> tuple[str, int]:
    """Hash of which cleaned documents there are and what `documents` has made of them; number of the former."""
    digest, count = blake2b(CORPUS_VERSION.encode(), digest_size=16), 0
    for table in ("documents", "cleaned"):
        rows = lake.read(table, author, columns=["document_id", "input_hash", "derived_version"])
        lines = rows.select(pl.concat_str(pl.all(), separator=" ")).to_series().sort()
        digest.update("\n".join(lines).encode() + b"\n\n")
        count = rows.height
    return digest.hexdigest(), count
