"""Feeds, folders, locations, repositories' files and pages that only look like texts."""

import io
import tarfile

import pytest

from twin_assets.core.authors import Author, Source
from twin_assets.core.errors import InputError, SourceError
from twin_assets.core.sources import PLATFORMS, feed, files, medium
from twin_assets.core.sources.base import Reading
from twin_assets.core.sources.feed_reader import Item, parse_feed
from twin_assets.core.sources.quarantine import judge_page
from twin_assets.core.sources.repository_files import own_files
from twin_assets.core.web import WebClient, WebResponse
from twin_assets.settings import Settings


def answer(content: bytes, content_type: str = "text/xml") -> WebResponse:
    return WebResponse(200, "https://example.org/feed", {"content-type": content_type}, content)


def documents(module, items: tuple[Item, ...]) -> list:
    source = Source(platform="medium" if module is medium else "feed", location="https://example.org/feed")
    make = medium.feed_document if module is medium else feed.document
    with WebClient() as web:
        reading = Reading(Author(id="ada", name="Ada"), source, {}, web, Settings())
        return [make(reading, item) for item in items]


# Feeds


def test_real_medium_feeds_are_flagged_where_they_carry_snippets_only(shared_data):
    snippets = documents(medium, parse_feed(answer((shared_data / "feeds_rss/EMarley.rss").read_bytes()))[1])
    whole = documents(medium, parse_feed(answer((shared_data / "feeds_rss/489.rss").read_bytes()))[1])
    assert [d.quarantine for d in snippets] == ["truncated preview"] * 10
    assert [d.quarantine for d in whole] == [None] * 10
    assert whole[0].external_id == "417d97952d42"
    assert whole[0].url == "https://medium.com/@hodlhodl/hodl-hodl-closes-funding-round-417d97952d42"
    assert not any("/_/stat" in d.content or "source=rss" in d.content for d in whole)


@pytest.mark.parametrize(
    ("name", "count", "held_back"),
    [
        ("DaringFireball.rss", 47, 0), ("DaringFireball.atom", 48, 0), ("DaringFireball.json", 48, 0),
        ("manton.rss", 10, 0), ("bio.rdf", 30, 0), ("OneFootTsunami.atom", 25, 0), ("KatieFloyd.rss", 20, 1),
        ("curt.json", 26, 0), ("donthitsave.xml", 10, 8), ("livemint.xml", 25, 25), ("aktuality.rss", 30, 30),
    ],
)  # fmt: skip
def test_real_feeds_are_read_and_summaries_seen(shared_data, name, count, held_back):
    _, items = parse_feed(answer((shared_data / "feeds_rss" / name).read_bytes()))
    assert len(items) == len({item.guid for item in items}) == count
    assert all(item.content and item.published_at for item in items)
    assert sum(not item.whole for item in items) == held_back


@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
def test_a_feed_that_is_cut_off_is_not_half_read(share):
    items = "".join(
        f"<item><guid>{i}</guid><title>t</title><description>{'x ' * 200}</description></item>" for i in range(5)
    )
    whole = f'<?xml version="1.0"?><rss version="2.0"><channel>{items}</channel></rss>'.encode()
    assert len(parse_feed(answer(whole + b"\n"))[1]) == 5
    with pytest.raises(SourceError, match="is cut off"):
        parse_feed(answer(whole[: int(len(whole) * share)]))


def test_what_is_no_feed_says_so():
    with pytest.raises(SourceError, match="is not a feed"):
        parse_feed(answer(b"just some text"))
    with pytest.raises(SourceError, match="no JSON Feed"):
        parse_feed(answer(b'{"items": []}'))
    with pytest.raises(SourceError, match="cut off or no JSON"):
        parse_feed(answer(b'{"version": "https://jsonfeed.org/version/1", "items": ['))


def test_an_empty_feed_is_a_feed():
    assert parse_feed(answer(b'<rss version="2.0"><channel><title>t</title></channel></rss>')) == ("t", ())


def test_summaries_are_held_back_and_short_untitled_notes_are_posts():
    markup = (
        b'<rss version="2.0"><channel>'
        b"<item><guid>1</guid><title>A long read</title><description>It begins well ...</description></item>"
        b"<item><guid>2</guid><description>Just a thought about pagers.</description></item>"
        b"<item><guid>3</guid><title>No text</title></item></channel></rss>"
    )
    found = documents(feed, parse_feed(answer(markup))[1])
    assert [(d.category, d.quarantine) for d in found] == [
        ("article", "truncated preview"), ("post", None), ("article", "empty body"),
    ]  # fmt: skip


