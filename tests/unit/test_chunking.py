"""Chunks: exact spans that cover their document, none larger than the embedder reads."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin_assets.core.chunking import chunk_documents
from twin_assets.core.code_syntax import Syntax
from twin_assets.core.documents import Document
from twin_assets.core.embedding import MAXIMUM_TOKENS, SPECIAL_TOKENS, Embedder
from twin_assets.core.lake import rows_frame

LARGEST_CHUNK = MAXIMUM_TOKENS - SPECIAL_TOKENS


def chunks(text: str, category: str = "article", name: str = "a") -> list[dict]:
    document = Document(name, "files", name, category, f"https://example.org/{name}", "", text)
    row = document.row() | {"author": "ada", "input_hash": "x", "derived_version": "1"}
    return list(chunk_documents(rows_frame("documents", [row])).iter_rows(named=True))


def check_spans(text: str, found: list[dict]) -> None:
    position = 0
    for number, chunk in enumerate(found):
        assert chunk["position"] == number
        assert chunk["text"] == text[chunk["start"] : chunk["end"]]
        assert not text[position : chunk["start"]].strip(), "what is between chunks is white space"
        assert chunk["start"] >= position
        position = chunk["end"]
    assert not text[position:].strip()


@pytest.fixture(scope="module")
def count(tmp_path_factory):
    return Embedder(tmp_path_factory.getbasetemp()).count_tokens


def test_a_post_stays_whole():
    post = "First line.\n\n" + "Another sentence of it. " * 200
    (chunk,) = chunks(post, "post")
    assert chunk["text"] == post.strip()
    assert len(chunks("", "post")) == 1, "a document always has a chunk"


def test_an_article_is_cut_at_headings_then_paragraphs_then_sentences(count):
    paragraph = "This sentence is one of several in its paragraph. " * 6
    text = (
        f"An opening.\n\n# First\n\n{paragraph}\n\n## Inner\n\n{paragraph}\n\n{paragraph * 5}\n\n"
        f"# Second\n\n```python\n# not a heading\n\nx = 1\n```\n\n{paragraph}\n"
    )
    found = chunks(text)
    check_spans(text, found)
    assert max(count([chunk["text"] for chunk in found])) <= LARGEST_CHUNK
    headings = list(dict.fromkeys(chunk["heading"] for chunk in found))
    assert headings == ["First", "First › Inner", "Second"]
    assert found[0]["text"].startswith("An opening.\n\n# First"), "a tiny opening goes with what follows"
    assert all(chunk["text"].endswith((".", "```")) for chunk in found), "no chunk ends inside a sentence"


def test_code_is_cut_at_definitions(count):
    body = "\n".join(f"    value_{number} = compute(value_{number - 1}, {number})" for number in range(1, 12))
    code = (
        "import os\n\n\n# What it does.\n@cached\ndef first(value_0):\n" + body + "\n\n\nclass Second:\n"
        "    def method(self, value_0):\n" + body + "\n\n\ndef third():\n" + body * 12 + "\n"
    )
    found = chunks(code, "code", "module.py")
    check_spans(code, found)
    assert max(count([chunk["text"] for chunk in found])) <= LARGEST_CHUNK
    assert found[0]["text"].startswith("import os")
    assert "@cached\ndef first" in found[0]["text"]
    names = list(dict.fromkeys(chunk["heading"] for chunk in found))
    assert names == ["first", "Second", "third"]
    assert any(chunk["text"].startswith("    value_") for chunk in found), "indentation is kept where a function is cut"
    readme = chunks("# Title\n\nWords.\n\n# def\n\n" + "More words here. " * 40, "code", "README.md")
    assert readme[0]["heading"] == "Title", "prose in a repository is cut as prose"


LANGUAGES = {
    ".py": ("import os\n\n# about é\n@cached\ndef f(a):\n    return a\n\nclass C:\n    def m(self):\n        pass\n",
            ["f", "C"]),
    ".ts": ("import a from 'a'\n// x\nexport class C { m() { return 1 } }\n\nexport const f = (x) => {\n  return x\n}\n"
            "interface I { a: string }\n", ["C", "f", "I"]),
    ".tsx": ("export function F() {\n  return <div/>\n}\n", ["F"]),
    ".js": ("const a = 1\n\nasync function f() {}\n", ["f"]),
    ".go": ("package main\n\n// Add adds.\nfunc Add(a int) int {\n\treturn a\n}\n\ntype T struct {\n\tx int\n}\n",
            ["Add", "T"]),
    ".rs": ("use a;\n\n#[derive(Debug)]\nstruct A { x: i32 }\n\nimpl A {\n    fn m(&self) {}\n}\n", ["A"]),
    ".java": ("import a.b;\n\npublic class A {\n  @Override\n  public void m() {}\n}\n", ["A"]),
    ".c": ("#include <x.h>\n\nstatic int *foo(int a) {\n  return 0;\n}\n\nstruct S { int a; };\n", ["foo", "S"]),
    ".cpp": ("class A { int b; };\n\nint main() {\n  return 0;\n}\n", ["A", "main"]),
    ".cs": ("using A;\n\nnamespace N {\n class A { }\n}\n", ["N"]),
    ".rb": ("require 'a'\n\nmodule M\n  class C\n  end\nend\n", ["M"]),
    ".php": ("<?php\nclass A {\n}\n\nfunction c() {}\n", ["A", "c"]),
    ".sh": ("x=1\nfoo() {\n echo\n}\n", ["foo"]),
    ".scala": ("object A {\n  def m = 1\n}\ntrait B\n", ["A", "B"]),
    ".kt": ("class A {\n  fun m() {}\n}\nfun b() = 1\n", ["A", "b"]),
    ".swift": ("struct A {\n  func m() {}\n}\nfunc b() {}\n", ["A", "b"]),
}  # fmt: skip


@pytest.mark.parametrize("suffix", LANGUAGES)
def test_every_language_gives_its_symbols(suffix):
    text, symbols = LANGUAGES[suffix]
    pieces = Syntax(text, suffix).pieces(0, len(text))
    assert list(dict.fromkeys(piece.symbol.split(" › ")[0] for piece in pieces if piece.symbol)) == symbols
    assert "".join(text[piece.start : piece.end] for piece in pieces) == text


def test_methods_and_long_functions_name_what_they_are_in(count):
    body = "\n".join(f"        total = total + weigh(value_{number}, {number})  # naïve" for number in range(40))
    code = f'class Scale:\n    """Weighs."""\n\n    def weigh(self):\n{body}\n\n    def rest(self):\n{body}\n'
    found = chunks(code, "code", "scale.py")
    check_spans(code, found)
    assert list(dict.fromkeys(chunk["heading"] for chunk in found)) == ["Scale", "Scale › weigh", "Scale › rest"]
    assert all(chunk["text"].endswith(("# naïve", '"""', "(self):")) for chunk in found), "cut between statements"
    assert max(count([chunk["text"] for chunk in found])) <= LARGEST_CHUNK


