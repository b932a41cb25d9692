"""The lake on S3, against a local S3 server: credentials from dagster-aws, the bucket, and what derive() needs."""

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from twin_assets.core.documents import Document
from twin_assets.core.errors import ConfigurationError, VersionGoneError
from twin_assets.core.housekeeping import tidy
from twin_assets.core.lake import Lake, rows_frame
from twin_assets.core.lake_purge import Purged, every_row, purge_author
from twin_assets.core.warehouse import ask, compare, content_version, list_versions
from twin_assets.core.workspace import Workspace
from twin_assets.resources.bucket import make_bucket
from twin_assets.resources.workspace import s3_resource, storage_options
from twin_assets.settings import Settings
from twin_serving.server import free_port


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A local S3 server, in a process of its own: deltalake holds the interpreter while it reads a log."""
    port = free_port()
    command = (sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port))
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert process.poll() is None, "the S3 server ended at once"
            assert time.monotonic() < deadline, "the S3 server did not start within a minute"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def settings(server: str, request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """A deployment whose lake is a bucket of the test's own."""
    bucket = re.sub(r"[^a-z]+", "-", request.node.name)[:60].strip("-")
    return Settings(
        home=tmp_path,
        lake_uri=f"s3://{bucket}/lake",
        s3_endpoint_url=server,
        s3_access_key_id="key",
        s3_secret_access_key="secret",
    )


def rows(*names: str) -> pl.DataFrame:
    documents = [Document(n, "files", n, "post", "", "", f"text of {n}").row() for n in names]
    return rows_frame(
        "documents", [row | {"author": "ada", "input_hash": "x", "derived_version": "1"} for row in documents]
    )


def test_the_lake_lives_in_a_bucket(settings):
    assert make_bucket(settings) == "test-the-lake-lives-in-a-bucket"
    assert make_bucket(settings) == "test-the-lake-lives-in-a-bucket", "a bucket that is there is left alone"
    through_dagster = Lake(settings.lake_location, storage_options(s3_resource(settings)))
    through_dagster.append("documents", rows("a", "b"))
    through_dagster.replace("documents", "ada", "document_id", ["a", "c"], rows("c"))
    serving = Workspace(settings).lake
    assert sorted(serving.read("documents", "ada")["document_id"].to_list()) == ["b", "c"]
    assert serving.version("documents") == 1
    assert ask(serving, "select count(*) as n from documents")["n"].item() == 2


def test_versions_and_the_retention_hold_in_a_bucket(settings):
    make_bucket(settings)
    workspace = Workspace(settings)
    lake = workspace.lake = Lake(settings.lake_location, storage_options(s3_resource(settings)))
    lake.append("documents", rows("a", "b"))
    for name in "cdefghi":
        lake.append("documents", rows(name))
    lake.replace("documents", "ada", "document_id", ["a"], [])
    assert len(list(list_versions(lake, "ada", "corpus"))) == 9
    found = compare(lake, "ada", "corpus", 0, 8)
    assert (found.added.height, found.removed["document_id"].to_list(), found.unchanged) == (7, ["a"], 1)
    assert ask(lake, "select count(*) as n from documents", versions={"documents": 0})["n"].item() == 2

    now = content_version(lake, "ada", "corpus")
    tidied = tidy(workspace, timedelta(0), shortest=timedelta(0))
    (table,) = (table for table in tidied.tables if table.table == "documents")
    assert (table.merged, table.removed) == (8, 9)
    assert content_version(lake, "ada", "corpus") == now
    with pytest.raises(VersionGoneError, match="before the retention"):
        lake.read("documents", "ada", version=0)
    with pytest.raises(VersionGoneError, match="before the retention"):
        ask(lake, "select * from documents", versions={"documents": 0})


def test_one_authors_past_goes_and_the_others_stays_in_a_bucket(settings):
    make_bucket(settings)
    lake = Workspace(settings).lake
    lake.append("documents", rows("a", "b"))
    lake.append("documents", rows("c").with_columns(author=pl.lit("ben")))
    lake.replace("documents", "ada", "document_id", ["a"], [])
    lake.replace("documents", "ben", "document_id", ["c"], [])
    names = every_row(lake, "documents", "ada", ["text", "author"], ["a"])
    assert names.rows() == [("text of a", None)], "what was deleted is still in a file"
    purged = purge_author(lake, "documents", "ada")
    assert (purged.files, purged.commits) == (1, 1)
    assert purge_author(lake, "documents", "ada") == Purged()
    assert every_row(lake, "documents", "ada", ["text"], ["a"]).is_empty()
    assert lake.read("documents", "ada")["document_id"].to_list() == ["b"]
    assert lake.read("documents", "ben", version=1)["document_id"].to_list() == ["c"]
    with pytest.raises(VersionGoneError):
        lake.read("documents", "ada", version=0)


def test_a_local_lake_has_no_bucket(tmp_path):
    with pytest.raises(ConfigurationError, match="not on S3"):
        make_bucket(Settings(home=tmp_path))
