"""Preference pairs: what the author made of drafts, which drafts they liked better, and their own words against what
the base model writes to the same request."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from twin_assets.core.datasets.base_answers import base_answers
from twin_assets.core.datasets.dataset import Dataset, load_dataset
from twin_assets.core.documents import TABLES, content_hash
from twin_assets.core.lake import Lake
from twin_assets.core.overlap import contained_pairs
from twin_assets.core.training.recipes import MINIMUM_PAIRS

if TYPE_CHECKING:
    from collections.abc import Callable

    from twin_assets.core.workspace import Workspace

# What a pair is made of: the version is the hash of these.
CONTENT = ("source", "form", "prompt", "context", "chosen", "rejected", "split")
USUAL_ANSWERS = 32
# What drafts were written as before they said so.
FIRST_FORM = "linkedin_post"
NO_EDITS = "no draft has been edited, chosen or rated against another yet; edits made in the composer become pairs"


@dataclass(frozen=True, slots=True)
class Preferences:
    """Preference pairs (rows of table `preferences`) and, where there are none, why.

    left_out: pairs that are not used, by reason; notes: why there are none of a kind.
    """

    pairs: pl.DataFrame
    reason: str | None = None
    left_out: int = 0
    notes: tuple[str, ...] = ()
    delta_version: int | None = None

    @property
    def version(self) -> str:
        """Hash of the pairs."""
        return content_hash(self.pairs.sort("pair_id").select(CONTENT).rows())

    @property
    def counts(self) -> dict[str, int]:
        """Pairs by source: edit, choice, base."""
        return dict(self.pairs.group_by("source").len().sort("source").iter_rows())


def update_preferences(
    workspace: "Workspace", author: str, progress: "Callable[[int, int], None] | None" = None
) -> Preferences:
    """Bring table `preferences` up to date with feedback and samples; written only where the pairs are others.

    The base model (never nano) answers what it has not yet answered, for settings.preference_answers samples; unset,
    only once the author's own pairs are enough to be tuned on, since nothing would be made of it before. Left out are
    edits that stand in a text of the validation or test split, published after all. progress: told answers done, to
    do.
    Raises LakeError; where the base cannot be had, the pairs of that kind are left out and `notes` says why.
    """
    lake = workspace.lake
    dataset = load_dataset(lake, author)
    own = _own(lake, author)
    fresh = _unseen(own, dataset)
    count = workspace.settings.preference_answers
    if count is None:
        count = USUAL_ANSWERS if fresh.height >= MINIMUM_PAIRS else 0
    answers = base_answers(workspace, author, dataset, count, progress)
    pairs = pl.concat([fresh, _frame(answers.rows)]).unique("pair_id", keep="first").sort("pair_id")
    present = load_preferences(lake, author)
    found = Preferences(pairs, None if pairs.height else "; ".join([NO_EDITS, *answers.notes]))
    if found.version != present.version:
        lake.replace_author("preferences", author, pairs.with_columns(author=pl.lit(author)))
    return Preferences(pairs, found.reason, own.height - fresh.height, answers.notes, lake.version("preferences"))


def unused_feedback(lake: Lake, author: str) -> list[str]:
    """Ids of the pairs that the author's feedback makes and table `preferences` has not got yet."""
    own = _own(lake, author).join(lake.read("preferences", author, columns=["pair_id"]), on="pair_id", how="anti")
    if own.is_empty():
        return []
    return _unseen(own, load_dataset(lake, author))["pair_id"].sort().to_list()


def load_preferences(lake: Lake, author: str, version: int | None = None) -> Preferences:
    """The author's pairs as they are now or as of a Delta version of table `preferences`."""
    delta_version = lake.version("preferences") if version is None else version
    pairs = lake.read("preferences", author, version=delta_version).drop("author").sort("pair_id")
    return Preferences(pairs, None if pairs.height else NO_EDITS, delta_version=delta_version)


def preference_leakage(preferences: Preferences, dataset: Dataset) -> list[str]:
    """Problems that let preference tuning see what it is tested on; [] where there are none."""
    trained = preferences.pairs.filter(pl.col("split") == "train")
    leaked = trained.height - _unseen(trained, dataset).height
    return [f"{leaked} preferred texts are in good part texts of the validation or test split"] if leaked else []


