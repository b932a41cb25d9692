"""What goes with samples and what is left out: contexts, reasons, exclusions, checks; and how a dataset is exported."""

import json
import random
from datetime import UTC, datetime

import polars as pl
import pytest
from training_corpus import AUTHOR, document, documents, fill
from typer.testing import CliRunner

from twin_assets.cli import app
from twin_assets.core import datasets
from twin_assets.core.datasets.exclusions import exclude, exclusions, include
from twin_assets.core.datasets.passages import build_passages
from twin_assets.core.datasets.quality import unfit
from twin_assets.core.documents import Chunk, RawDocument
from twin_assets.core.errors import InputError
from twin_assets.core.lake import rows_frame
from twin_assets.core.prompts import messages
from twin_assets.core.workspace import Workspace
from twin_assets.settings import get_settings

WHO = AUTHOR.id


def chunk(workspace) -> None:
    """Each document as one chunk: what the dataset does with chunks does not depend on how they are cut."""
    rows = [
        Chunk(row["document_id"], 0, row["text"], 0, len(row["text"]), row["category"], row["platform"], row["url"], "")
        for row in workspace.lake.read("documents", WHO).to_dicts()
    ]
    derived = {"author": WHO, "input_hash": "x", "derived_version": "1"}
    workspace.lake.replace_author("chunks", WHO, rows_frame("chunks", [row.row() | derived for row in rows]))


@pytest.fixture
def filled(home):
    workspace = Workspace(home.model_copy(update={"context_share": 0.6}))
    fill(workspace)
    chunk(workspace)
    datasets.update_samples(workspace, WHO)
    return workspace


def used(workspace) -> pl.DataFrame:
    dataset = datasets.load_dataset(workspace.lake, WHO)
    return dataset.samples.filter(pl.col("excluded").is_null()).sort("document_id", "position")


def test_contexts_are_of_other_training_documents(filled):
    samples = used(filled)
    shown = samples.filter(pl.col("context") != "")
    assert 0.3 * samples.height < shown.height < 0.8 * samples.height
    split = dict(samples.select("document_id", "split").iter_rows())
    texts = dict(filled.lake.read("documents", WHO, columns=["document_id", "text"]).iter_rows())
    for row in shown.iter_rows(named=True):
        assert row["document_id"] not in row["context_documents"]
        assert {split[name] for name in row["context_documents"]} == {"train"}
        assert all(
            any(part in texts[name] for name in row["context_documents"]) for part in row["context"].split("\n\n")
        )
        assert row["target"] not in row["context"]
    assert datasets.leakage(datasets.load_dataset(filled.lake, WHO)) == []
    asked = messages("Ada", "post", "Write.", shown["context"][0])[1]["content"]
    assert shown["context"][0] in asked


def test_a_leaking_context_is_found(filled):
    dataset = datasets.load_dataset(filled.lake, WHO)
    row = dataset.split("train").head(1)
    test = dataset.split("test")["document_id"][0]
    for name, problem in ((row["document_id"][0], "their own document"), (test, "not for training")):
        wrong = row.with_columns(context_documents=pl.lit([name]))
        rest = dataset.samples.filter(pl.col("sample_id") != row["sample_id"][0])
        found = datasets.leakage(datasets.Dataset(WHO, pl.concat([rest, wrong]), "v", None))
        assert any(problem in sentence for sentence in found), found


def test_any_history_ends_in_what_a_fresh_build_gives(filled, home, tmp_path):
    before = used(filled)
    gone = before.filter(pl.col("context_documents").list.len() > 0)["context_documents"][0][0]
    filled.lake.replace("documents", WHO, "document_id", [gone], [])
    filled.lake.append("documents", documents([document("new", "A weaver minds her loom. " * 9, "post", "x")]))
    chunk(filled)
    done = datasets.update_samples(filled, WHO).derivation
    after = used(filled)
    assert done.removed == done.new == 1
    # Exactly those are written whose samples came out otherwise.
    columns = ["document_id", "position", "context", "excluded", "split", "group_id"]
    shared = before.select(columns).join(after.select(columns), on=columns, how="semi", nulls_equal=True)
    assert done.changed == before.filter(pl.col("document_id") != gone).height - shared.height
    assert done.changed > 0
    assert not any(gone in row for row in after["context_documents"])

    fresh = Workspace(filled.settings.model_copy(update={"home": tmp_path / "fresh"}))
    for table in ("documents", "chunks"):
        fresh.lake.append(table, filled.lake.read(table, WHO))
    datasets.update_samples(fresh, WHO)
    assert used(fresh).drop("input_hash").equals(after.drop("input_hash"))
    delta = filled.lake.version("samples")
    assert datasets.update_samples(filled, WHO).derivation.touched == 0
    assert filled.lake.version("samples") == delta


