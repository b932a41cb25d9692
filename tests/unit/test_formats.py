"""How platforms count and cut texts."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin_serving.composing.checks import length_check, platform_checks
from twin_serving.composing.formats import X_POST, before_fold, thread_parts, x_length


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("", 0),
        ("Plain letters, and “quotes” — dashes…", 38),
        ("See https://example.org/a/very/long/path?with=queries&and=more", 4 + 23),
        ("日本語", 6),
        ("한국", 4),
        ("🎉", 2),
        ("👨‍👩‍👧‍👦 👍🏽 🇺🇸 1️⃣", 2 + 1 + 2 + 1 + 2 + 1 + 2),
        ("cafe\u0301", 4),
    ],
)
def test_x_counts_links_emoji_and_wide_letters(text: str, length: int) -> None:
    assert x_length(text) == length


def test_a_threads_posts_are_pieces_of_it_within_the_limit() -> None:
    text = "A first thought.\n\n" + "One sentence of some words. " * 30 + "\n\nThe end."
    parts = thread_parts(text)
    assert all(part in text for part in parts)
    assert all(x_length(part) <= X_POST for part in parts)
    assert " ".join(" ".join(parts).split()) == " ".join(text.split())
    assert parts[0].startswith("A first thought.")


def test_posts_that_are_marked_stay_posts() -> None:
    assert thread_parts("1/ One.\n\n2/ Two.\nMore.\n---\nThree.") == ["1/ One.", "2/ Two.\nMore.", "Three."]
    assert thread_parts("We are 3/4 done. That is all.") == ["We are 3/4 done. That is all."]
    assert thread_parts(" \n ") == []


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab é日🎉.! \n#1/-"), max_size=900))
def test_any_text_becomes_posts_within_the_limit_and_loses_no_letter(text: str) -> None:
    parts = thread_parts(text)
    assert all(0 < x_length(part) <= X_POST for part in parts)
    assert all(part in text for part in parts)
    kept = "".join("".join(parts).split())
    assert sorted(kept.replace("-", "").replace("#", "")) == sorted(
        "".join(text.split()).replace("-", "").replace("#", "")
    )


def test_the_fold_shows_three_lines_and_so_many_characters() -> None:
    assert before_fold("One\nTwo\nThree\nFour") == "One\nTwo\nThree"
    assert len(before_fold("word " * 100)) == 210


def failed(form: str, text: str, parts: list[str] | None = None) -> dict[str, str]:
    return {check.name: check.message for check in platform_checks(form, text, parts or [text]) if not check.passed}


def test_platform_rules_are_checked() -> None:
    assert failed("linkedin_post", "A thought. " * 100) == {}
    assert failed("linkedin_post", "A thought. " * 300) == {
        "length": "3,300 characters; a LinkedIn post may have 3,000."
    }
    assert list(failed("linkedin_post", "and so on " * 40)) == ["fold"]
    assert failed("thread", "x", ["short", "y" * 281]) == {"length": "post 2 has 281; X allows 280."}
    assert failed("thread", "x", ["y" * 280]) == {}
    assert list(failed("instagram_caption", "Hello\n" + " ".join(f"#tag{n}" for n in range(31)))) == ["hashtags"]
    assert "length" in failed("instagram_caption", "x" * 2201)
    assert failed("article", "x" * 5000) == {}


def test_the_length_that_was_asked_for() -> None:
    assert length_check("x" * 700, 700).passed
    assert not length_check("x" * 100, 700).passed
    assert not length_check("x" * 2000, 700).passed
