"""The whole loop on the demo author: from her platforms to a draft, and what a second and a third run do."""

import pytest

from demo.run import AUTHOR, LINK, PROMPT
from twin_assets.core import features
from twin_assets.core.documents import TABLES
from twin_serving.client import TwinClient
from twin_serving.server import running_server

UNTOUCHED_BY_AN_IDLE_RUN = set(TABLES) - {"source_state"}


def test_the_run_succeeded_and_the_model_is_served(demo_deployment):
    assert demo_deployment.outcome.failures == {}
    assert demo_deployment.outcome.success
    approved = demo_deployment.workspace.registry.approved(AUTHOR)
    assert approved is not None
    assert approved.is_nano


def test_the_model_can_be_traced_to_its_run_and_data(demo_deployment):
    from mlflow import MlflowClient

    workspace = demo_deployment.workspace
    model = workspace.registry.approved(AUTHOR)
    run = MlflowClient(demo_deployment.settings.tracking_uri).get_run(model.run_id)
    assert run.data.tags["dagster_run_id"] == demo_deployment.outcome.run_id
    assert run.data.params["dataset_version"] == model.dataset_version
    assert run.info.status == "FINISHED"
    assert model.corpus_version == features.corpus_version(workspace.lake, AUTHOR)
    assert model.metrics["held_out_loss"] < model.metrics["held_out_loss_base"]


def test_everything_she_published_is_in_the_corpus_and_nothing_else(demo_deployment):
    workspace = demo_deployment.workspace
    corpus = features.corpus(workspace.lake, AUTHOR)
    counts = dict(corpus.group_by("platform").len().iter_rows())
    assert counts["linkedin"] >= 110
    assert counts["medium"] >= 7
    assert counts["substack"] == 4
    assert counts["github"] >= 8
    assert counts["files"] == 4
    text = "\n".join(corpus["text"].to_list())
    assert "verify you are human" not in text
    assert "tinytable" not in {url.rsplit("/", 1)[-1] for url in corpus["url"].to_list()}
    raw = workspace.lake.read("raw_documents", AUTHOR)
    assert raw["quarantine"].drop_nulls().len() >= 2, "the paywalled post and the preview are kept apart"


def test_a_run_with_nothing_new_derives_writes_and_trains_nothing(demo_deployment):
    workspace = demo_deployment.workspace
    before = {table: workspace.lake.version(table) for table in UNTOUCHED_BY_AN_IDLE_RUN}
    versions = [model.version for model in workspace.registry.versions(AUTHOR)]
    index = workspace.index.version(AUTHOR)
    assert demo_deployment.run("twin").success
    workspace = demo_deployment.workspace
    assert {table: workspace.lake.version(table) for table in UNTOUCHED_BY_AN_IDLE_RUN} == before
    assert [model.version for model in workspace.registry.versions(AUTHOR)] == versions
    assert workspace.index.version(AUTHOR) == index


def test_an_edit_an_addition_and_a_removal_reach_the_index_and_only_they_are_derived(demo_deployment):
    server, workspace = demo_deployment.server, demo_deployment.workspace
    embedded = workspace.lake.read("embeddings", AUTHOR, columns=["text_hash"]).height
    added = server.add_post("blog", "A note on tide tables", "Tide tables forgive nobody.\n\nWe print ours on Mondays.")
    server.add_post("github", "keelson/docs/slipway.md", "# The slipway\n\nEvery release waits on the slipway first.")
    assert demo_deployment.run("collect").success

    workspace = demo_deployment.workspace
    assert workspace.lake.read("embeddings", AUTHOR, columns=["text_hash"]).height <= embedded + 4
    texts = [hit.text for hit in workspace.retriever.search(AUTHOR, "tide tables printed on Mondays")]
    assert any("Tide tables forgive nobody." in text for text in texts)

    edited = "# The slipway\n\nNo release has ever waited for the slipway."
    server.change_post("github", "keelson/docs/slipway.md", edited)
    server.remove_post("blog", added)
    assert demo_deployment.run("collect").success
    workspace = demo_deployment.workspace
    texts = [hit.text for hit in workspace.retriever.search(AUTHOR, "release waits on the slipway", limit=20)]
    assert any("No release has ever waited" in text for text in texts)
    assert not any("Every release waits" in text for text in texts)

    server.remove_post("github", "keelson/docs/slipway.md")
    assert demo_deployment.run("collect").success
    texts = [hit.text for hit in demo_deployment.workspace.retriever.search(AUTHOR, "slipway release", limit=20)]
    assert not any("slipway first" in text or "has ever waited" in text for text in texts)


def test_a_post_is_drafted_with_its_evidence(demo_deployment):
    with (
        running_server(demo_deployment.settings) as url,
        TwinClient(url, timeout=120) as client,
    ):
        answer = client.compose(AUTHOR, PROMPT, links=[f"{demo_deployment.server.url}{LINK}"])
        assert len(client.compositions(AUTHOR)) == 1
    assert [link["status"] for link in answer["links"]] == ["read"]
    assembled, drafted = answer["drafts"]
    assert (assembled["kind"], drafted["kind"]) == ("assembled", "model")
    assert "not prose" in drafted["notice"]
    workspace = demo_deployment.workspace
    corpus = features.corpus(workspace.lake, AUTHOR)
    own = dict(corpus.select("document_id", "text").iter_rows())
    for sentence in assembled["sentences"]:
        assert assembled["text"][sentence["start"] : sentence["end"]] == sentence["text"]
        for support in sentence["support"]:
            if support["kind"] == "own" and sentence["status"] == "verbatim":
                assert support["quote"] in own[support["document_id"]]
    assert any(support["kind"] == "link" for s in assembled["sentences"] for support in s["support"])
    assert answer["model_version"] == workspace.registry.approved(AUTHOR).version
    assert answer["index_version"] == workspace.index.version(AUTHOR)
    assert workspace.lake.read("drafts", AUTHOR).height == 2


@pytest.mark.parametrize("link", ["/web/challenge.html", "/web/notfound.html", "/web/nothing-here.html"])
def test_a_link_that_cannot_be_read_is_reported_and_not_used(demo_deployment, link):
    from twin_serving.links.reading import read_links

    with demo_deployment.workspace.web() as web:
        (read,) = read_links([f"{demo_deployment.server.url}{link}"], web)
    assert read.status == "failed"
    assert read.message
    assert not read.text
