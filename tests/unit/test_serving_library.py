"""What the web process keeps of an author between requests."""

import threading
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from twin_assets.core.documents import Document
from twin_assets.core.workspace import Workspace
from twin_serving.assembling.assemble import assemble
from twin_serving.assembling.passages import OwnDocument
from twin_serving.composing.library import EmbeddingMemory, Libraries
from twin_serving.composing.warming import Traffic, embed_ahead


class Counting:
    """Embeds a text as its length and its vowels, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        self.asked += texts
        return np.array([[len(text), sum(text.count(vowel) for vowel in "aeiou")] for text in texts], dtype=np.float32)


def test_a_text_is_embedded_once_and_rows_keep_their_places() -> None:
    embed, plain = Counting(), Counting()
    memory = EmbeddingMemory(embed)
    for texts in (["one", "two", "one"], ["three", "two"], ["one", "three"]):
        assert np.array_equal(memory(texts), plain(texts))
    assert embed.asked == ["one", "two", "three"]


def test_the_memory_is_bounded() -> None:
    embed = Counting()
    memory = EmbeddingMemory(embed, most=2)
    memory(["one", "two", "three"])
    memory(["two", "three"])
    assert embed.asked == ["one", "two", "three"]
    memory(["one"])
    assert embed.asked == ["one", "two", "three", "one"]


def add(workspace: Workspace, name: str, text: str, rejected: str | None = None) -> Document:
    document = Document(name, "linkedin", name, "post", f"https://x.example/{name}", "", text, rejected=rejected)
    row = {**document.row(), "author": "ann", "input_hash": name, "derived_version": "1"}
    workspace.lake.append("documents", [row])
    return document


def test_a_library_follows_the_lake_and_holds_the_corpus_only(workspace: Workspace) -> None:
    libraries = Libraries(workspace)
    assert libraries.of("ann").documents == {}
    add(workspace, "first", "We ship small changes every day and sleep well at night.")
    add(workspace, "bad", "Just a moment while we check your browser.", rejected="challenge")
    library = libraries.of("ann")
    assert list(library.documents) == ["first"]
    assert libraries.of("ann") is library
    add(workspace, "second", "Nobody reads a long report.")
    later = libraries.of("ann")
    assert [document.document_id for document in later.in_order(["second", "gone", "first", "second"])] == [
        "second", "first",
    ]  # fmt: skip
    assert libraries.of("ben").documents == {}


def test_a_broken_voice_file_is_said_and_stops_no_draft(workspace: Workspace) -> None:
    from twin_assets.core.voice import scorer_path

    path = scorer_path(workspace, "ann")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not numbers")
    library = Libraries(workspace).of("ann")
    assert library.voice("anything at all") is None
    assert "cannot be read" in str(library.problem)


def test_overlap_is_the_share_of_the_longest_copied_run(workspace: Workspace) -> None:
    add(workspace, "first", "We ship small changes every day and sleep well at night.")
    library = Libraries(workspace).of("ann")
    whole = library.copied("We SHIP small changes every day, and sleep well at night!")
    assert (whole.words, whole.document_id, whole.most) == (11, "first", 1.0)
    part = library.copied("I ship small changes every week")
    assert (part.words, part.text, part.shares) == (4, "ship small changes every", {"first": 4 / 6})
    assert library.copied("").words == 0
    assert library.voice("anything at all") is None


POSTS = [
    OwnDocument(
        str(n), "", "", f"We shipped release {n} on a quiet day.\n\nNobody noticed, and that was the point of it."
    )
    for n in range(5)
]


def test_a_draft_finds_its_passages_embedded_ahead() -> None:
    embed = Counting()
    memory = EmbeddingMemory(embed)
    count = embed_ahead(POSTS, memory, Traffic(), threading.Event())
    assert count == len(embed.asked) == len(set(embed.asked)) > 0
    embed.asked.clear()
    assert embed_ahead(POSTS, memory, Traffic(), threading.Event()) == 0
    assemble("Write a post about quiet releases", POSTS, [], memory)
    assert embed.asked == ["quiet releases"], "the subject alone is new"


def test_nothing_is_embedded_ahead_while_somebody_is_served_or_where_it_would_only_forget() -> None:
    embed, traffic, stopped = Counting(), Traffic(), threading.Event()
    with traffic:
        stopped.set()
        assert embed_ahead(POSTS, EmbeddingMemory(embed), traffic, stopped) == 0
    assert embed.asked == []
    full = EmbeddingMemory(embed, most=1)
    full(["one"])
    assert embed_ahead(POSTS, full, Traffic(), threading.Event()) == 0


def test_only_what_changed_is_read_again(workspace: Workspace) -> None:
    libraries = Libraries(workspace)
    first = add(workspace, "first", "We ship small changes every day and sleep well at night.")
    before = libraries.of("ann")
    add(workspace, "second", "Nobody reads a long report, so we write a short one.")
    after = libraries.of("ann")
    assert after.documents["first"] is before.documents["first"]
    assert after.copied("so we write a short one").document_id == "second"
    workspace.lake.replace("documents", "ann", "document_id", [first.document_id], [])
    assert list(libraries.of("ann").documents) == ["second"]
    assert libraries.of("ann").copied(first.text).words == 0
