"""Any history of adds, edits, deletions, kills, new versions and new models ends in what a fresh build gives."""

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.embedding_models import make_tiny_model
from twin_assets.core import features, index_edge
from twin_assets.core.documents import RawDocument
from twin_assets.core.features import update_chunks, update_corpus, update_embeddings, update_index
from twin_assets.core.lake import Lake, rows_frame
from twin_assets.core.workspace import Workspace
from twin_assets.settings import Settings

AUTHOR = "ada"
# Most of the time would go to waiting for the disk.
MEMORY = Path("/dev/shm")
NOW = datetime(2024, 5, 1, tzinfo=UTC)
SECTIONS = [
    f"# Part {number}\n\n" + f"Sentence {number} of it says something about queue number {number}. " * 5
    for number in range(3)
]
TEXTS = [
    "Ship on Friday? Only if you'd ship on Monday. 🚀",
    "\n\n".join(SECTIONS),
    "\n\n".join([SECTIONS[0], SECTIONS[2]]),
    "Ship on Friday? Only if you'd ship on Monday. 🚀 Really.",
]
SCHEMA_TABLES = ("documents", "chunks", "embeddings")


class KilledError(BaseException):
    """Stands for a signal: nothing in the pipeline catches it."""


class CountedLake(Lake):
    """A lake whose process dies at its n-th write: before it, or after it."""

    left: int | None = None
    before = True

    def _write(self, *arguments, **options):
        self.step(self.before)
        super()._write(*arguments, **options)
        self.step(not self.before)

    def step(self, here: bool) -> None:
        if here and self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise KilledError


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    return [str(make_tiny_model(folder / f"tiny-{size}", dimension=size, seed=size)) for size in (8, 12)]


class History:
    """One author's home, and what their platform shows now."""

    def __init__(self, home: Path, model: str) -> None:
        self.home, self.shown = home, dict[str, str]()
        self.chunker = "1"
        self.open(model)

    def open(self, model: str) -> None:
        """A new process."""
        self.model = model
        self.workspace = Workspace(Settings(home=self.home, embedding_model=model))
        self.workspace.__dict__["lake"] = CountedLake(self.workspace.settings.lake_location)

    def collect(self) -> None:
        """What a collector leaves: changed rows replaced, gone rows marked."""
        lake = Lake(self.workspace.settings.lake_location)
        rows = [
            RawDocument(
                AUTHOR, "files", name, "article" if "\n" in text else "post", "files:x", f"https://e.org/{name}", "",
                text, "text/markdown", NOW,
            ).row() | {"collected_at": NOW, "removed_at": None}
            for name, text in self.shown.items()
        ]  # fmt: skip
        lake.replace_author("raw_documents", AUTHOR, rows_frame("raw_documents", rows) if rows else [])

    def run(self, killed: tuple[int, bool] | None = None) -> None:
        """Bring everything up to date, or die on the way."""
        lake = self.workspace.lake
        lake.left, lake.before = killed or (None, True)
        swap = index_edge.files.swap_pointer

        def swapped(*arguments) -> None:
            lake.step(lake.before)
            swap(*arguments)
            lake.step(not lake.before)

        with (
            mock.patch.object(features, "CHUNKER_VERSION", self.chunker),
            mock.patch.object(index_edge.files, "swap_pointer", swapped),
        ):
            for step in (update_corpus, update_chunks, update_embeddings, update_index):
                step(self.workspace, AUTHOR)

    def apply(self, operation: tuple, models: list[str]) -> None:
        """One thing that happens."""
        kind, *values = operation
        if kind == "put":
            self.shown[values[0]] = TEXTS[values[1]]
        elif kind == "drop":
            self.shown.pop(values[0], None)
        elif kind == "chunker":
            self.chunker = values[0]
        elif kind == "model":
            self.open(models[values[0]])
        elif kind == "run":
            self.collect()
            try:
                self.run(values[0])
            except KilledError:
                self.open(self.model)

    def contents(self) -> dict:
        """Everything that was derived, to the byte; of the embeddings those that are in use."""
        lake = self.workspace.lake
        tables = {name: lake.read(name, AUTHOR) for name in SCHEMA_TABLES}
        in_use = tables["chunks"].select("text_hash").unique()
        current = pl.col("derived_version") == self.workspace.embedder.model_id
        tables["embeddings"] = tables["embeddings"].filter(current).join(in_use, on="text_hash", how="semi")
        rows = {name: sorted(map(repr, frame.rows())) for name, frame in tables.items()}
        index = self.workspace.index
        return rows | {
            "index": (index.version(AUTHOR), index.schema(AUTHOR), index.state(AUTHOR)),
            "found": [] if not self.shown else self.found(),
        }

    def found(self) -> list:
        """Everything the index has, with its scores."""
        vector = self.workspace.embedder.embed_query("queue on Friday")
        hits = self.workspace.index.query(AUTHOR, ["posts", "articles"], vector, ([], []), 50)
        return sorted((hit.chunk_id, hit.text, round(hit.similarity or 0, 6)) for hit in hits)


NAMES = st.sampled_from(["a", "b", "c"])
KILLS = st.one_of(st.none(), st.tuples(st.integers(0, 9), st.booleans()))
OPERATIONS = st.one_of(
    st.tuples(st.just("put"), NAMES, st.integers(0, len(TEXTS) - 1)),
    st.tuples(st.just("put"), NAMES, st.integers(0, len(TEXTS) - 1)),
    st.tuples(st.just("drop"), NAMES),
    st.tuples(st.just("chunker"), st.sampled_from(["1", "2"])),
    st.tuples(st.just("model"), st.integers(0, 1)),
    st.tuples(st.just("run"), KILLS),
    st.tuples(st.just("run"), KILLS),
)


@settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(OPERATIONS, min_size=4, max_size=8))
def test_any_history_equals_a_fresh_build(models, operations):
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        lived = History(Path(folder, "lived"), models[0])
        for operation in operations:
            lived.apply(operation, models)
        lived.apply(("run", None), models)
        fresh = History(Path(folder, "fresh"), lived.model)
        fresh.shown, fresh.chunker = lived.shown, lived.chunker
        fresh.apply(("run", None), models)
        assert lived.contents() == fresh.contents()
