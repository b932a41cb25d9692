"""derive(): the one incremental mechanism, on real Delta tables."""

import threading
from typing import cast

import polars as pl
import pytest

from twin_assets.core.documents import TABLES, Chunk, Document
from twin_assets.core.errors import LakeError
from twin_assets.core.lake import Lake, derive, rows_frame


def documents(*pairs: tuple[str, str]) -> pl.DataFrame:
    rows = []
    for name, text in pairs:
        document = Document(name, "files", name, "post", f"https://example.org/{name}", "", text)
        rows.append(document.row() | {"author": "ada", "input_hash": "x", "derived_version": "1"})
    return rows_frame("documents", rows)


def one_chunk_each(calls: list[str]):
    def function(rows: pl.DataFrame) -> pl.DataFrame:
        calls.extend(rows["document_id"].to_list())
        chunks = [
            Chunk(r["document_id"], 0, r["text"], 0, len(r["text"]), "post", "files", r["url"], "").row()
            for r in rows.to_dicts()
        ]
        return rows_frame("chunks", chunks)

    return function


def run(lake: Lake, calls: list[str], version: str = "1", **options):
    return derive(
        lake, author="ada", upstream="documents", downstream="chunks", key="document_id", hash_column="document_hash",
        function=one_chunk_each(calls), version=version, **options,
    )  # fmt: skip


def test_only_what_is_new_is_derived(tmp_path):
    lake = Lake(tmp_path)
    lake.append("documents", documents(("a", "one"), ("b", "it's two"), ("c", "three")))
    calls: list[str] = []
    first = run(lake, calls)
    assert (first.new, first.changed, first.unchanged, first.removed, first.written) == (3, 0, 0, 0, 3)
    version = lake.version("chunks")

    calls.clear()
    assert run(lake, calls).touched == 0
    assert calls == []
    assert lake.version("chunks") == version, "an unchanged refresh neither derives nor writes"

    lake.replace("documents", "ada", "document_id", ["a", "b", "d"], documents(("a", "one!"), ("d", "it's new")))
    result = run(lake, calls)
    assert (result.new, result.changed, result.unchanged, result.removed) == (1, 1, 1, 1)
    assert sorted(calls) == ["a", "d"]
    assert sorted(lake.read("chunks", "ada")["text"].to_list()) == ["it's new", "one!", "three"]

    calls.clear()
    assert run(lake, calls, version="2").changed == 3, "a new version of the function derives everything again"


def test_a_killed_run_is_finished_by_the_next(tmp_path):
    lake = Lake(tmp_path)
    lake.append("documents", documents(*((f"d{i}", f"text {i}") for i in range(10))))
    calls: list[str] = []

    def killed(done: int, total: int) -> None:
        if done >= 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(lake, calls, batch_size=3, progress=killed)
    assert lake.read("chunks", "ada").height == 6
    calls.clear()
    assert run(lake, calls, batch_size=3).new == 4
    assert len(calls) == 4
    assert lake.read("chunks", "ada")["document_id"].n_unique() == 10


def test_a_function_that_loses_a_row_is_an_error(tmp_path):
    lake = Lake(tmp_path)
    lake.append("documents", documents(("a", "one"), ("b", "two")))
    with pytest.raises(LakeError, match="lost or invented 1 keys"):
        derive(
            lake, author="ada", upstream="documents", downstream="chunks", key="document_id",
            hash_column="document_hash", function=lambda rows: one_chunk_each([])(rows.head(1)), version="1",
        )  # fmt: skip


def test_authors_do_not_touch_each_other(tmp_path):
    lake = Lake(tmp_path)
    lake.append("documents", documents(("a", "one")))
    lake.append("documents", documents(("a", "other")).with_columns(author=pl.lit("ben")))
    run(lake, [])
    lake.replace_author("documents", "ada")
    run(lake, [])
    assert lake.read("documents")["author"].to_list() == ["ben"]
    assert lake.read("chunks").height == 0


def test_a_table_of_an_older_layout_is_read_and_written(tmp_path, monkeypatch):
    lake = Lake(tmp_path)
    row = {"author": "ada", "feedback_id": "1", "draft_id": "d", "rating": 5}
    older = {name: kind for name, kind in TABLES["feedback"].items() if name != "comment"}
    with monkeypatch.context() as before:
        before.setitem(cast(dict, TABLES), "feedback", older)
        lake.append("feedback", [row])
    assert lake.read("feedback")["comment"].to_list() == [None], "a column that was not there yet is null"
    lake.append("feedback", [row | {"feedback_id": "2", "comment": "good"}])
    lake.replace("feedback", "ada", "feedback_id", ["1"], [row | {"comment": "better"}])
    assert sorted(lake.read("feedback")["comment"]) == ["better", "good"]
    assert lake.read("feedback", version=0)["comment"].to_list() == [None]


def test_two_derivations_at_once_append_nothing_twice(tmp_path):
    lake = Lake(tmp_path)
    lake.append("documents", documents(*((f"d{i}", f"text {i}") for i in range(20))))
    calls: list[str] = []
    threads = [threading.Thread(target=run, args=(Lake(tmp_path), calls), kwargs={"batch_size": 5}) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(lake.read("chunks", "ada")["document_id"].to_list()) == sorted(f"d{i}" for i in range(20))
    assert len(calls) == 20
