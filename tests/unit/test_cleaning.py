"""Cleaning: every visible character of the author's survives; markup, widgets and private things do not."""

import json
import re
import zipfile
from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise

import polars as pl
import pytest

from twin_assets.core.cleaning import clean_documents, html_to_markdown, main_text, near_duplicate_groups, own_text
from twin_assets.core.cleaning.quotes import quoted_spans
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


def own(text: str) -> str:
    return own_text({"text": text, "quoted": quoted_spans(text)})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Mine.\n\n> Hers.\n> More of hers.\n\nMine again.", "Mine.\n\nMine again."),
        ("> Hers.\nMine.", "Mine."),
        ("Mine.\n\nOn Mon, 3 May 2021, Jo Doe <jo@mail.dev>\nwrote:\n> Hers.", "Mine."),
        ("Meins.\n\nAm 03.05.21 um 10:12 schrieb Jo Doe:\n> Ihres.", "Meins."),
        ("Mine.\n\n-----Original Message-----\nFrom: Jo\n\nHers.\nAll hers.", "Mine."),
        ("```\n> prompt\n```", "```\n> prompt\n```"),
        ("> [!NOTE]\n> My own callout.", "> [!NOTE]\n> My own callout."),
        ("On Mondays I wrote:\n\nwhat I think of Fridays.", "On Mondays I wrote:\n\nwhat I think of Fridays."),
        ("Mine.\n\n<blockquote>\nHers.\n</blockquote>\n\nMine too.", "Mine.\n\nMine too."),
        ("5 > 4, and a -> b", "5 > 4, and a -> b"),
    ],
)
def test_quotes_of_others_are_told_from_ones_own_words(text, words):
    assert own(text) == words
    spans = quoted_spans(text)
    assert all(text[start:end].strip() for start, end in spans)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))


def test_replies_by_mail_are_told_from_what_they_answer(shared_data):
    """The truths of the mails' own tests: the reply is kept, what it answers is not."""
    replies = {}
    for path in sorted((shared_data / "email_quote_zapier" / "emails").glob("*.txt")):
        replies[path.stem] = own(path.read_text(encoding="utf-8").replace("\r\n", "\n"))
    assert len(replies) == 24
    for name, reply in replies.items():
        assert not re.search(r"^(?:>|From:|.*wrote:$)", reply, re.MULTILINE), name
    assert replies["email_1_4"] == "Awesome! I haven't had another problem with it."
    assert replies["email_2_2"] == "Outlook with a reply directly above line"
    assert replies["email_1_8"].startswith("I will reply under this one\n\nand under this.")
    assert replies["email_one_is_not_on"].endswith("when I run...")
    assert replies["email_headers_no_delimiter"] == "And another reply!"
    assert "You can list the keys" in replies["email_1_2"]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Wir haben heute die neue Version veröffentlicht und sind gespannt.", "de"),
        ("Hoy hemos publicado la nueva versión, ¿qué os parece? https://example.org/en/english", "es"),
        ("今日は新しいバージョンを公開しました。", "ja"),
        (
            "We shipped it today, at last, yes.\n\n> Das haben wir schon letztes Jahr gesagt.",
            "en",
        ),
        ("Damn!", None),
        ("🚀🚀🚀 #LLMs @ada", None),
        ("```\nSELECT language FROM the_table_of_languages WHERE id = 1\n```", None),
    ],
)
def test_the_language_is_that_of_ones_own_words(text, language):
    assert clean(text)["language"] == language


def test_where_words_are_too_few_the_platform_says_the_language():
    assert clean("Yes.", metadata={"language": "en-US"})["language"] == "en"
    assert clean("Yes.", metadata={"language": "und"})["language"] is None
    assert clean("def f():\n    return 1\n", "code", "text/x-code", metadata={"language": "en"})["language"] is None


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Visit us: 225 E. John Carpenter Freeway, Suite 1500, Irving, Texas 75062", "postal address"),
        ("Letters to 10 Downing Street, London SW1A 2AA, please.", "postal address"),
        ("Wir sitzen in der Torstraße 12, 10119 Berlin.", "postal address"),
        ("Nous sommes au 12 rue de la Paix, 75002 Paris.", "postal address"),
        ("Call me: (212) 555-0123 or not", "phone number"),
        ("Call me at 212-736-5000 tonight", "phone number"),
        ("WhatsApp +91 97415 52552", "phone number"),
        ("The order 212-736-5000 was late", None),
        ("A Netgear GS116LP, the ST30SF-V2 and C57BL/6 mice", None),
        ("I lived on Baker Street in London for 12 years", None),
        ("photo@2x.jpg and 0x0 + 4942559348", None),
        ("https://someone:hunter2secret@db.internal.dev/x", "secret"),
    ],
)
def test_what_is_private_by_kind(text, kind):
    assert dict(redact(text)[1]) == ({kind: 1} if kind else {})


def test_an_authors_own_writing_is_hardly_ever_redacted(shared_data):
    """Read by eye: what is found in 238 articles are e-mail addresses, most of them made up as examples, no more."""
    counts, words = Counter(), 0
    for path in sorted((shared_data / "voice_mtlynch").rglob("*.md")):
        text = path.read_text(encoding="utf-8")
        words += len(text.split())
        counts += redact(text, url="https://mtlynch.io/")[1]
    assert words > 400_000
    assert set(counts) == {"e-mail address"}
    assert counts.total() <= 14
