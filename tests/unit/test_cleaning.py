"""Cleaning: every visible character of the author's survives; markup, widgets and private things do not."""

import json
import re
import zipfile
from datetime import UTC, datetime

import polars as pl
import pytest
from bs4 import BeautifulSoup
from markdown_it import MarkdownIt

from twin_assets.core.cleaning import clean_documents, html_to_markdown, main_text, near_duplicate_groups
from twin_assets.core.cleaning.redaction import redact
from twin_assets.core.documents import RawDocument
from twin_assets.core.lake import rows_frame

VOICE = (
    "I didn’t — couldn't — say “yes”… 🚀👩🏽‍💻\n\n𝗕𝗼𝗹𝗱 claim: 2*3*4, snake_case & C++ <3\n\n\n"
    "  • one\n  • two\n\n#LLMs #data"
)


def raw(content: str, category: str = "post", content_type: str = "text/plain", **fields) -> pl.DataFrame:
    now = datetime(2024, 5, 1, tzinfo=UTC)
    values = {"title": "", "quarantine": None, **fields}
    document = RawDocument(
        "ada", "medium", "1", category, "medium:@ada", "https://example.org/1", content=content,
        content_type=content_type, published_at=now, **values,
    )  # fmt: skip
    return rows_frame("raw_documents", [document.row() | {"collected_at": now, "removed_at": None}])


def clean(content: str, *arguments, **fields) -> dict:
    return clean_documents(raw(content, *arguments, **fields)).row(0, named=True)


def test_plain_text_is_kept_byte_for_byte():
    assert clean(VOICE)["text"] == VOICE
    assert clean(VOICE.replace("\n", "\r\n"))["text"] == VOICE
    assert clean("\ufeff" + VOICE + "\x00")["text"] == VOICE
    assert clean("Yes.")["text"] == "Yes."


def test_html_keeps_every_character_and_nothing_else():
    html = (
        "<h2>A heading</h2>"
        "<p>I didn’t — couldn't — say “yes”… 🚀<br>snake_case 2*3*4 &lt;div&gt; &amp; <em>more</em></p>"
        "<ul><li>one<ul><li>two</li></ul></li><ul><li>three</li></ul></ul><blockquote><p>Hers.</p></blockquote>"
        '<pre><code class="language-python">def f():\n\n\n    return 1</code></pre>'
        '<figure><img src="a b.png" alt="A queue"><figcaption>Fig. 1</figcaption></figure>'
        '<p><a href="https://example.org/x?id=7&utm_source=feed&source=rss-1b--2">link</a></p>'
        '<iframe src="//www.youtube.com/embed/xyz" title="Talk"></iframe>'
        '<div class="youtube2" data-attrs=\'{"videoId": "abc"}\'></div>'
        '<img src="https://medium.com/_/stat?event=x" width="1" height="1"><script>alert(1)</script><!-- note -->'
        '<div class="subscription-widget-wrap"><p>Subscribe!</p><input type="email"></div><style>p{}</style>'
    )
    assert html_to_markdown(html) == (
        "## A heading\n\nI didn’t — couldn't — say “yes”… 🚀\nsnake_case 2*3*4 <div> & *more*\n\n"
        "- one\n  - two\n  - three\n\n> Hers.\n\n```python\ndef f():\n\n\n    return 1\n```\n\n"
        "![A queue](a%20b.png)\n\nFig. 1\n\n[link](https://example.org/x?id=7)\n\n"
        "[Talk](https://www.youtube.com/embed/xyz)\n\n<https://www.youtube.com/watch?v=abc>"
    )


@pytest.mark.parametrize("depth", [1200, 20_000])
def test_deep_nesting_neither_crashes_nor_loses_words(depth):
    assert html_to_markdown("<div>" * depth + "deep words" + "</div>" * depth + "<p>after</p>") == "deep words\n\nafter"
    stairs = "".join(f"<div>w{number} " for number in range(depth)) + "</div>" * depth
    assert re.findall(r"w\d+", html_to_markdown(stairs)) == [f"w{number}" for number in range(depth)]


def visible(html: str) -> str:
    soup = BeautifulSoup(html, "html.parser")
    for tag in soup(["script", "style", "noscript", "head"]):
        tag.decompose()
    return re.sub(r"[\W_]", "", soup.get_text())


def test_golden_cases_show_the_same_words(shared_data):
    page = (shared_data / "html_to_markdown_turndown" / "index.html").read_text(encoding="utf-8")
    cases = BeautifulSoup(page, "html.parser").select(".case")
    assert len(cases) == 147
    renderer = MarkdownIt("commonmark").enable("table")
    different = []
    for case in cases:
        html = case.select_one(".input").decode_contents()
        if visible(renderer.render(html_to_markdown(html))) != visible(html):
            different.append(case["data-name"])
    # Nothing is escaped, so that the author's characters stay what they are: one sentence that begins "1984." reads as
    # a list item when the Markdown is rendered. No other case may lose or gain a letter.
    assert different == ["escaping ol markdown"]


