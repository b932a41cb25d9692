"""HTML into Markdown: every visible character of an author's survives, in order, whatever the HTML is like."""

import json
import re
import subprocess
import sys
from itertools import chain

import feedparser
import pytest
from bs4 import BeautifulSoup
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tests.visible_text import visible
from twin_assets.core.cleaning import html_to_markdown


def lost(html: str) -> str:
    """What of the visible text is not in the Markdown, in its order; "" where nothing is missing."""
    left = re.sub(r"\s", "", html_to_markdown(html))
    text = visible(html)
    at = 0
    for number, character in enumerate(text):
        at = left.find(character, at) + 1
        if not at:
            return text[max(0, number - 20) : number + 20]
    return ""


def letters(html: str) -> str:
    return re.sub(r"[\W_]", "", BeautifulSoup(html, "html.parser").get_text())


def golden_cases(folder):
    page = (folder / "html_to_markdown_turndown" / "index.html").read_text(encoding="utf-8")
    for case in BeautifulSoup(page, "html.parser").select(".case"):
        yield case["data-name"], case.select_one(".input").decode_contents()


def export_pages(folder):
    for path in sorted((folder / "medium_substack_export_ghost").rglob("*.html")):
        yield path.name, path.read_text(encoding="utf-8")
    for path in sorted((folder / "substack_api_samples").rglob("*.json")):
        for body in re.findall(r'"body_html":\s*("(?:[^"\\]|\\.)*")', path.read_text(encoding="utf-8")):
            yield path.name, json.loads(body)


def feed_bodies(folder):
    for path in sorted((folder / "feeds_rss").iterdir()):
        if path.suffix in (".rss", ".atom", ".xml"):
            for entry in feedparser.parse(path.read_bytes(), sanitize_html=False).entries:
                body = (entry.get("content") or [{}])[0].get("value") or entry.get("summary", "")
                yield path.name, body


def test_no_visible_character_of_real_html_is_lost(shared_data):
    golden, exports = list(golden_cases(shared_data)), list(export_pages(shared_data))
    feeds = [(name, body) for name, body in feed_bodies(shared_data) if "<" in body]
    assert (len(golden), len(exports), len(feeds) > 400) == (147, 19, True)
    problems = {name: missing for name, html in chain(golden, exports, feeds) if (missing := lost(html))}
    assert problems == {}


def test_rendered_again_the_golden_cases_show_the_same_letters(shared_data):
    renderer = MarkdownIt("commonmark").enable("table")
    different = [
        name for name, html in golden_cases(shared_data)
        if letters(renderer.render(html_to_markdown(html))) != letters(visible(html))
    ]  # fmt: skip
    # Nothing is escaped, so that the author's characters stay what they are: one sentence that begins "1984." reads as
    # a list item when the Markdown is rendered. No other case may lose or gain a letter.
    assert different == ["escaping ol markdown"]


WORDS = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufeff\u200b"), min_size=1, max_size=12
)
TAGS = (
    "p", "div", "b", "em", "a href='/x'", "ul", "li", "ol", "blockquote", "h2", "code", "pre", "table", "tr", "td",
    "span", "br", "q", "dt", "dd", "figure", "section", "th", "del", "sup",
)  # fmt: skip


def escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


TREES = st.recursive(
    WORDS.map(escape),
    lambda inner: st.tuples(st.sampled_from(TAGS), st.lists(inner, max_size=4)).map(
        lambda node: f"<{node[0]}>{''.join(node[1])}</{node[0].split()[0]}>"
    ),
    max_leaves=25,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(TREES, min_size=1, max_size=4).map(" ".join))
def test_no_visible_character_of_any_html_is_lost(html):
    assert lost(f"<body>{html}</body>") == ""


TWEET = "Mine\n\n> Hers\n\n<https://x.com/a/1>"


@pytest.mark.parametrize(
    ("html", "markdown"),
    [
        ("<p><b>bold </b>then <i> slanted</i></p>", "**bold** then *slanted*"),
        ("<div><strong><p>one</p><p>two</p></strong></div>", "**one**\n\n**two**"),
        ('<a href="/x"><h3>Card</h3><p>Text</p></a>', "### [Card](/x)\n\nText"),
        ('<h2>Title <a href="#title">#</a></h2><p>x', "## Title\n\nx"),
        ("<blockquote>a</blockquote><blockquote>b</blockquote>", "> a\n\n> b"),
        ("<ul><li><p>one</p></li><li>two<pre>x\n y</pre></ul>end", "- one\n- two\n\n  ```\n  x\n   y\n  ```\n\nend"),
        ("<code>a <a href='/y'>b</a></code> c", "`a b` c"),
        ("<code>one<br>two</code>", "```\none\ntwo\n```"),
        ("<pre>```\nfence\n```</pre>", "````\n```\nfence\n```\n````"),
        ("<table><tr><th>a<th>b</tr><tr><td>1<td>2|3</table>", "| a | b |\n| --- | --- |\n| 1 | 2\\|3 |"),
        ("<table><tr><td><p>lay</p><p>out</p></table>", "lay\n\nout"),
        ('<p>Hi <img class="emoji" alt="🚀" src="e.png"> there', "Hi 🚀 there"),
        ('<img src="data:image/gif;base64,R0" data-src="real.png" alt="A cat">', "![A cat](real.png)"),
        ("<p>a\xa0b&nbsp;c</p>", "a\xa0b\xa0c"),
        ("<p>see <a href='javascript:void(0)'>this</a></p>", "see this"),
        ("<p>said <q>yes</q></p>", "said “yes”"),
        ('<video title="A talk"><source src="//v.example/1.mp4">No video.</video>', "[A talk](https://v.example/1.mp4)"),
        ("<p hidden>secret</p><p style='display: none'>more</p>seen", "seen"),
        ('<ol start="3"><li>c<li value="7">g<li>h</ol>', "3. c\n7. g\n8. h"),
        ('<p>Mine</p><div class="tweet" data-attrs=\'{"url": "https://x.com/a/1"}\'>Hers</div>', TWEET),
        ("<dl><dt>Term<dd>What it is</dl>", "Term\nWhat it is"),
    ],
)  # fmt: skip
def test_markdown_of(html, markdown):
    assert html_to_markdown(html) == markdown


MONSTERS = """
import re
from twin_assets.core.cleaning import clean_documents, html_to_markdown
n = 60_000
deep = "<div>" * 100_000 + "deep words" + "</div>" * 100_000 + "<p>after</p>"
assert html_to_markdown(deep) == "deep words\\n\\nafter"
for tag in ("div", "blockquote", "ul><li", "b", "table><tr><td", "section><p", "a href=/x"):
    html = "".join(f"<{tag}>w{i} " for i in range(n // 4))
    assert re.findall(r"w[0-9]+", html_to_markdown(html)) == [f"w{i}" for i in range(n // 4)], tag
for opened, closed in (("<div>", "</span>"), ("<b><i>", "</b></i>"), ("<pre>", ""), ("<code>", "</code>")):
    html = opened * n + "x" + closed * n
    assert "x" in html_to_markdown(html)
long = "<p>" + "word " * 600_000 + "</p>"
assert len(html_to_markdown(long)) == 3_000_000 - 1
assert html_to_markdown("<" * 1_000_000).count("<") == 1_000_000
"""


def test_depth_and_length_neither_crash_nor_hang():
    """The limit is a hundred times what it takes; quadratic work on these would take hours."""
    subprocess.run([sys.executable, "-c", MONSTERS], check=True, timeout=240)
