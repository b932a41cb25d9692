"""The lake on S3, against a local S3 server: credentials from dagster-aws, the bucket, and what derive() needs."""

from collections.abc import Iterator
from datetime import timedelta

import polars as pl
import pytest

from twin_assets.core.documents import Document
from twin_assets.core.errors import ConfigurationError, VersionGoneError
from twin_assets.core.housekeeping import tidy
from twin_assets.core.lake import Lake, rows_frame
from twin_assets.core.warehouse import ask, compare, content_version, list_versions
from twin_assets.core.workspace import Workspace
from twin_assets.resources.bucket import make_bucket
from twin_assets.resources.workspace import s3_resource, storage_options
from twin_assets.settings import Settings


@pytest.fixture
def settings(tmp_path) -> Iterator[Settings]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    try:
        yield Settings(
            home=tmp_path,
            lake_uri="s3://twin/lake",
            s3_endpoint_url=f"http://127.0.0.1:{port}",
            s3_access_key_id="key",
            s3_secret_access_key="secret",
        )
    finally:
        server.stop()


def rows(*names: str) -> pl.DataFrame:
    documents = [Document(n, "files", n, "post", "", "", f"text of {n}").row() for n in names]
    return rows_frame(
        "documents", [row | {"author": "ada", "input_hash": "x", "derived_version": "1"} for row in documents]
    )


def test_the_lake_lives_in_a_bucket(settings):
    assert make_bucket(settings) == "twin"
    assert make_bucket(settings) == "twin", "a bucket that is there is left alone"
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


def test_a_local_lake_has_no_bucket(tmp_path):
    with pytest.raises(ConfigurationError, match="not on S3"):
        make_bucket(Settings(home=tmp_path))
