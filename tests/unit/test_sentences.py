"""split_sentences(): posts and Markdown, cut where a reader would."""

import csv

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin_assets.core.sentences import split_sentences

CASES = {
    "abbreviations, decimals, versions, URLs": (
        "Dr. Smith paid $3.50 for v2.0.1. It works, e.g. on https://a.b/c.d?x=1&y=2. Nice!",
        ["Dr. Smith paid $3.50 for v2.0.1.", "It works, e.g. on https://a.b/c.d?x=1&y=2.", "Nice!"],
    ),
    "product names": ("We use Node.js and ASP.NET. So do you.", ["We use Node.js and ASP.NET.", "So do you."]),
    "initials and plans": (
        "J. K. Rowling wrote it. Plan B. Then C.",
        ["J. K. Rowling wrote it.", "Plan B.", "Then C."],
    ),
    "times and countries": (
        "We met at 5 p.m. The room was cold. See U.S. firms, pp. 3–4, No. 5. I agree. So am I. Good.",
        ["We met at 5 p.m.", "The room was cold.", "See U.S. firms, pp. 3–4, No. 5.", "I agree.", "So am I.", "Good."],
    ),
    "line breaks end sentences": ("One line\nanother\n\nand a third.", ["One line", "another", "and a third."]),
    "emoji follow their sentence": (
        "So good! 😀😀 Next one?! Yes. 🚀\nWe did it 🎉",
        ["So good! 😀😀", "Next one?!", "Yes. 🚀", "We did it 🎉"],
    ),
    "ellipses": ("Well... maybe not. And yet… Who knows?", ["Well... maybe not.", "And yet…", "Who knows?"]),
    "lists": (
        "1. First thing. Really.\n2. Second\n- one: e.g. two\n• three",
        ["1. First thing.", "Really.", "2. Second", "- one: e.g. two", "• three"],
    ),
    "quotations": (
        'I said "Stop. Now." and left. “Why? How?” she asked. "Never." He left.',
        ['I said "Stop. Now." and left.', "“Why? How?” she asked.", '"Never."', "He left."],
    ),
    "parentheses": ("It broke (twice. Or more.) again. (See fig. 3.) Fine.",
                    ["It broke (twice. Or more.) again.", "(See fig. 3.)", "Fine."]),
    "all lower case": ("it works. it ships. nobody cares. ok", ["it works.", "it ships.", "nobody cares.", "ok"]),
    "bold letters": ("𝗗𝗿. Who? 𝗡𝗼. 𝗬𝗲𝘀.", ["𝗗𝗿. Who?", "𝗡𝗼.", "𝗬𝗲𝘀."]),
    "hashtags": ("That was it. #python #ai", ["That was it.", "#python #ai"]),
    "apostrophes": ("Don't. It's mine. Jess' too. OK.", ["Don't.", "It's mine.", "Jess' too.", "OK."]),
    "nothing": (" \n ", []),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES.keys())
def test_posts(text, expected):
    assert [span.text for span in split_sentences(text)] == expected


def test_wrapped_markdown():
    text = (
        "# A heading\nThe first sentence is\nwrapped. The second\nis too.\n\n- an item\n  goes on. Done.\n- another\n\n"
        "```python\nx = 1. \ny = f(x).real\n```\nAfter it."
    )
    assert [span.text for span in split_sentences(text, wrapped=True)] == [
        "# A heading", "The first sentence is\nwrapped.", "The second\nis too.", "- an item\n  goes on.", "Done.",
        "- another", "```python\nx = 1. \ny = f(x).real\n```", "After it.",
    ]  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.sampled_from(list("aB1 .!?…\"“”()'\n🚀️-#*`~é")), max_size=80), st.booleans())
def test_nothing_is_lost_but_white_space(text, wrapped):
    position = 0
    for span in split_sentences(text, wrapped=wrapped):
        assert not text[position : span.start].strip()
        assert span.text == text[span.start : span.end] == span.text.strip() != ""
        position = span.end
    assert not text[position:].strip()


def test_a_real_export_is_cut_into_whole_sentences(shared_data):
    with (shared_data / "linkedin_export_sanand" / "Shares.csv").open(encoding="utf-8", newline="") as file:
        posts = [row["ShareCommentary"].replace('"\n"', "\n") for row in csv.DictReader(file)]
    spans = [span for post in posts for span in split_sentences(post)]
    assert len(spans) > 1500
    assert not [span.text for span in spans if span.text.startswith(("?", "=", ".com", "NET"))]
    assert max(len(span.text) for span in spans) < 1200