def test_tails_titles_and_front_matter_go():
    html = (
        "<h3>Small queues</h3><p>My words.</p><hr><p><a href='https://x.org/p'>Small queues</a> was originally"
        " published in <a href='https://medium.com/pub'>Pub</a> on Medium, where people are continuing the"
        " conversation.</p>"
    )
    assert clean(html, "article", "text/html", title="Small queues")["text"] == "My words."
    substack = (
        "<p>My words.</p><p>Thanks for reading Ada’s Notes! Subscribe for free to receive new posts.</p><p>Share</p>"
    )
    assert clean(substack, "article", "text/html")["text"] == "My words."
    assert clean("---\ntitle: x\n---\n\n# Hello\n<!-- c -->\nMy words.\n", "article", "text/markdown")["text"] == (
        "# Hello\nMy words."
    )
    kept = "<p>Share what you know.</p><p>Thanks for reading my rant.</p>"
    assert clean(kept, "article", "text/html")["text"] == "Share what you know.\n\nThanks for reading my rant."
    assert clean("My words.\n\nShare")["text"] == "My words.\n\nShare", "a post is as its author wrote it"
    assert clean("x", title="Salt &amp; <em>pepper</em>")["title"] == "Salt & *pepper*"


@pytest.mark.parametrize(
    ("content", "category", "reason"),
    [
        ("  \n", "post", "nothing is left"),
        ("https://example.org/x", "post", "links only"),
        ("!!! 🎉", "post", "no words"),
        ("x=1;" * 1000, "code", "minified"),
    ],
)
def test_what_is_no_text_is_rejected_with_the_reason(content, category, reason):
    assert reason in clean(content, category)["rejected"]
    assert clean("Real words", category)["rejected"] is None


def test_quarantined_rows_are_rejected_and_carry_no_text():
    row = clean("Just a moment… verify you are human", quarantine="it is a challenge page")
    assert (row["rejected"], row["text"]) == ("it is a challenge page", "")


def test_private_things_are_redacted_and_counted():
    key = "AKIA" + "Z7QK4WPLM3XN2BVC"
    token = "ghp_" + "a8Kd93jsKQ02mmZx81LpQw7Rt5Yv3Bn6Hc4X"
    private = "-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----"
    text = f"Ask jo.doe@mail.dev, call him (+44 20 7946 0958).\nkey={key}\n{token}\n{private}"
    redacted, counts = redact(text)
    assert counts == {"secret": 3, "e-mail address": 1, "phone number": 1}
    assert redacted.startswith("Ask [e-mail removed], call him ([phone number removed]).\n")
    for secret in ("jo.doe", "7946", key, token, "MII"):
        assert secret not in redacted
    assert json.loads(clean(text)["redacted"]) == counts


@pytest.mark.parametrize(
    "text",
    [
        VOICE, "In 2023-05-04 12:30 we shipped 1,234,567 rows at 192.168.0.1, v2.0.1, +15% and +1.", "@ada: user@ host",
        "git@github.com:ada/twin.git", "mail me@example.com", "commit 53aa51172d142c89d9012cce15ae4d6cc0ca6895",
        "https://example.org/a-very-long-slug-of-an-article-53aa51172d14?x=0123456789abcdef", "100 + 200 = 300",
    ],
)  # fmt: skip
def test_what_is_not_private_is_left_alone(text):
    assert redact(text) == (text, {})


def test_near_duplicates_are_one_group():
    essay = " ".join(f"word{number % 37} and thing{number}" for number in range(200))
    texts = {
        "a": essay,
        "b": essay.upper().replace("THING5 ", "thing five! "),
        "c": "Cross-posted: " + essay[: len(essay) * 9 // 10],
        "d": "Ship on Friday? Only if you would ship on Monday.",
        "e": "𝗦𝗵𝗶𝗽 on Friday — only if you would ship on Monday!",
        "f": "Something else altogether, about the weather in Oslo.",
        "g": "",
    }
    frame = pl.DataFrame({"document_id": list(texts), "text": list(texts.values())})
    groups = near_duplicate_groups(frame)
    assert groups == {"a": "a", "b": "a", "c": "a", "d": "d", "e": "d", "f": "f", "g": "g"}
    assert near_duplicate_groups(frame.reverse()) == groups


def test_main_text_of_a_page():
    body = "".join(
        f"<p>Paragraph {n} says something of substance about queues and the people in them.</p>" for n in range(8)
    )
    page = f"<nav><a href='/'>Home</a></nav><article><h1>Queues</h1>{body}</article>"
    html = f"<html><head><title>Queues</title></head><body>{page}</body></html>"
    title, text = main_text(html, "https://example.org/queues")
    assert title == "Queues"
    assert text.count("Paragraph") == 8
    assert "Home" not in text
    assert main_text("", "https://example.org") == ("", "")


def test_a_real_export_arrives_whole(shared_data, workspace, tmp_path):
    import csv

    from twin_assets.core.authors import Author
    from twin_assets.core.collection import collect_platform, import_export
    from twin_assets.core.features import corpus, update_corpus

    export = shared_data / "linkedin_export_sanand" / "Shares.csv"
    archive = tmp_path / "export.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(export, "Shares.csv")
    workspace.authors.save(Author(id="ada", name="Ada"))
    import_export(workspace, "ada", archive)
    collect_platform(workspace, workspace.authors.get("ada"), "linkedin")
    update_corpus(workspace, "ada")
    with export.open(encoding="utf-8", newline="") as file:
        posts = [row["ShareCommentary"].replace('"\n"', "\n").strip() for row in csv.DictReader(file)]
    posts = [post for post in posts if post]
    documents = corpus(workspace.lake, "ada")
    assert len(posts) == 188
    assert documents.height == len(set(posts)) == 184, "one post stands in the export five times"
    changed = set(posts) - set(documents["text"])
    assert documents.filter(pl.col("redactions") > 0).height == len(changed) == 2, "a phone number and an address"
