"""Datasets: samples whose targets are the author's own words, verbatim, and splits that nothing leaks across."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from twin_assets.core import samples
from twin_assets.core.documents import content_hash
from twin_assets.core.lake import Derivation, Lake, derive
from twin_assets.core.overlap import contained_pairs
from twin_assets.core.workspace import Workspace

SPLITS = ("train", "validation", "test")
VALIDATION_FROM, TEST_FROM = 0.8, 0.9
# What a sample is made of: the dataset's version is the hash of these over all samples in use.
CONTENT = ("document_id", "position", "form", "instruction", "context", "target", "split")


@dataclass(frozen=True, slots=True)
class Dataset:
    """An author's samples at one moment.

    samples: rows of table `samples`, excluded ones among them; version: hash of the content of those in use, the same
    wherever and whenever the content is the same; delta_version: the table's version it can be read again with
    (None: nothing was ever written).
    """

    author: str
    samples: pl.DataFrame
    version: str
    delta_version: int | None

    def split(self, name: str) -> pl.DataFrame:
        """Samples in use of "train", "validation" or "test", in a stable order."""
        used = self.samples.filter(pl.col("excluded").is_null(), pl.col("split") == name)
        return used.sort("document_id", "position")

    @property
    def counts(self) -> dict[str, int]:
        """Samples in use per split."""
        return {name: self.split(name).height for name in SPLITS}


@dataclass(frozen=True, slots=True)
class Preferences:
    """Preference pairs (columns prompt, chosen, rejected, draft_id) and, where there are none, why."""

    pairs: pl.DataFrame
    reason: str | None

    @property
    def version(self) -> str:
        """Hash of the pairs."""
        return content_hash(self.pairs.rows())


def update_samples(workspace: Workspace, author: str, progress: Callable[[int, int], None] | None = None) -> Derivation:
    """Bring table `samples` up to date with the corpus: documents that are new, edited or in another group or split.

    Groups and splits are looked at again only where a document came, changed or went.
    """
    lake = workspace.lake
    corpus = lake.read(
        "documents", author, columns=["document_id", "document_hash"], where=pl.col("rejected").is_null()
    )
    placed = _placement_in_use(lake, author, corpus)
    if placed is None:
        texts = lake.read("documents", author, columns=["document_id", "text"], where=pl.col("rejected").is_null())
        placed = _place(texts)
    upstream = corpus.join(placed, on="document_id").with_columns(sample_hash=_sample_hash())

    def build(rows: pl.DataFrame) -> pl.DataFrame:
        wanted = pl.col("document_id").is_in(rows["document_id"].to_list())
        documents = lake.read("documents", author, where=wanted).join(
            rows.select("document_id", "group_id", "split", "duplicate_of"), on="document_id"
        )
        return samples.build_samples(documents)

    return derive(
        lake, author=author, upstream=upstream, downstream="samples", key="document_id", hash_column="sample_hash",
        function=build, version=samples.SAMPLES_VERSION, progress=progress,
    )  # fmt: skip


def load_dataset(lake: Lake, author: str, version: int | None = None) -> Dataset:
    """The author's dataset, as it is now or as of a Delta version of table `samples`."""
    delta_version = lake.version("samples") if version is None else version
    frame = lake.read("samples", author, version=delta_version)
    used = frame.filter(pl.col("excluded").is_null()).sort("document_id", "position")
    return Dataset(author, frame, content_hash(used.select(CONTENT).rows()), delta_version)


def split_groups(groups: Sequence[str]) -> dict[str, str]:
    """Split of each near-duplicate group: by hash, about 80/10/10, the same for a group whatever else there is.

    With three groups or more no split is empty: the groups whose hashes come nearest are moved.
    """
    place = {group: int(content_hash("split", group), 16) / 16**32 for group in groups}
    ordered = sorted(place, key=lambda group: place[group])
    splits = {}
    for group in ordered:
        late = "test" if place[group] >= TEST_FROM else "validation"
        splits[group] = late if place[group] >= VALIDATION_FROM else "train"
    if len(ordered) >= 3:
        splits[ordered[0]] = "train"
        splits[ordered[-1]] = "test"
        if "validation" not in splits.values():
            splits[ordered[-2]] = "validation"
    return splits


