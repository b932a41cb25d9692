"""Retriever: questions in words, on a real index."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from twin_assets.core.embedding import Embedder
from twin_assets.core.errors import IndexMissingError, InputError, VectorIndexError
from twin_assets.core.index import Point, open_index
from twin_assets.core.retrieval import Retriever, SearchFilter, SearchOptions

PASSAGES = {
    "post": [
        "Deploying before the weekend is a bet that nobody has plans.",
        "Sourdough wants patience; the oven wants steam.",
        "We renamed the ZX-4711 sensor and three dashboards went dark.",
    ],
    "article": ["# Incident reviews\n\nBlame ends a conversation that a question would have begun."],
    "code": ['def retry(request, attempts=3):\n    """Try a request again when the network fails."""'],
}


@pytest.fixture(scope="module")
def retriever(tmp_path_factory):
    embedder = Embedder(tmp_path_factory.getbasetemp().parent / "embedder-export")
    index = open_index(tmp_path_factory.mktemp("index"))
    texts = [(category, text) for category, passages in PASSAGES.items() for text in passages]
    dense, sparse = embedder.embed([text for _, text in texts]), embedder.sparse([text for _, text in texts])
    points = [
        Point(
            f"{number:032x}", "1", {"post": "posts", "article": "articles", "code": "code"}[category], dense[number],
            sparse[number],
            {
                "document_id": category, "position": number, "language": "en",
                "category": category, "platform": "x" if number % 2 else "medium",
                "title": "", "url": "", "heading": "", "text": text, "start": 0, "end": len(text),
                "published_at": datetime(2020 + number, 1, 1, tzinfo=UTC).isoformat(),
            },
        )
        for number, (category, text) in enumerate(texts)
    ]  # fmt: skip
    index.publish("ada", points, [], schema="test")
    return Retriever(index, embedder)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("is it wise to release on a Friday?", "Deploying before"),
        ("baking bread", "Sourdough"),
        ("ZX-4711", "We renamed"),
        ("who is at fault in a postmortem", "# Incident reviews"),
        ("call an API again after a connection error", "def retry"),
        ("𝘀𝗼𝘂𝗿𝗱𝗼𝘂𝗴𝗵", "Sourdough"),
    ],
)
def test_found_by_meaning_and_by_words(retriever, question, answer):
    hits = retriever.search("ada", question)
    assert hits[0].text.startswith(answer)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_categories_limit_and_filter(retriever):
    assert {hit.category for hit in retriever.search("ada", "anything", categories=["code", "article"])} == {
        "code",
        "article",
    }
    assert len(retriever.search("ada", "anything", limit=2)) == 2
    assert {hit.platform for hit in retriever.search("ada", "a", where=SearchFilter(platforms=["x"]))} == {"x"}
    since = SearchFilter(published_from=datetime(2023, 1, 1, tzinfo=UTC))
    assert {hit.published_at.year for hit in retriever.search("ada", "anything", where=since)} == {2023, 2024}


def test_a_question_of_stop_words_is_answered_by_meaning_alone(retriever):
    assert len(retriever.search("ada", "what is it?")) == 5


def test_bad_questions_get_a_clear_sentence(retriever):
    with pytest.raises(InputError, match="search is empty"):
        retriever.search("ada", "  ")
    with pytest.raises(InputError, match="'poem'; the categories are post, article, code"):
        retriever.search("ada", "x", categories=["poem"])
    with pytest.raises(InputError, match="at least one"):
        retriever.search("ada", "x", limit=0)
    with pytest.raises(IndexMissingError, match="'eve'"):
        retriever.search("eve", "x")


PLAIN = SearchOptions(filters=False, reranker="none", diversity=0, recency=0)


def starts(hits):
    return [hit.text.partition(" ")[0] for hit in hits]


def test_a_question_restricts_itself(retriever):
    found = retriever.find("ada", "baking, on Medium in 2020")
    assert starts(found.hits) == ["Deploying"]
    assert found.text == "baking"
    assert found.understood == ("published 2020-01-01 to 2020-12-31", "on medium")
    assert found.notices == ()
    assert len(retriever.find("ada", "baking, on Medium in 2020", options=SearchOptions(filters=False)).hits) == 5


def test_a_restriction_that_leaves_nothing_is_dropped_and_said(retriever):
    found = retriever.find("ada", "latest on baking bread, on GitHub in 1999")
    assert found.hits[0].text.startswith("Sourdough")
    assert found.understood == ("recent",)
    (notice,) = found.notices
    assert notice == ("Nothing is published 1999-01-01 to 1999-12-31, on github; everything was searched instead.")


def test_what_the_caller_restricts_holds(retriever):
    only_x = SearchFilter(platforms=["x"])
    found = retriever.find("ada", "bread on Medium", where=only_x)
    assert {hit.platform for hit in found.hits} == {"x"}, "the question's own restriction left nothing and was dropped"
    assert len(found.notices) == 1
    both = retriever.find(
        "ada", "bread before 2022", where=SearchFilter(published_from=datetime(2021, 1, 1, tzinfo=UTC))
    )
    assert [hit.published_at.year for hit in both.hits] == [2021]
    nothing = retriever.find("ada", "bread", where=SearchFilter(platforms=["github"]))
    assert nothing.hits == []
    assert nothing.notices == ("Nothing was found; the filters may leave nothing.",)


def test_every_stage_can_be_switched(retriever):
    question = "patience with a network that fails"
    by_words = retriever.search("ada", question, options=replace(PLAIN, dense=False))
    assert set(starts(by_words)) == {"def", "Sourdough"}, "only what shares a word"
    by_meaning = retriever.search("ada", question, options=replace(PLAIN, bm25=False))
    assert len(by_meaning) == 5
    assert {hit.bm25 for hit in by_meaning} == {None}
    fused = retriever.search("ada", question, options=PLAIN)
    assert fused[0].score == pytest.approx(2 / 60, abs=1e-3)
    for reranker in ("features", "sentences"):
        ranked = retriever.search("ada", question, options=replace(PLAIN, reranker=reranker))
        assert starts(ranked)[0] == "def"
        assert ranked[0].score > ranked[-1].score + 1
    expanded = retriever.search("ada", "dashboards", options=replace(PLAIN, dense=False, expansion="feedback"))
    assert starts(expanded) == ["We"]


def test_the_newest_gain_what_the_options_give_them(retriever):
    ranked = replace(PLAIN, reranker="features")
    still, new = (retriever.search("ada", "network", options=replace(ranked, recency=recency)) for recency in (0, 1.0))
    assert starts(still)[0] == starts(new)[0] == "def"
    plain, raised = ({hit.published_at.year: hit.score for hit in hits} for hits in (still, new))
    gains = [raised[year] - plain[year] for year in sorted(plain)]
    assert gains == sorted(gains), "the newer the more"
    assert gains[-1] > gains[0]
    by_question = retriever.find("ada", "latest network", options=replace(ranked, filters=True))
    assert by_question.understood == ("recent",)
    gained = {hit.chunk_id: hit.score for hit in by_question.hits}
    gains = [gained[hit.chunk_id] - hit.score for hit in sorted(still, key=lambda hit: hit.published_at)]
    assert gains == sorted(gains)


def test_neighbours_and_parents_come_along(retriever):
    found = retriever.find("ada", "baking bread", limit=1, options=SearchOptions(neighbours=1, parents=True))
    (hit,) = found.hits
    assert starts(found.neighbours[hit.chunk_id]) == ["Deploying", "We"]
    assert {key: starts(passages) for key, passages in found.documents.items()} == {
        "post": ["Deploying", "Sourdough", "We"]
    }
    assert found.to_dict()["documents"]["post"][0]["text"].startswith("Deploying")


def test_a_reranker_that_is_not_there_is_said(retriever):
    found = retriever.find("ada", "baking bread", options=replace(PLAIN, reranker="cross_encoder"))
    assert found.hits[0].text.startswith("Sourdough")
    assert "TWIN_RERANKER_FOLDER" in found.notices[0]
    missing = Retriever(retriever.index, retriever.embedder, reranker_folder=retriever.embedder.folder)
    assert (
        "holds no cross-encoder"
        in missing.find("ada", "bread", options=replace(PLAIN, reranker="cross_encoder")).notices[0]
    )


def test_the_question_is_embedded_by_the_model_of_the_publication(retriever, tmp_path):
    index, asked = open_index(tmp_path), []
    old = Recording(retriever.embedder, "old", asked)
    new = Recording(retriever.embedder, "new", asked)
    texts = PASSAGES["post"]
    points = [
        Point(f"{n:032x}", "1", "posts", vector, sparse, retriever.search("ada", text, limit=1)[0].to_dict())
        for n, (text, vector, sparse) in enumerate(zip(texts, old.embed(texts), old.sparse(texts), strict=True))
    ]
    index.publish("ada", points, [], schema="1/old")
    searching = Retriever(index, new, embedders={"old": old}.__getitem__)
    assert starts(searching.search("ada", "baking bread"))[0] == "Sourdough"
    assert asked == ["old"]

    # A publication of the new model comes while the question is embedded by the old: it is asked again.
    old.before = lambda: index.publish("ada", points, [], schema="1/new")
    assert starts(searching.search("ada", "baking bread"))[0] == "Sourdough"
    assert asked == ["old", "old", "new"]
    with pytest.raises(VectorIndexError, match="made with the embedding model new"):
        Retriever(index, old).search("ada", "bread")


class Recording:
    """An embedder under another name that says when it is asked, and lets something happen before it answers."""

    def __init__(self, embedder, model_id, asked):
        self.embedder, self.model_id, self.asked, self.before = embedder, model_id, asked, lambda: None
        self.embed, self.sparse, self.sparse_query = embedder.embed, embedder.sparse, embedder.sparse_query

    def embed_query(self, text):
        self.asked.append(self.model_id)
        self.before()
        return self.embedder.embed_query(text)
