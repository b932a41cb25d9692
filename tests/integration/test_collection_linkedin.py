"""LinkedIn's portability API and its export: one document a post, edits and deletions from the change log."""

import json
import time
import zipfile

import pytest
from pydantic import SecretStr

from demo.exports import linkedin_export
from demo.linkedin import TOKEN
from tests.integration.collecting import collect, collect_all, counts, platforms, rows, workspace  # noqa: F401
from twin_assets.core.collection import add_source, import_export, source_states

PROFILE = "https://www.linkedin.com/in/ada"
WORDS = "A pager is a bill that somebody else has run up, and it comes in the night, with interest."
MADE = 1_750_000_000_000 << 22  # number of a share made in June 2025


def event(number: int, text: str | None, ago: float = 60.0, **more) -> dict:
    """A change log event, `ago` seconds old; no text: a deletion."""
    at = int((time.time() - ago) * 1000)
    urn = f"urn:li:share:{number}"
    content = {"com.linkedin.ugc.ShareContent": {"shareCommentary": {"text": text, "attributes": []}}}
    activity = {"id": urn, "lifecycleState": "PUBLISHED", "specificContent": content} if text is not None else {}
    row = {"resourceName": "ugcPosts", "resourceId": urn, "method": "CREATE" if text is not None else "DELETE"}
    return row | {"activity": activity, "processedAt": at, "capturedAt": at, "activityStatus": "SUCCESS"} | more


@pytest.fixture
def linkedin(platforms, workspace):
    """The demo's API, asked with its token; `log(events)` writes the change log."""
    workspace.settings = workspace.settings.model_copy(update={"linkedin_token": SecretStr(TOKEN)})
    add_source(workspace, "ada", "linkedin", PROFILE, api_url=f"{platforms.url}/linkedin")
    platforms.log = lambda *events: platforms.content.write("linkedin-api/changes.json", json.dumps(events))
    return platforms


def test_the_api_and_the_export_hold_the_same_posts(linkedin, workspace, tmp_path):
    first = collect(workspace, "linkedin")
    assert first.status == "ok"
    assert first.new == len(rows(workspace)) > 5
    assert "ARTICLES: LinkedIn has no data" in first.message
    from_api = rows(workspace)
    import_export(workspace, "ada", linkedin_export(tmp_path / "export.zip"))
    by_api, by_export = collect_all(workspace, "linkedin")
    both = rows(workspace)
    assert {name: row["content"] for name, row in both.items() if name in from_api} == {
        name: row["content"] for name, row in from_api.items()
    }
    assert {json.loads(row["metadata"]).get("kind") for name, row in both.items() if name not in from_api} == {
        "article"
    }
    assert (by_api.changed, by_export.changed, by_api.removed, by_export.removed) == (0, 0, 0, 0)
    version = workspace.lake.version("raw_documents")
    assert all(result.new == result.changed == 0 for result in collect_all(workspace, "linkedin"))
    assert workspace.lake.version("raw_documents") == version


def test_the_snapshot_is_read_once_a_week_and_the_log_every_time(linkedin, workspace, monkeypatch):
    collect(workspace, "linkedin")
    start = len(linkedin.requests)
    assert counts(collect(workspace, "linkedin"))[:3] == ("ok", 0, 0)
    assert [request.path.split("?")[0] for request in linkedin.requests[start:]] == ["/linkedin/rest/memberChangeLogs"]
    later = time.time() + 8 * 86_400
    monkeypatch.setattr("twin_assets.core.sources.linkedin_api.time.time", lambda: later)
    assert counts(collect(workspace, "linkedin"))[:3] == ("ok", 0, 0)
    assert any("memberSnapshotData" in request.path for request in linkedin.requests[start + 1 :])


def test_a_snapshot_that_linkedin_has_not_prepared_yet_is_asked_for_again(linkedin, workspace):
    tables = {name: linkedin.content[name] for name in ("linkedin/Shares.csv", "linkedin/Comments.csv")}
    for name in tables:
        linkedin.content.delete(name)
    early = collect(workspace, "linkedin")
    assert (early.status, early.new) == ("ok", 0)
    assert "it prepares them within a day" in early.message
    for name, table in tables.items():
        linkedin.content.write(name, table)
    assert collect(workspace, "linkedin").new == len(rows(workspace)) > 5
    kinds = [json.loads(row["metadata"]).get("kind") for row in rows(workspace).values()]
    assert "comment" in kinds