def leakage(dataset: Dataset) -> list[str]:
    """Problems that let training see what it is tested on; [] where there are none.

    Looked for among samples in use: a document or a group in two splits, the same target twice, near-duplicates, and
    targets that are in good part contained in a sample of another split (cross-posts, excerpts).
    """
    from twin_assets.core.cleaning.duplicates import near_duplicate_groups

    used = dataset.samples.filter(pl.col("excluded").is_null())
    problems = []
    for column in ("document_id", "group_id", "target"):
        crossing = used.group_by(column).agg(pl.col("split").n_unique()).filter(pl.col("split") > 1)
        if crossing.height:
            problems.append(f"{crossing.height} values of {column} are in more than one split")
    split_of = dict(used.select("sample_id", "split").iter_rows())
    texts = used.select(document_id="sample_id", text="target")
    groups: dict[str, set[str]] = {}
    for sample_id, group in near_duplicate_groups(texts).items():
        groups.setdefault(group, set()).add(split_of[sample_id])
    near = sum(len(splits) > 1 for splits in groups.values())
    if near:
        problems.append(f"{near} groups of near-duplicate targets are in more than one split")
    pairs = contained_pairs(dict(texts.iter_rows()))
    contained = sum(split_of[a] != split_of[b] for a, b in pairs)
    if contained:
        problems.append(f"{contained} pairs of targets of different splits share most of the shorter one's text")
    return problems


def update_preferences(workspace: Workspace, author: str) -> Preferences:
    """Preference pairs from the author's edits: the edited text is preferred to the draft it was made from."""
    lake = workspace.lake
    feedback = lake.read("feedback", author, where=pl.col("edited_text").is_not_null()).sort("created_at")
    edits = feedback.unique("draft_id", keep="last", maintain_order=True)
    drafts = lake.read("drafts", author, columns=["draft_id", "prompt", "text"])
    pairs = (
        edits.join(drafts, on="draft_id")
        .filter(pl.col("edited_text").str.strip_chars() != pl.col("text").str.strip_chars())
        .filter(pl.col("edited_text").str.strip_chars() != "")
        .select("prompt", chosen="edited_text", rejected="text", draft_id="draft_id")
        .sort("draft_id")
    )
    reason = None if pairs.height else "no draft has been edited yet; edits made in the composer become pairs"
    return Preferences(pairs, reason)


def _sample_hash() -> pl.Expr:
    columns = ["document_hash", "group_id", "split", "duplicate_of"]
    return pl.struct(columns).map_elements(
        lambda row: content_hash(*(row[name] for name in columns)), return_dtype=pl.String
    )


def _placement_in_use(lake: Lake, author: str, corpus: pl.DataFrame) -> pl.DataFrame | None:
    """Group, split and duplicate_of of every document as the samples have them, None where the corpus has changed."""
    columns = ["document_id", "group_id", "split", "excluded", "input_hash", "derived_version"]
    placed = lake.read("samples", author, columns=columns).filter(pl.col("derived_version") == samples.SAMPLES_VERSION)
    is_duplicate = pl.col("excluded").str.starts_with(samples.DUPLICATE)
    placed = placed.with_columns(
        duplicate_of=pl.when(is_duplicate).then(pl.col("excluded").str.strip_prefix(samples.DUPLICATE)).otherwise(None)
    )
    placed = placed.select("document_id", "group_id", "split", "duplicate_of", "input_hash").unique()
    joined = corpus.join(placed, on="document_id", how="full", coalesce=True)
    if joined.is_empty() or joined["input_hash"].null_count() or joined["document_hash"].null_count():
        return None
    same = joined.select((_sample_hash() == pl.col("input_hash")).all()).item()
    return placed.drop("input_hash") if same else None


def _place(texts: pl.DataFrame) -> pl.DataFrame:
    """Near-duplicate group, split and, for all but the longest of a group, the document it repeats."""
    from twin_assets.core.cleaning.duplicates import near_duplicate_groups

    text_of = dict(texts.select("document_id", "text").iter_rows())
    groups = _merge(near_duplicate_groups(texts), contained_pairs(text_of))
    splits = split_groups(sorted(set(groups.values())))
    longest: dict[str, str] = {}
    for document in sorted(text_of, key=lambda d: (-len(text_of[d]), d)):
        longest.setdefault(groups[document], document)
    rows = [
        {
            "document_id": document,
            "group_id": groups[document],
            "split": splits[groups[document]],
            "duplicate_of": None if longest[groups[document]] == document else longest[groups[document]],
        }
        for document in text_of
    ]
    return pl.DataFrame(rows, schema=dict.fromkeys(("document_id", "group_id", "split", "duplicate_of"), pl.String))


def _merge(groups: Mapping[str, str], pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Groups joined along the pairs; a group is named after its first document, so that its name stays."""
    parent = {document: document for document in groups}

    def root(document: str) -> str:
        while parent[document] != document:
            parent[document] = parent[parent[document]]
            document = parent[document]
        return document

    members: dict[str, str] = {}
    for document, group in groups.items():
        pairs = [*pairs, (document, members.setdefault(group, document))]
    for first, second in pairs:
        low, high = sorted((root(first), root(second)))
        parent[high] = low
    return {document: root(document) for document in groups}