def _own(lake: Lake, author: str) -> pl.DataFrame:
    return pl.concat([_edits(lake, author), _choices(lake, author)])


def _edits(lake: Lake, author: str) -> pl.DataFrame:
    """The last edit of every draft, where it changed something."""
    edits = _last(lake, author, "edited_text")
    edited = pl.col("edited_text").str.strip_chars()
    pairs = edits.join(_drafts(lake, author), on="draft_id")
    pairs = pairs.filter(edited != pl.col("text").str.strip_chars(), edited != "")
    return _drafted(pairs.select("draft_id", "form", "prompt", chosen="edited_text", rejected="text"), "edit")


def _choices(lake: Lake, author: str) -> pl.DataFrame:
    """Of drafts written to one prompt: the chosen against each that was not; where none was chosen, the best rated
    against the worst."""
    drafts = _drafts(lake, author).filter(pl.col("text").str.strip_chars() != "")
    taken = drafts.join(_last(lake, author, "chosen"), on="draft_id", how="left").with_columns(
        pl.col("chosen").fill_null(False)
    )
    others = taken.filter(~pl.col("chosen")).select("trace_id", rejected="text")
    chosen = taken.filter("chosen").join(others, on="trace_id").rename({"text": "winner"})
    unsettled = drafts.join(chosen, on="trace_id", how="anti").join(_last(lake, author, "rating"), on="draft_id")
    together = unsettled.sort("trace_id", "rating", "draft_id").group_by("trace_id", maintain_order=True)
    rated = together.agg(
        pl.col("draft_id", "form", "prompt", "rating").last(), winner=pl.col("text").last(),
        rejected=pl.col("text").first(), lowest=pl.col("rating").first(),
    ).filter(pl.col("rating") > pl.col("lowest"))  # fmt: skip
    columns = ("draft_id", "form", "prompt", "winner", "rejected")
    pairs = pl.concat([chosen.select(columns), rated.select(columns)])
    pairs = pairs.filter(pl.col("winner") != pl.col("rejected")).unique()
    return _drafted(pairs.rename({"winner": "chosen"}), "choice")


def _last(lake: Lake, author: str, column: str) -> pl.DataFrame:
    """(draft_id, column): what feedback said last of each draft in this column."""
    said = lake.read("feedback", author, columns=["draft_id", "created_at", column], where=pl.col(column).is_not_null())
    return said.sort("created_at").unique("draft_id", keep="last", maintain_order=True).select("draft_id", column)


def _drafts(lake: Lake, author: str) -> pl.DataFrame:
    drafts = lake.read("drafts", author, columns=["draft_id", "format", "prompt", "text", "trace_id"])
    return drafts.with_columns(form=pl.col("format").fill_null(FIRST_FORM)).drop("format")


def _drafted(pairs: pl.DataFrame, source: str) -> pl.DataFrame:
    return _frame(
        [
            {
                "pair_id": content_hash(source, row["draft_id"], row["chosen"], row["rejected"]),
                "source": source, "context": "", "document_id": None, "split": "train", **row,
            }
            for row in pairs.to_dicts()
        ]
    )  # fmt: skip


def _unseen(pairs: pl.DataFrame, dataset: Dataset) -> pl.DataFrame:
    """The pairs without those whose preferred text is in good part one of the validation or test split."""
    held_out = dataset.samples.filter(pl.col("excluded").is_null(), pl.col("split") != "train")
    texts = {f"held out {row[0]}": row[1] for row in held_out.select("sample_id", "target").iter_rows()}
    texts |= {f"pair {row[0]}": row[1] for row in pairs.select("pair_id", "chosen").iter_rows()}
    seen = {
        second.removeprefix("pair ")
        for first, second in contained_pairs(texts)
        if first.startswith("held out ") and second.startswith("pair ")
    }
    return pairs.filter(~pl.col("pair_id").is_in(list(seen)))


def _frame(rows: list[dict[str, object]]) -> pl.DataFrame:
    schema = {name: kind for name, kind in TABLES["preferences"].items() if name != "author"}
    return pl.DataFrame(rows, schema=schema, orient="row")