def test_a_heading_is_never_left_behind_its_paragraph(count):
    paragraph = "Every sentence of this paragraph is about the same small thing. " * 40
    text = f"{paragraph}\n\n# Lonely\n\n## Heading\n\n{paragraph}\n\nUnderlined\n==========\n\n{paragraph}"
    found = chunks(text)
    check_spans(text, found)
    assert not [chunk for chunk in found if count([chunk["text"]])[0] < 20]
    assert list(dict.fromkeys(chunk["heading"] for chunk in found)) == ["", "Lonely › Heading", "Underlined"]


def test_text_without_any_break_is_cut_all_the_same(count):
    for text in ("word " * 2000, "x" * 5000, "wörd" * 700 + " end", "| a | b |\n" * 400):
        found = chunks(text)
        check_spans(text, found)
        assert max(count([chunk["text"] for chunk in found])) <= LARGEST_CHUNK


def test_an_edit_changes_only_the_chunks_around_it():
    sections = [f"# Section {number}\n\n" + f"Sentence {number} says its thing again. " * 12 for number in range(8)]
    before = {chunk["text_hash"] for chunk in chunks("\n\n".join(sections))}
    sections[3] = sections[3].replace("again", "once more")
    after = {chunk["text_hash"] for chunk in chunks("\n\n".join(sections))}
    assert len(before) == len(after) == 8
    assert len(before & after) == 7


PARTS = [
    "word ", "End. ", "\n", "\n\n", "# H\n", "===\n", "```\n", "  ", "def f():\n", "class C:\n", "    x = 1\n", "# c\n",
    "@d\n", "{", "}\n", "function f() {\n", "long-word" * 30, "🚀", "é", "\x00", "\r\n", "\u2028",
]  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.sampled_from(PARTS), max_size=40),
    st.sampled_from(
        [("post", "a"), ("article", "a"), *(("code", f"a{suffix}") for suffix in (".py", ".js", ".rs", ".x"))]
    ),
)
def test_spans_cover_any_document(parts, kind):
    text = "".join(parts)
    check_spans(text, chunks(text, *kind))


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.sampled_from(["A sentence of some words. ", "word " * 60, "\n\n", "\n# H\n\n", "x = f(1)\n"]), max_size=30
    )
)
def test_a_document_is_cut_alike_alone_and_in_company(parts):
    text = "".join(parts)
    rows = [
        Document(name, "files", name, category, f"https://example.org/{name}", "", text).row()
        for name, category in (("a.md", "article"), ("b.py", "code"), ("c", "post"))
    ]
    frame = rows_frame("documents", rows)
    together = chunk_documents(frame)
    alone = [chunk_documents(frame.slice(number, 1)) for number in range(len(rows))]
    assert together.equals(pl.concat(alone))


def test_a_real_blog_is_covered(shared_data, count):
    files = sorted((shared_data / "voice_mtlynch").rglob("*.md"))[:40]
    assert len(files) == 40
    for path in files:
        text = path.read_text(encoding="utf-8")
        found = chunks(text)
        check_spans(text, found)
        assert max(count([chunk["text"] for chunk in found])) <= LARGEST_CHUNK