def test_mediums_responses_tails_and_tracking_go_and_the_words_stay():
    body = (
        '<p>"What?" she said &amp; left. <a href="https://medium.com/p/1?source=rss-ab------2">so</a></p><hr>'
        "<p><a>T</a> was originally published in <a>P</a> on Medium.</p>"
        '<img src="https://medium.com/_/stat?event=x" width="1">'
    )
    item = Item("https://medium.com/p/417d97952d42", "https://medium.com/@a/t-417d97952d42?source=rss", "T", body,
                "text/html", None, ("tag",), True)  # fmt: skip
    reply = Item("https://medium.com/p/417d97952d43", "", "I agree with this", "<p>I agree with this, mostly.</p>",
                 "text/html", None, (), True)  # fmt: skip
    article, response = documents(medium, (item, reply))
    assert article.content == '<p>"What?" she said &amp; left. <a href="https://medium.com/p/1">so</a></p>'
    assert (article.category, article.quarantine) == ("article", None)
    assert (response.category, response.title, response.metadata["kind"]) == ("post", "", "response")


# Locations


@pytest.mark.parametrize(
    ("platform", "typed", "normal"),
    [
        ("linkedin", "https://linkedin.com/in/ada-l?trk=x", "https://www.linkedin.com/in/ada-l"),
        ("linkedin", "de.linkedin.com/in/ada-l/", "https://www.linkedin.com/in/ada-l"),
        ("medium", "@ada", "@ada"), ("medium", "ada", "@ada"), ("medium", "https://medium.com/@ada/a-post-123", "@ada"),
        ("medium", "ada.medium.com", "https://ada.medium.com"), ("medium", "https://blog.ada.dev/x", "https://blog.ada.dev"),
        ("medium", "http://127.0.0.1:81/medium/feed/@ada", "http://127.0.0.1:81/medium/feed/@ada"),
        ("substack", "ada", "https://ada.substack.com"), ("substack", "ada.substack.com/p/x", "https://ada.substack.com"),
        ("substack", "https://open.substack.com/pub/ada/p/x", "https://ada.substack.com"),
        ("substack", "http://127.0.0.1:81/substack/", "http://127.0.0.1:81/substack"),
        ("substack", "https://letters.ada.dev/archive", "https://letters.ada.dev"),
        ("github", "https://github.com/ada-l/", "ada-l"), ("github", "@ada", "ada"), ("x", "https://x.com/ada", "@ada"),
        ("feed", "ada.dev/feed.xml", "https://ada.dev/feed.xml"), ("feed", "http://blog/feed", "http://blog/feed"),
    ],
)  # fmt: skip
def test_locations_have_one_form(platform, typed, normal):
    assert PLATFORMS[platform].normalise(typed) == normal
    assert PLATFORMS[platform].normalise(normal) == normal


@pytest.mark.parametrize(
    ("platform", "typed"),
    [
        ("linkedin", "https://www.linkedin.com/company/acme"), ("linkedin", "https://medium.com/@ada"),
        ("medium", "https://medium.com/some-publication"), ("medium", "https://www.linkedin.com/in/ada"),
        ("substack", "https://substack.com/@ada"), ("substack", "https://medium.com/@ada"),
        ("github", "gitlab.com/ada"), ("feed", "http://"),
        ("github", "https://github.com/ada/repository"), ("x", "https://example.org/ada"), ("feed", "not a link"),
        ("feed", ""), ("files", "/no/such/folder"), ("substack", "a b"),
    ],
)  # fmt: skip
def test_a_wrong_profile_link_is_refused_with_what_a_right_one_looks_like(platform, typed):
    with pytest.raises(InputError, match=r"looks like|give "):
        PLATFORMS[platform].normalise(typed)


@pytest.mark.parametrize(
    ("location", "address"),
    [
        ("@ada", "https://medium.com/feed/@ada"), ("https://ada.medium.com", "https://ada.medium.com/feed"),
        ("https://blog.ada.dev", "https://blog.ada.dev/feed"),
        ("http://127.0.0.1:81/medium/feed/@ada", "http://127.0.0.1:81/medium/feed/@ada"),
    ],
)  # fmt: skip
def test_mediums_feed_of_a_user_and_of_a_domain_of_ones_own(location, address):
    assert medium.feed_url(location) == address