def test_the_log_brings_edits_and_deletions_and_no_late_snapshot_takes_them_back(linkedin, workspace, monkeypatch):
    collect(workspace, "linkedin")
    edited, deleted = sorted(name for name in rows(workspace) if name.startswith("share:"))[:2]
    kept = len(rows(workspace))
    linkedin.log(
        event(int(edited[6:]), "The second text, which is better.", method="UPDATE"), event(int(deleted[6:]), None),
        event(MADE, WORDS), event(8, "failed", activityStatus="FAILURE"),
        event(9, "somebody's comment", resourceName="socialActions/comments"),
        event(10, "not yet", activity={"id": "urn:li:share:10", "lifecycleState": "DRAFT", "commentary": "not yet"}),
    )  # fmt: skip
    after = collect(workspace, "linkedin")
    assert (after.status, after.new, after.changed, after.removed) == ("ok", 1, 1, 1)
    now = rows(workspace)
    assert now[edited]["content"] == "The second text, which is better."
    assert deleted not in now
    assert rows(workspace, live=False)[deleted]["removed_at"] is not None
    new = now[f"share:{MADE}"]
    assert (new["content"], new["published_at"].year) == (WORDS, 2025)
    assert len(now) == kept
    later = time.time() + 8 * 86_400  # the snapshot is read again, and still knows nothing of it
    monkeypatch.setattr("twin_assets.core.sources.linkedin_api.time.time", lambda: later)
    assert counts(collect(workspace, "linkedin"))[1:3] == (0, 0)
    assert rows(workspace) == now


def test_a_long_log_is_read_page_by_page_from_where_it_was_left(linkedin, workspace):
    linkedin.log(*(event(10_000 + n, f"{WORDS} Number {n}.", ago=5000 - n) for n in range(120)))
    first = collect(workspace, "linkedin")
    assert len([name for name in rows(workspace) if name.startswith("share:1") and len(name) == 11]) == 120
    start = len(linkedin.requests)
    assert counts(collect(workspace, "linkedin"))[1:3] == (0, 0)
    assert len(linkedin.requests) == start + 1
    assert first.new == len(rows(workspace))


def test_a_token_that_may_not_read_is_told_from_a_history_that_is_over(linkedin, workspace):
    collect(workspace, "linkedin")
    stored = len(rows(workspace))
    workspace.settings = workspace.settings.model_copy(update={"linkedin_token": SecretStr("expired-s3cret")})
    refused = collect(workspace, "linkedin")
    assert refused.status == "failed"
    assert "TWIN_LINKEDIN_TOKEN" in refused.message
    assert "r_dma_portability_self_serve" in refused.message
    assert "s3cret" not in refused.message + json.dumps(source_states(workspace, "ada"), default=str)
    assert len(rows(workspace)) == stored


def test_articles_of_the_api_are_the_exports_articles(linkedin, workspace):
    row = {"Article Title": "On pagers", "Article Link": "https://www.linkedin.com/pulse/on-pagers-ada-x1?x=1"}
    row |= {"Content": f"<p>{WORDS}</p>", "Published Date": "2025-01-02 03:04:05"}
    linkedin.content.write("linkedin-api/ARTICLES.json", json.dumps([row, {"Article Title": "Without a text"}]))
    collect(workspace, "linkedin")
    article = rows(workspace)["article:on-pagers-ada-x1"]
    assert (article["title"], article["content_type"], article["category"]) == ("On pagers", "text/html", "article")
    assert article["published_at"].isoformat() == "2025-01-02T03:04:05+00:00"


def rich(path, *texts: str, told: str = "You uploaded a feed photo on April 12, 2026 at 8:03 AM (GMT)"):
    lines = "".join(f'"{told}","{text}",https://example.org/{n}.jpg\n' for n, text in enumerate(texts))
    portrait = f'"You uploaded a profile photo on April 12, 2026","{WORDS}",https://example.org/me.jpg\n'
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("Basic_Export/Rich_Media.csv", f"Date/Time,Media Description,Media Link\n{lines}{portrait}")
        packed.writestr("Basic_Export/Profile.csv", "First Name\nAda\n")
    return path


def test_an_archive_whose_only_posts_are_its_medias_descriptions(workspace, tmp_path):
    import_export(workspace, "ada", rich(tmp_path / "basic.zip", WORDS, "IMG_1234.jpg", "-"))
    result = collect(workspace, "linkedin")
    assert (result.new, "1 posts known by the descriptions of their media" in result.message) == (1, True)
    (post,) = rows(workspace).values()
    assert (post["content"], post["published_at"].isoformat()) == (WORDS, "2026-04-12T08:03:00+00:00")
    whole = tmp_path / "whole.zip"
    with zipfile.ZipFile(whole, "w") as packed:
        share = f'2026-04-12 08:03:00,https://www.linkedin.com/feed/update/urn%3Ali%3Ashare%3A77,"{WORDS}",,,X\n'
        header = "Date,ShareLink,ShareCommentary,SharedUrl,MediaUrl,Visibility\n"
        packed.writestr("Complete_Export/Shares_123456.csv", header + share)
        media = f'Date/Time,Media Description,Media Link\n2026-04-12,"{WORDS}",x\n'
        packed.writestr("Complete_Export/Rich_Media.csv", media)
    import_export(workspace, "ada", whole)
    collect_all(workspace, "linkedin")
    assert set(rows(workspace)) == {"share:77"}
    collect_all(workspace, "linkedin")
    assert set(rows(workspace)) == {"share:77"}
