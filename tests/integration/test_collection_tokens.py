"""Tokens: they open what they are for, key what is cached, and are never written down anywhere."""

import logging
from pathlib import Path

import polars as pl
import pytest
from pydantic import SecretStr

from demo.linkedin import TOKEN
from tests.integration.collecting import LOGIN, collect, collect_all, platforms, rows, workspace  # noqa: F401
from twin_assets.core import collection
from twin_assets.core.collection import add_source, source_states
from twin_assets.core.documents import TABLES
from twin_assets.core.status import author_status

SECRET, OTHER = "ghp_S3cretS3cretS3cret", "ghp_An0therAn0therAn0ther"
TROUBLE = {
    "401": {"status": 401}, "403": {"status": 403}, "429": {"status": 429, "retry_after": 900}, "500": {"status": 500},
    "reset": {"fault": "reset"}, "malformed": {"fault": "malformed"}, "redirects": {"fault": "redirect_loop"},
    "challenge": {"fault": "challenge"}, "truncated gzip": {"fault": "truncated_gzip"}, "timeout": {"fault": "timeout"},
}  # fmt: skip


def set_tokens(workspace, github: str | None = SECRET, linkedin: str = TOKEN) -> None:
    values = {"github_token": SecretStr(github) if github else None, "linkedin_token": SecretStr(linkedin)}
    workspace.settings = workspace.settings.model_copy(update=values)


def written(workspace) -> str:
    """Everything a deployment keeps, as text: files as they are, tables unpacked, and what a person is shown of it."""
    home: Path = workspace.settings.home
    parts = [path.read_bytes().decode("latin-1") for path in sorted(home.rglob("*")) if path.is_file()]
    parts += [str(pl.read_parquet(path).to_dicts()) for path in sorted(home.rglob("*.parquet"))]
    parts += [str(workspace.lake.read(table).to_dicts()) for table in TABLES]
    parts += [str(source_states(workspace, "ada")), str(author_status(workspace, workspace.authors.get("ada")))]
    return "\n".join(parts)


@pytest.mark.parametrize("trouble", [None, *TROUBLE])
def test_no_token_is_ever_written_down(platforms, workspace, monkeypatch, caplog, capfd, trouble):
    monkeypatch.setattr(collection._Collector, "_check_wait", lambda *_: None)
    caplog.set_level(logging.DEBUG)
    secrets = (SECRET, "expired-" + TOKEN if trouble == "401" else TOKEN)
    set_tokens(workspace, *secrets)
    add_source(workspace, "ada", "github", LOGIN, api_url=f"{platforms.url}/github")
    add_source(workspace, "ada", "linkedin", "https://www.linkedin.com/in/ada", api_url=f"{platforms.url}/linkedin")
    if trouble:
        platforms.fail("/github", times=None, **({"seconds": 0.01} | TROUBLE[trouble]))
        platforms.fail("/linkedin", times=None, **({"seconds": 0.01} | TROUBLE[trouble]))
    said: list[str] = []
    results = []
    for platform in ("github", "linkedin"):
        results += collection.collect_platform(workspace, workspace.authors.get("ada"), platform, said.append)
    assert [result.status == "ok" for result in results] == [trouble is None] * 2
    asked = [request.headers.get("authorization") for request in platforms.requests]
    assert {f"Bearer {secret}" for secret in secrets} == set(asked)  # they were used, on every request
    output = capfd.readouterr()
    kept = "\n".join([written(workspace), str(results), *said, caplog.text, output.out, output.err])
    assert LOGIN in kept
    assert caplog.records
    for secret in secrets:
        assert secret not in kept


def test_what_is_cached_under_one_token_is_never_shown_under_another(platforms, workspace):
    add_source(workspace, "ada", "github", LOGIN, api_url=f"{platforms.url}/github")

    def validators(token: str | None) -> list[bool]:
        set_tokens(workspace, token)
        start = len(platforms.requests)
        assert collect(workspace, "github").status == "ok"
        return ["if-none-match" in request.headers for request in platforms.requests[start:]]

    assert not any(validators(None))
    assert any(validators(None))
    stored = rows(workspace)
    for token in (SECRET, OTHER, None):
        assert not any(validators(token))
        assert any(validators(token))
    assert rows(workspace) == stored


def test_a_linkedin_token_is_not_githubs_and_neither_goes_to_a_feed(platforms, workspace):
    set_tokens(workspace)
    add_source(workspace, "ada", "feed", f"{platforms.url}/blog/feed.xml")
    add_source(workspace, "ada", "medium", f"{platforms.url}/medium/feed/@{LOGIN}")
    add_source(workspace, "ada", "substack", f"{platforms.url}/substack")
    for platform in ("feed", "medium", "substack"):
        collect_all(workspace, platform)
    assert platforms.requests
    assert not any("authorization" in request.headers for request in platforms.requests)
