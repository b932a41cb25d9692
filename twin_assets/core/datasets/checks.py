"""What must be true of a dataset before anything is trained on it; each check returns its problems, [] for none."""

from collections import Counter
from collections.abc import Collection, Mapping

import polars as pl

from twin_assets.core.datasets.dataset import SPLITS, Dataset
from twin_assets.core.datasets.quality import LONGEST
from twin_assets.core.overlap import contained_pairs
from twin_assets.core.prompts import FORMS

# Below this many groups of documents shares say nothing.
GROUPS = 10
LEAST_TRAINED = 0.5


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
    problems += _leaking_contexts(used)
    return problems


def size(dataset: Dataset) -> list[str]:
    """Problems of splits: one that is empty although there are documents enough for all."""
    used = _used(dataset)
    if used["group_id"].n_unique() < len(SPLITS):
        return []
    return [f"there is no sample for {name}" for name in SPLITS if used.filter(pl.col("split") == name).is_empty()]


def balance(dataset: Dataset) -> list[str]:
    """Problems of shares, where there are groups enough to speak of any: most of the text must be for training, and no
    one document most of that."""
    used = _used(dataset).with_columns(length=pl.col("target").str.len_chars())
    if used["group_id"].n_unique() < GROUPS:
        return []
    problems = []
    trained = used.filter(pl.col("split") == "train")
    total, learned = int(used["length"].sum()), int(trained["length"].sum())
    share = learned / total
    if share < LEAST_TRAINED:
        problems.append(f"only {share:.0%} of the text is for training; leave out the longest document of the others")
    largest = trained.group_by("document_id").agg(pl.col("length").sum()).sort("length", "document_id").tail(1)
    for document, length in largest.iter_rows():
        if length > (1 - LEAST_TRAINED) * learned:
            problems.append(
                f"document {document} alone is more than half of what is learned; leave it out or add others"
            )
    return problems


def lengths(dataset: Dataset) -> list[str]:
    """Problems of lengths: samples without an instruction or target, and targets far longer than their form may be."""
    used = _used(dataset).select("instruction", "target", "form")
    bare = sum(not (asked.strip() and target.strip()) for asked, target, _ in used.iter_rows())
    long = sum(len(target) > LONGEST * FORMS[form].characters for _, target, form in used.iter_rows())
    problems = [f"{bare} samples have no instruction or no target"] if bare else []
    return [*problems, *([f"{long} targets are far longer than their form may be"] if long else [])]


def personal_data(dataset: Dataset, urls: Mapping[str, str], own: Collection[str] = ()) -> list[str]:
    """Problems of privacy: secrets and other people's addresses and numbers in what is learned.

    urls: address of each document, whose domain's mail is the author's; own: contacts the author publishes. The corpus
    was redacted; an instruction may have been written since.
    """
    from twin_assets.core.cleaning.redaction import E_MAIL, redact

    found: Counter[str] = Counter()
    rows = _used(dataset).select("document_id", "target", "instruction", "context")
    for document, target, instruction, context in rows.iter_rows():
        found.update(redact(f"{instruction}\n\n{target}", url=urls.get(document, ""), own=own)[1])
        # Of other documents, whose domain's mail stays.
        shown = redact(context, own=own)[1]
        found.update({kind: number for kind, number in shown.items() if kind != E_MAIL})
    return [f"{number} times what looks like a {kind}" for kind, number in sorted(found.items()) if number]


def _leaking_contexts(used: pl.DataFrame) -> list[str]:
    """Problems of contexts: of the sample's own group, or of documents that are not for training."""
    shown = used.select("sample_id", "group_id", "context_documents").explode("context_documents").drop_nulls()
    places = used.select("document_id", shown_group="group_id", shown_split="split").unique("document_id")
    shown = shown.join(places, left_on="context_documents", right_on="document_id", how="left")
    own = shown.filter(pl.col("group_id") == pl.col("shown_group")).height
    held_out = shown.filter(pl.col("shown_split").fill_null("none") != "train").height
    problems = [f"{own} samples are shown passages of their own document or a near-duplicate"] if own else []
    return [*problems, *([f"{held_out} samples are shown passages that are not for training"] if held_out else [])]


def _used(dataset: Dataset) -> pl.DataFrame:
    return dataset.samples.filter(pl.col("excluded").is_null())
