"""Retriever: questions in words, on a real index."""

from datetime import UTC, datetime

import pytest

from twin_assets.core.embedding import Embedder
from twin_assets.core.errors import IndexMissingError, InputError
from twin_assets.core.index import Point, open_index
from twin_assets.core.retrieval import Retriever, SearchFilter

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
                "document_id": str(number), "category": category, "platform": "x" if number % 2 else "medium",
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
