"""Chunks: exact spans that cover their document, none larger than the embedder reads."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin_assets.core.chunking import LARGEST_CHUNK, chunk_documents
from twin_assets.core.documents import Document
from twin_assets.core.embedding import Embedder
from twin_assets.core.lake import rows_frame


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


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(["word ", "End. ", "\n", "\n\n", "# H\n", "```\n", "  ", "def f():\n", "long-word" * 30, "🚀"])
    ),
    st.sampled_from(["post", "article", "code"]),
)
def test_spans_cover_any_document(parts, category):
    text = "".join(parts)
    check_spans(text, chunks(text, category))


def test_a_real_blog_is_covered(shared_data, count):
    files = sorted((shared_data / "voice_mtlynch").rglob("*.md"))[:40]
    assert len(files) == 40
    for path in files:
        text = path.read_text(encoding="utf-8")
        found = chunks(text)
        check_spans(text, found)
        assert max(count([chunk["text"] for chunk in found])) <= LARGEST_CHUNK