# Folders


def test_front_matter_of_both_kinds():
    assert files.split_front_matter('---\nTitle: "A: b"\ndate: 2024-01-02\n---\nBody\n')[0]["title"] == "A: b"
    fields, body = files.split_front_matter('+++\ntitle = "T"\ndraft = true\n+++\n\nBody')
    assert (fields["draft"], body) == (True, "\nBody")
    assert files.split_front_matter("---\nnot: [closed\n---\nBody") == ({}, "---\nnot: [closed\n---\nBody")
    assert files.split_front_matter("No --- here") == ({}, "No --- here")
    assert files.decode("naïve – café\r\n".encode("cp1252")) == "naïve – café\n"


def test_a_real_blog_is_split(shared_data):
    folder = shared_data / "voice_mtlynch"
    texts = [path.read_text() for path in sorted(folder.rglob("*.md"))]
    with_title = [fields for fields, _ in map(files.split_front_matter, texts) if fields.get("title")]
    assert len(texts) == 238
    assert len(with_title) > 220


# Repositories


def tarball(**contents: bytes | str) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        link = tarfile.TarInfo("ada-repo-1/README.rst")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        for name, content in contents.items():
            data = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(f"ada-repo-1/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


def test_only_the_owners_prose_and_code_is_read():
    packed = tarball(
        **{
            "README.md": "# Repo\n\nHello", "docs/guide.rst": "Guide\n=====\n",
            "src/main.py": "def f():\n    return 1\n",
            "src/windows.py": "x = 1\n" * 300, "LICENSE": "MIT", "LICENSE.md": "MIT", "poetry.lock": "x",
            "web/package-lock.json": "{}", "vendor/lib.py": "x = 1", "node_modules/a/index.js": "x",
            "api/service_pb2.py": "x = 1", "gen.go": "// Code generated by protoc. DO NOT EDIT.\npackage x\n",
            "site/app.min.js": "x", "bundle.js": "var a=1;" * 500, "logo.py": b"\0\1\2", "latin.py": b"# caf\xe9\n",
            "src/legacy/old.py": "x = 1\n", ".github/x.md": "y", "big.py": "x = 1\n" * 60_000, "data.csv": "1,2",
            ".gitattributes": "src/legacy/** linguist-vendored\n# nothing\n*.rst -linguist-generated\n",
        }
    )  # fmt: skip
    found = {file.path: (file.category, file.language) for file in own_files(packed, "x")}
    assert found == {
        "README.md": ("article", ""), "docs/guide.rst": ("article", ""), "src/main.py": ("code", "Python"),
        "src/windows.py": ("code", "Python"),
    }  # fmt: skip
    assert next(file for file in own_files(packed, "x") if file.path == "README.md").title == "Repo"
    assert next(file for file in own_files(packed, "x") if file.path == "src/main.py").content.count("    ") == 1
    with pytest.raises(SourceError, match="is damaged"):
        list(own_files(packed[: len(packed) // 2], "x"))


# Pages


CHALLENGE = "<html><head><title>Just a moment...</title></head><body><h2>Verify you are human</h2></body></html>"


@pytest.mark.parametrize(
    ("page", "status", "reason"),
    [
        (CHALLENGE, 403, "challenge page"),
        ("<p>We use cookies. Before you continue to YouTube</p>", 200, "consent wall"),
        ("<h1>T</h1><p>This post is for paid subscribers</p>", 200, "paywall"),
        ("<title>Page not found</title><p>Nothing here</p>", 200, "soft 404"),
        ("<p>Sign in to continue</p>", 200, "login wall"),
        ("<html><body><script>var x = 1</script></body></html>", 200, "empty body"),
        ("<p>Oops</p>", 500, "status 500"),
    ],
)
def test_pages_that_carry_no_text_are_named(page, status, reason):
    judged = judge_page(page, status=status, url="https://example.org/a")
    assert judged is not None
    assert judged.reason == reason
    assert judged.remedy


def test_texts_that_only_mention_such_pages_pass():
    story = "<p>" + "The wall said: verify you are human, or sign in to continue. I laughed. " * 60 + "</p>"
    assert judge_page(story, status=200, url="u") is None
    assert judge_page("<p>A short, plain note about pagers.</p>", status=200, url="u") is None


VENDORED = """js/jquery.js js/jquery-3.1.0.min.js js/jquery.cookie.js css/bootstrap.css css/bootstrap-theme.scss
    js/d3.v4.js lib/react-dom.js js/angular-route.js css/normalize.css css/font-awesome.css ez_setup.py tools/ltmain.sh
    install-sh.sh Pods/a.swift node_modules/a/b.js app/third_party/x.c deps/x.go js/modernizr.custom.2.8.js"""
GENERATED = """a/x.pb.go x_pb2.py x_pb2_grpc.pyi x_pb.js x_pb.d.ts Form.Designer.cs model.g.dart model.freezed.dart
    api/zz_generated.deepcopy.go types_gen.go dist/app.js web/app.min.js a.bundle.js test/__snapshots__/a.js"""
OWN = """bin/tool.py src/static/site.js public/app.ts assets/style.css db/migrations/001.sql src/jquery_plugin/index.js
    src/requirements.py
    src/security.py missing.py app/reactor.js src/bootstrap.py tools/resetter.css src/generator.py lib/momentum.js"""


def test_names_that_linguist_takes_for_vendored_or_generated():
    names = [*VENDORED.split(), *GENERATED.split(), *OWN.split()]
    packed = tarball(**dict.fromkeys(names, "x = 1\ny = 2\n"))
    assert {file.path for file in own_files(packed, "x")} == set(OWN.split())


@pytest.mark.parametrize(
    ("name", "text", "own"),
    [
        ("a.go", "// Code generated by mockgen. DO NOT EDIT.\npackage a\n", False),
        ("a.py", "# This file was automatically generated by SWIG\nx = 1\n", False),
        ("a.js", "// Generated by CoffeeScript 1.9.3\nvar x;\n", False),
        ("a.ts", "/** @generated */\nexport const x = 1\n", False),
        ("schema.rb", "# This file is auto-generated from the current state of the database.\nx = 1\n", False),
        ("a.py", '"""Reports that are generated by the nightly job."""\nx = 1\n', True),
        ("docs/api.md", "<!-- Generated by typedoc. Do not edit. -->\n# API\n\nWords.\n", False),
        ("docs/why.md", "# Why\n\nDo not edit generated files: they are generated by protoc.\n", True),
        ("a.c", "int x; /* \0 */", False),
        ("data.py", "x = '" + "a" * 5000 + "'\n", False),
    ],
)
def test_texts_that_linguist_takes_for_generated(name, text, own):
    assert bool(list(own_files(tarball(**{name: text}), "x"))) is own


def test_gitattributes_are_honoured_as_linguist_reads_them():
    packed = tarball(
        **{
            ".gitattributes": "vendor/mine/** -linguist-vendored\n/src linguist-vendored=true\n"
            "*.gen.py linguist-generated\n",
            "lib/.gitattributes": "*.md linguist-vendored\nkept.md -linguist-vendored\n",
            "vendor/mine/a.py": "x = 1\n", "vendor/theirs/a.py": "x = 1\n", "src/a.py": "x = 1\n",
            "app/src/a.py": "x = 1\n", "app/b.gen.py": "x = 1\n", "lib/deep/note.md": "Hello", "lib/kept.md": "Hello",
            "note.md": "Hello",
        }
    )  # fmt: skip
    assert [file.path for file in own_files(packed, "x")] == [
        "app/src/a.py", "lib/kept.md", "note.md", "vendor/mine/a.py",
    ]  # fmt: skip


@pytest.mark.parametrize("content_type", ["text/xml", "application/rss+xml", ""])
def test_a_feed_that_names_no_encoding_is_utf_8(content_type):
    markup = (
        '<rss version="2.0"><channel><item><guid>1</guid><description>¿Qué? ok ¡</description></item></channel></rss>'
    )
    assert parse_feed(answer(markup.encode(), content_type))[1][0].content == "¿Qué? ok ¡"
    declared = f'<?xml version="1.0" encoding="iso-8859-1"?>{markup}'.encode("iso-8859-1")
    assert parse_feed(answer(declared, content_type))[1][0].content == "¿Qué? ok ¡"
