"""What of a text stands in what was published."""

import random

from twin_assets.core.overlap import VerbatimIndex, words
from twin_serving.composing.novelty import RUN, PublishedRuns

FIRST = "We ship small changes every day and sleep well at night."
SECOND = "Nobody reads a long report, so we write a short one every day."


def made(**texts: str) -> PublishedRuns:
    runs = PublishedRuns()
    runs.update(texts)
    return runs


def test_the_longest_run_its_text_and_its_document() -> None:
    found = made(first=FIRST, second=SECOND).copied(
        "Once more: SO WE write, a short one - and nobody reads a long book."
    )
    assert (found.words, found.text, found.document_id) == (6, "SO WE write, a short one", "second")
    assert found.shares == {"second": 10 / 14}
    assert found.most == 10 / 14


def test_short_runs_and_empty_texts_are_nothing() -> None:
    assert made(first=FIRST).copied("We ship small things every day").words == 0
    assert made(first=FIRST).copied("").words == 0
    assert made().copied(FIRST).words == 0


def test_no_run_reaches_over_two_documents() -> None:
    assert made(first="one two three", second="four five six").copied("one two three four five six").words == 0


def test_changed_and_removed_documents_are_followed() -> None:
    runs = made(first=FIRST, second=SECOND)
    runs.update({"first": "Something else was written here instead of that."}, gone=["second"])
    assert runs.copied(FIRST).words == 0
    assert runs.copied(SECOND).words == 0
    assert runs.copied("something else was written here").document_id == "first"


def test_it_finds_what_sets_of_all_runs_find() -> None:
    choose = random.Random(0)
    vocabulary = ["a", "b", "c", "d", "e", "f", "g", "h"]
    texts = {str(n): " ".join(choose.choices(vocabulary, k=choose.randint(0, 60))) for n in range(40)}
    runs, reference = PublishedRuns(), VerbatimIndex(texts.values())
    for name, text in texts.items():  # in many segments, some of them merged
        runs.update({name: "what stood there before", "x": f"gone {name}"})
        runs.update({name: text}, gone=["x"])
    for _ in range(200):
        text = " ".join(choose.choices(vocabulary, k=choose.randint(0, 30)))
        longest = reference.longest(text)
        assert runs.copied(text).words == (longest if longest >= RUN else 0)
        assert len(words(runs.copied(text).text)) == runs.copied(text).words