@pytest.mark.parametrize(
    ("form", "text", "reason"),
    [
        ("post", "Short is fine.", None),
        ("post", "#tags #only https://example.org/x yes", "fewer than 3 words"),
        ("post", "Read this today: https://example.org/" + "x" * 90 + " #one #two #three", "links and hashtags"),
        ("post", "He said it well: “" + "a long sentence of somebody else " * 4 + "”", "quotation"),
        ("post", "Subscribe to my newsletter for more.", "boilerplate"),
        ("post", "\n".join(f"- [Page {n}](https://example.org/{n})" for n in range(8)), "mostly links"),
        ("section", "\n".join(f"chore(deps): bump p{n} from 1.{n} to 1.{n + 1} (#{n})" for n in range(8)), "program"),
        ("section", "\n".join(f"- Weave the {thing} by hand" for thing in "abcdefgh"), None),
        ("section", "All the same line here.\n" * 8, "same lines"),
        ("code", "0.25, 17, 33, 48, 0x1f,\n" * 20 + "a, b, c_d", "numbers and signs"),
        ("post", "word " * 2000, "without a break"),
    ],
)  # fmt: skip
def test_what_teaches_nothing_says_why(form, text, reason):
    found = unfit(form, text)
    assert (found is None) if reason is None else (reason in (found or "")), found


def test_forms_follow_what_the_platform_says():
    rows = documents(
        [
            document("t", "One thing first.\n\nThen another.", "post", "x"),
            document("r", "I see it otherwise, and here is why.", "post", "medium"),
            document("i", "Light on the water.", "post", "instagram"),
        ]
    )
    found = build_passages(rows, {"t": "thread", "r": "response"})
    assert dict(found.select("document_id", "form").iter_rows()) == {
        "t": "thread", "r": "reply", "i": "instagram_caption",
    }  # fmt: skip


def test_kinds_are_read_from_what_was_collected(workspace):
    raw = [
        RawDocument(WHO, "x", "t", "post", "s", "u", "", "One.\n\nTwo more words.", "text/plain",
                    metadata={"tweets": ["1", "2"]}),
        RawDocument(WHO, "medium", "r", "post", "s", "u", "", "I see it so.", "text/plain",
                    metadata={"kind": "response"}),
    ]  # fmt: skip
    now = datetime.now(UTC)
    workspace.lake.append("raw_documents", [r.row() | {"collected_at": now, "removed_at": None} for r in raw])
    rows = [document(r.document_id, r.content, "post", r.platform) for r in raw]
    workspace.lake.append("documents", documents(rows))
    datasets.update_samples(workspace, WHO)
    assert set(used(workspace)["form"]) == {"thread", "reply"}


def test_long_unbroken_text_is_cut_at_sentences():
    text = " ".join(f"Sentence {n} says its own thing about the loom." for n in range(200))
    found = build_passages(documents([document("a", text, "article", "files")]))
    assert found.height > 3
    assert found["unfit"].null_count() == found.height
    assert all(target in text and target.endswith("loom.") for target in found["target"])
    assert sum(map(len, found["target"])) > 0.99 * len(text) - found.height


def test_what_the_author_leaves_out_stays_out(filled):
    samples = used(filled)
    sample, other = samples.row(0, named=True), samples.row(1, named=True)
    assert exclude(filled, WHO, sample["sample_id"][:12], "not me any more").height == 1
    assert exclude(filled, WHO, f"https://example.org/{other['document_id']}").height == 1
    assert exclude(filled, WHO, other["document_id"]).is_empty(), "it is out already"
    datasets.update_samples(filled, WHO)
    targets = set(used(filled)["target"])
    assert not targets & {sample["target"], other["target"]}
    assert not any(other["document_id"] in row for row in used(filled)["context_documents"])
    # Collected and cut anew, under another name: the text stays out.
    filled.lake.replace_author("samples", WHO)
    filled.lake.replace("documents", WHO, "document_id", [sample["document_id"]], [])
    filled.lake.append("documents", documents([document("renamed", sample["target"])]))
    datasets.update_samples(filled, WHO)
    assert sample["target"] not in set(used(filled)["target"])
    with pytest.raises(InputError, match="names no single"):
        exclude(filled, WHO, "nothing-like-that")
    assert include(filled, WHO, exclusions(filled.lake, WHO)["value"][0]) == 1
    datasets.update_samples(filled, WHO)
    assert sample["target"] in set(used(filled)["target"])


