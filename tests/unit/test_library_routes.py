"""Documents, datasets, exclusions, trainings and preflight over HTTP, through the client the page uses."""

from datetime import UTC, datetime

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from training_corpus import AUTHOR, document, documents, post_texts

from twin_assets.core import datasets
from twin_assets.core.documents import RawDocument
from twin_assets.core.errors import ServingError
from twin_assets.core.workspace import Workspace
from twin_assets.settings import Settings
from twin_serving.api.answers import add_error_answers
from twin_serving.api.datasets import dataset_routes, document_routes
from twin_serving.api.guard import Guard
from twin_serving.api.permission import Keys
from twin_serving.client import TwinClient


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> Workspace:
    """Posts, one a month from January 2025 on, an article without a date and a cross-post."""
    workspace = Workspace(Settings(home=tmp_path_factory.mktemp("library") / "home", base_model="nano"))
    workspace.authors.save(AUTHOR)
    rows = [document(f"p{i:02}", text) for i, text in enumerate(post_texts()[:24])]
    for i, row in enumerate(rows):
        row["published_at"] = datetime(2025 + i // 12, 1 + i % 12, 5, tzinfo=UTC)
    rows.append(document("essay", "Quokkas weave. " * 90, "article", "substack", "On quokkas"))
    rows.append(document("copy", "A copy.") | {"rejected": "cross-post of …"})
    workspace.lake.append("documents", documents(rows))
    collected = RawDocument(
        AUTHOR.id, "linkedin", "p03", "post", "a", "https://example.org/p03", "", post_texts()[3], "text/plain"
    )
    workspace.lake.append("raw_documents", [collected.row() | {"document_id": "p03"}])
    datasets.update_samples(workspace, AUTHOR.id)
    return workspace


@pytest.fixture
def client(filled):
    """The page's client, whose requests go to the routes in this process."""
    server = FastAPI()
    server.add_middleware(Guard, keys=Keys(None, None, open_without=True))
    add_error_answers(server)
    server.include_router(dataset_routes(filled))
    server.include_router(document_routes(filled))
    found = TwinClient("http://127.0.0.1")
    found._http = TestClient(server, base_url="http://127.0.0.1")  # type: ignore[assignment]  # asks as httpx does
    return found


def test_documents_are_listed_newest_first_by_what_is_asked_for(client):
    found = client.documents(AUTHOR.id, limit=5)
    assert (found["total"], len(found["documents"])) == (25, 5)
    assert found["by_category"] == {"article": 1, "post": 24}
    assert [row["published_at"][:7] for row in found["documents"][:2]] == ["2026-12", "2026-11"]
    assert client.documents(AUTHOR.id, limit=5, offset=24)["documents"][0]["document_id"] == "essay"
    (essay,) = client.documents(AUTHOR.id, text="QUOKKAS weave")["documents"]
    assert (essay["document_id"], essay["words"], essay["excluded"]) == ("essay", 180, False)
    assert essay["beginning"].startswith("Quokkas weave.")
    days = client.documents(AUTHOR.id, published_from="2025-02-05", published_until="2025-03-05", category="post")
    assert [row["published_at"][:7] for row in days["documents"]] == ["2025-03", "2025-02"]
    assert client.documents(AUTHOR.id, text="100%_no\\w.*")["total"] == 0
    assert client.documents(AUTHOR.id, platform="x")["total"] == 0


def test_a_document_in_full_left_out_and_let_in_again(client):
    row = client.document(AUTHOR.id, "essay")
    assert row["text"].count("weave") == 90
    assert row["learned_by"] == []
    for excluded in (True, True, False, False):
        client.exclude_document(AUTHOR.id, "essay", excluded=excluded, note="old")
        assert client.document(AUTHOR.id, "essay")["excluded"] is excluded
        assert len(client.exclusions(AUTHOR.id)) == excluded
    with pytest.raises(ServingError, match="no document 'copy'"):
        client.document(AUTHOR.id, "copy")


def test_statistics_add_up(client):
    found = client.statistics(AUTHOR.id)
    assert (found["documents"], found["undated"]) == (25, 1)
    assert sum(row["documents"] for row in found["months"]) == 24
    assert sum(row["documents"] for row in found["lengths"]) == 25
    assert {"category": "article", "bin": "101–200", "documents": 1} in found["lengths"]
    first, second = found["vocabulary"]
    assert second["distinct"] == first["distinct"] + second["new"]
    assert first["distinct"] == first["new"] > 0
    assert found["words"] == sum(row["words"] for row in found["months"]) + 180
    counts = [row["documents"] for row in found["top_words"]]
    assert counts == sorted(counts, reverse=True)
    assert "quokkas" not in [row["word"] for row in found["top_words"]], "by documents, not by how often"


def test_the_dataset_and_its_exclusions(client):
    found = client.dataset(AUTHOR.id)
    assert sum(found["by_split"].values()) == sum(found["by_form"].values()) == found["samples"]
    assert found["versions"][0]["content"] == found["version"]
    assert found["preferences"]["pairs"] == 0
    (row,) = client.exclude(AUTHOR.id, "essay", "private")
    assert (row["kind"], row["value"], row["note"]) == ("document", "essay", "private")
    client.include(AUTHOR.id, "essay")
    assert client.exclusions(AUTHOR.id) == []
    with pytest.raises(ServingError, match="no single document"):
        client.exclude(AUTHOR.id, "nothing like it")


def test_trainings_and_what_one_takes(client):
    assert client.experiments(AUTHOR.id)["experiments"] == []
    found = client.preflight(AUTHOR.id)
    assert [row["base"] for row in found["estimates"]] == ["0.5B", "1.5B", "3B", "7B", "14B", "30B", "70B"]
    (small,) = client.preflight(AUTHOR.id, "0.5B", {"batch": 1, "length": 256})["estimates"]
    (large,) = client.preflight(AUTHOR.id, "0.5B", {"batch": 64, "length": 8192})["estimates"]
    assert large["memory_gib"] > small["memory_gib"]
    assert not large["fits"]
    assert "batch=" in large["nearest"]
    for base, settings, problem in (("0.5B", {"rnk": 4}, "no 'rnk'"), ("no such base", {}, "neither auto")):
        with pytest.raises(ServingError, match=problem):
            client.preflight(AUTHOR.id, base, settings)
    (nano,) = client.preflight(AUTHOR.id, "nano")["estimates"]
    assert nano["fits"]


def test_forgetting_is_shown_before_it_is_done(client, filled):
    plan = client.forget_document(AUTHOR.id, "p03", dry_run=True)
    assert [each["document_id"] for each in plan["documents"]] == ["p03"]
    assert client.documents(AUTHOR.id)["total"] == 25
    client.forget_document(AUTHOR.id, "p03")
    assert client.documents(AUTHOR.id)["total"] == 24
    assert filled.lake.read("forgotten", AUTHOR.id)["document_id"].to_list() == ["p03"]
