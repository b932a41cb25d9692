"""What is read out of questions, counted from a Wednesday in June 2026."""

from datetime import UTC, datetime

import pytest

from twin_assets.core.index import SearchFilter
from twin_assets.core.retrieval.dates import find_period
from twin_assets.core.retrieval.questions import understand

NOW = datetime(2026, 6, 17, 15, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("question", "begin", "end"),
    [
        ("what I wrote last year", "2025-01-01", "2026-01-01"),
        ("this month", "2026-06-01", "2026-07-01"),
        ("last week", "2026-06-08", "2026-06-15"),
        ("yesterday", "2026-06-16", "2026-06-17"),
        ("since last month", "2026-05-01", None),
        ("two years ago", "2024-01-01", "2025-01-01"),
        ("a month ago", "2026-05-01", "2026-06-01"),
        ("in 2023, about hiring", "2023-01-01", "2024-01-01"),
        ("posts from 2023", "2023-01-01", "2024-01-01"),
        ("from 2023 on", "2023-01-01", None),
        ("since March", "2026-03-01", None),
        ("since September", "2025-09-01", None),
        ("in Dec 2019", "2019-12-01", "2020-01-01"),
        ("during Q3 2021", "2021-07-01", "2021-10-01"),
        ("before 2020", None, "2020-01-01"),
        ("until 2020", None, "2021-01-01"),
        ("after 2020", "2021-01-01", None),
        ("between 2019 and March 2021", "2019-01-01", "2021-04-01"),
        ("from May to June 2021", "2021-05-01", "2021-07-01"),
        ("between November and February 2021", "2020-11-01", "2021-03-01"),
        ("on 2023-05-17", "2023-05-17", "2023-05-18"),
        ("in 2024-02", "2024-02-01", "2024-03-01"),
    ],
)
def test_dates(question, begin, end):
    period = find_period(question, NOW)
    days = [moment and f"{moment:%Y-%m-%d}" for moment in (period.begin, period.end)]
    assert days == [begin, end]
    assert question[period.start : period.stop] == period.text


def test_spans_back_from_now():
    assert find_period("in the last 3 months", NOW).begin == datetime(2026, 3, 17, 15, 30, tzinfo=UTC)
    assert find_period("over the past two years", NOW).begin == datetime(2024, 6, 17, 15, 30, tzinfo=UTC)
    assert find_period("the past week", NOW).begin == datetime(2026, 6, 10, 15, 30, tzinfo=UTC)
    leap = datetime(2024, 3, 31, tzinfo=UTC)
    assert find_period("in the past month", leap).begin == datetime(2024, 2, 29, tzinfo=UTC), "there was no 31 February"


@pytest.mark.parametrize(
    "question", ["my 2023 review", "the may flower", "may I ask", "room 2019", "since 2023-02-31", "section 2.1", ""]
)
def test_what_is_no_date(question):
    assert find_period(question, NOW) is None


@pytest.mark.parametrize(
    ("question", "text", "platforms", "kinds"),
    [
        ("what I said about testing on GitHub", "what I said about testing", ("github",), None),
        ("my Substack posts about bread", "about bread", ("substack",), None),
        ("tweets about Rust", "about Rust", ("x",), None),
        ("burnout, on X", "burnout", ("x",), None),
        ("in my code, how do I retry requests", "how do I retry requests", (), ("code",)),
        ("my blog posts on profit", "on profit", (), ("article",)),
        ("hiring on LinkedIn and in my articles", "hiring and", ("linkedin",), ("article",)),
    ],
)
def test_places_and_kinds(question, text, platforms, kinds):
    read = understand(question, NOW)
    assert (read.text, read.where, read.categories) == (text, SearchFilter(platforms), kinds)
    assert read.restricted


@pytest.mark.parametrize(
    "question",
    [
        "what do I think of GitHub Copilot?", "how to build on GitHub Actions", "cooking on medium heat",
        "an article about Medium", "is code review worth it?", "the X factor",
    ],
)  # fmt: skip
def test_a_name_is_no_place(question):
    read = understand(question, NOW)
    assert not read.restricted
    assert read.text == question


def test_everything_at_once():
    read = understand("what I wrote in German about hiring on LinkedIn last year", NOW)
    assert read.text == "what I about hiring"
    assert read.where == SearchFilter(
        ("linkedin",), datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC), ("de",)
    )
    assert read.understood == ("published 2025-01-01 to 2025-12-31", "on linkedin", "in language de")


def test_a_question_without_a_subject_is_searched_as_it_stands():
    assert understand("what I wrote on GitHub last year", NOW).text == "what I wrote on GitHub last year"


def test_the_newest():
    read = understand("latest thoughts on remote work", NOW)
    assert read.recent
    assert not read.restricted
    assert read.text == "thoughts on remote work"