def test_checks_find_what_they_are_for(filled):
    dataset = datasets.load_dataset(filled.lake, WHO)
    assert datasets.size(dataset) == datasets.balance(dataset) == datasets.lengths(dataset) == []
    assert datasets.personal_data(dataset, {}) == []

    def changed(**columns) -> datasets.Dataset:
        return datasets.Dataset(WHO, dataset.samples.with_columns(**columns), "v", None)

    assert datasets.size(changed(split=pl.lit("train"))) == [
        "there is no sample for validation", "there is no sample for test",
    ]  # fmt: skip
    few = pl.when(pl.col("split") == "train").then(pl.lit("test")).otherwise(pl.lit("train"))
    assert "is for training" in datasets.balance(changed(split=few))[0]
    assert "more than half" in datasets.balance(changed(document_id=pl.lit("one")))[0]
    assert "no instruction" in datasets.lengths(changed(instruction=pl.lit(" ")))[0]
    secret = pl.lit("Write to joan.doe@gmail.com or call +1 650 253 0000.")
    found = datasets.personal_data(changed(instruction=secret), {})
    assert len(found) == 2, found


def test_a_dataset_is_exported_read_again_and_compared(filled, monkeypatch):
    monkeypatch.setenv("TWIN_HOME", str(filled.settings.home))
    monkeypatch.setenv("TWIN_CONTEXT_SHARE", "0.6")
    get_settings.cache_clear()

    def twin(*arguments: str) -> dict | list:
        done = CliRunner().invoke(app, ["dataset", *arguments, "--json"])
        if done.exception is not None:
            raise done.exception
        return json.loads(done.stdout)

    written = twin("export")
    assert isinstance(written, dict)
    folder = filled.settings.home / "exports" / WHO / written["folder"].rpartition("/")[2]
    assert {"README.md", "train.jsonl", "test.parquet"} <= set(written["files"])
    assert twin("export") == written, "an export of the same version is replaced"
    dataset = datasets.load_dataset(filled.lake, WHO)
    assert pl.read_parquet(folder / "train.parquet")["target"].to_list() == dataset.split("train")["target"].to_list()
    lines = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    assert [line["messages"][-1]["content"] for line in lines] == dataset.split("train")["target"].to_list()
    assert lines[0]["messages"][0]["content"].startswith(f"You are {AUTHOR.name}.")
    card = (folder / "README.md").read_text()
    assert dataset.version in card
    assert "| train | " in card
    assert "linkedin" in card
    with pytest.raises(InputError, match="is there already"):
        twin("export", "--to", str(folder))

    sample = used(filled).row(0, named=True)
    assert twin("exclude", sample["sample_id"])
    datasets.update_samples(filled, WHO)
    found = twin("diff", str(dataset.delta_version))
    assert isinstance(found, dict)
    assert [row["document_id"] for row in found["removed"]] == [sample["document_id"]]
    assert [version["rows"] for version in twin("list")][-1] == sum(dataset.counts.values())
    assert len(twin("exclusions")) == 1
    assert twin("include", sample["sample_id"]) == {"included": 1}
    assert not list(folder.parent.glob(".*")), "nothing half-written stays"


def test_a_passage_told_again_in_another_document_is_not_tested_on(filled):
    """As monthly reports do: documents of their own that share a passage."""

    def week(seed: int) -> str:
        choose = random.Random(seed)
        return "## Week\n\n" + " ".join(
            f"{choose.choice(['loom', 'weft', 'yarn', 'shed'])}{choose.random()}" for _ in range(90)
        )

    told = "## Thanks\n\n" + " ".join(f"Person{n} helped me with the loom and asked for nothing." for n in range(30))
    rows = [
        document(f"month{n}", f"{week(n)}\n\n{week(n + 50)}\n\n{told}", "article", "files", f"Month {n}")
        for n in range(12)
    ]
    filled.lake.append("documents", documents(rows))
    datasets.update_samples(filled, WHO)
    dataset = datasets.load_dataset(filled.lake, WHO)
    assert datasets.leakage(dataset) == []
    months = dataset.samples.filter(pl.col("document_id").str.starts_with("month"))
    assert months["split"].n_unique() > 1, "they are no near-duplicates"
    thanks = months.filter(pl.col("target").str.contains("Person0 helped"), pl.col("split") != "train")
    assert thanks["excluded"].to_list() == ["a passage nearer to training says the same"] * thanks.height
