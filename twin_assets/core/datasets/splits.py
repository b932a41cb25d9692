"""Splits by near-duplicate group, seeded by hash: what says the same is never in training and in the test."""

from collections.abc import Mapping, Sequence

import polars as pl

from twin_assets.core.datasets.dataset import SPLITS
from twin_assets.core.documents import content_hash
from twin_assets.core.overlap import contained_pairs

VALIDATION_FROM, TEST_FROM = 0.8, 0.9


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


def place(texts: pl.DataFrame) -> pl.DataFrame:
    """Where each document belongs: document_id, group_id, split and, for all but the longest of a group, duplicate_of,
    the document it repeats."""
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


def repeated_passages(passages: pl.DataFrame) -> set[str]:
    """Names of passages to leave out, since one of another split says the same: those further from training.

    passages: name, split, target. Documents that are no near-duplicates may share passages (a monthly report's
    headings and tables, a paragraph told twice): the test would ask for what was learned.
    """
    left_out: set[str] = set()
    while True:
        # Again, as runs of words that stood in too many texts to count may now count.
        found = _crossing(passages.filter(~pl.col("name").is_in(list(left_out))))
        if not found:
            return left_out
        left_out |= found


def _crossing(passages: pl.DataFrame) -> set[str]:
    from twin_assets.core.cleaning.duplicates import near_duplicate_groups

    place = {name: SPLITS.index(split) for name, split in passages.select("name", "split").iter_rows()}
    text_of = dict(passages.select("name", "target").iter_rows())
    found = {
        max(pair, key=lambda name: place[name]) for pair in contained_pairs(text_of) if place[pair[0]] != place[pair[1]]
    }
    alike = near_duplicate_groups(passages.select(document_id="name", text="target"))
    for group_of in (alike, text_of):  # near-duplicates, and the very same text however short
        nearest: dict[str, int] = {}
        for name, group in group_of.items():
            nearest[group] = min(place[name], nearest.get(group, len(SPLITS)))
        found |= {name for name, group in group_of.items() if place[name] > nearest[group]}
    return found


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
