"""What an author's documents say of each other: boilerplate that recurs and cross-posts, incremental, in any order."""

import json
import random
import threading
from datetime import UTC, datetime, timedelta
from functools import partial

import polars as pl
import pytest

from twin_assets.core import corpus as corpus_module
from twin_assets.core.authors import Author
from twin_assets.core.cleaning import own_text, with_own_text
from twin_assets.core.cleaning.duplicates import SIGNATURE, cross_posts, same_signatures
from twin_assets.core.corpus import corpus_summary, update_corpus
from twin_assets.core.documents import RawDocument
from twin_assets.core.features import corpus
from twin_assets.core.lake import derive, rows_frame
from twin_assets.core.workspace import Workspace
from twin_assets.settings import Settings

START = datetime(2024, 5, 1, tzinfo=UTC)
WORDS = ("queue", "release", "sensor", "review", "weekend", "database", "deploy", "latency", "garden", "bread", "oven")


def prose(seed: int, words: int = 40) -> str:
    choose = random.Random(seed)
    return " ".join(choose.choice(WORDS) for _ in range(words - 1)).capitalize() + f" {seed}."


def document(name: str, text: str, platform: str = "medium", category: str = "article", day: int = 0) -> dict:
    raw = RawDocument(
        "ada", platform, name, category, f"{platform}:ada", f"https://{platform}.example/{name}", "", text,
        "text/markdown", START + timedelta(days=day),
    )  # fmt: skip
    return raw.row() | {"collected_at": START, "removed_at": None}


def collect(workspace: Workspace, rows: list[dict]) -> None:
    """The raw documents are these now, and no others."""
    workspace.lake.replace_author("raw_documents", "ada", rows_frame("raw_documents", rows))


def rows_of(workspace: Workspace, table: str = "documents") -> list[dict]:
    return workspace.lake.read(table, "ada").sort("document_id").to_dicts()


def fresh(tmp_path, rows: list[dict]) -> list[dict]:
    workspace = Workspace(Settings(home=tmp_path / f"fresh-{random.random()}"))
    collect(workspace, rows)
    update_corpus(workspace, "ada")
    return rows_of(workspace)


FOOTER = "Thanks! Issue {} of my letter. [Subscribe](https://ada.example/subscribe?n={}) for the next one."


def with_footer(number: int) -> dict:
    text = f"{prose(number)}\n\n{prose(number + 500)}\n\nKeep shipping.\n\n---\n\n{FOOTER.format(number, number)}"
    return document(f"letter-{number}", text)


def test_a_footer_is_recognised_with_the_document_that_makes_it_one(workspace, tmp_path):
    rows = [with_footer(number) for number in range(3)] + [document(f"plain-{n}", prose(n + 90)) for n in range(6)]
    collect(workspace, rows)
    assert update_corpus(workspace, "ada").new == 9
    assert sum("Subscribe" in row["text"] for row in rows_of(workspace)) == 3, "three of a kind are not enough"

    rows.append(with_footer(3))
    collect(workspace, rows)
    before = {row["document_id"]: row for row in rows_of(workspace)}
    derivation = update_corpus(workspace, "ada")
    assert (derivation.new, derivation.changed, derivation.unchanged) == (1, 3, 6), "those with the footer, no others"
    after = rows_of(workspace)
    assert after == fresh(tmp_path, rows)
    for row in after:
        assert "Subscribe" not in row["text"]
        if row["external_id"].startswith("letter"):
            assert row["text"].endswith("Keep shipping."), "a signature is the author's voice"
            number = row["external_id"][-1]
            assert row["left_out"] == ["---", FOOTER.format(number, number)], "nothing goes in silence"
        else:
            assert row == before[row["document_id"]]

    collect(workspace, rows[1:])
    assert update_corpus(workspace, "ada").removed == 1
    assert sum("Subscribe" in row["text"] for row in rows_of(workspace)) == 3
    assert rows_of(workspace) == fresh(tmp_path, rows[1:])


def test_what_is_said_often_but_calls_for_nothing_stays(workspace):
    texts = [f"{prose(n)}\n\nStay curious, my friends. 🚢\n\n#build #ship" for n in range(8)]
    promo = "Join me on Friday: [the workshop](https://ada.example/w).\n\nSign up and bring a friend along."
    same = [document(f"promo-{n}", promo, day=n) for n in range(5)]
    collect(workspace, [document(str(n), text) for n, text in enumerate(texts)] + same)
    update_corpus(workspace, "ada")
    kept = corpus(workspace.lake, "ada")
    assert set(texts) <= set(kept["text"])
    assert promo in set(kept["text"]), "a document that is nothing else stays as it is"


def test_a_text_on_several_platforms_is_one_document_with_all_its_addresses(workspace, tmp_path):
    text = "\n\n".join(prose(n) for n in range(5))
    rows = [
        document("a", text + "\n\nOne more thing about queues and bread.", "substack", day=3),
        document("b", text, "medium", day=1),
        document("c", text.replace("\n\n", "\n").upper(), "linkedin", "article", day=2),
        document("d", prose(77), "x", "post"),
        document("e", text, "github", "code"),
        document("f", "Yes!", "x", "post"),
        document("g", "Yes!", "linkedin", "post"),
    ]
    collect(workspace, rows)
    update_corpus(workspace, "ada")
    found = {row["external_id"]: row for row in rows_of(workspace)}
    assert {name for name, row in found.items() if row["rejected"]} == {"b", "c"}
    assert found["b"]["rejected"] == "cross-post of https://substack.example/a", "the fullest is kept"
    addresses = [address["platform"] for address in found["a"]["addresses"]]
    assert addresses == ["substack", "medium", "linkedin"], "its own first, then by date"
    assert found["d"]["addresses"] == [{"platform": "x", "url": "https://x.example/d"}]
    assert corpus_summary(workspace.lake, "ada")["cross-posts"] == 2

    collect(workspace, rows[1:])
    derivation = update_corpus(workspace, "ada")
    assert (derivation.removed, derivation.changed) == (1, 2), "the two that are left of it, no others"
    found = {row["external_id"]: row for row in rows_of(workspace)}
    assert found["b"]["rejected"] is None, "of equals the earliest"
    assert found["c"]["rejected"] == "cross-post of https://medium.example/b"
    assert rows_of(workspace) == fresh(tmp_path, rows[1:])
    assert update_corpus(workspace, "ada").touched == 0


class KilledError(Exception):
    """The process ends here."""


@pytest.mark.parametrize("seed", range(4))
def test_any_history_with_kills_ends_in_a_fresh_build(workspace, tmp_path, monkeypatch, seed):
    """Adds, edits and deletions in any order, runs killed between any two transactions: the same rows in the end."""
    monkeypatch.setattr(corpus_module, "derive", partial(derive, batch_size=2))
    choose = random.Random(seed)
    texts = [prose(n) for n in range(4)]
    footers = ["", "", f"\n\n{FOOTER.format(1, 1)}", f"\n\n{FOOTER.format(2, 7)}"]
    state: dict[str, dict] = {}
    for _ in range(6):
        for _ in range(choose.randint(1, 6)):
            name, platform = str(choose.randrange(9)), choose.choice(["medium", "substack"])
            if choose.random() < 0.25:
                state.pop(f"{platform}/{name}", None)
            else:
                text = f"{choose.choice(texts)}\n\n{prose(int(name) // 2 + 50)}{choose.choice(footers)}"
                state[f"{platform}/{name}"] = document(name, text, platform, day=choose.randrange(5))
        collect(workspace, list(state.values()))
        left = choose.randint(0, 8)

        def kill(done: int, total: int, moves=[left]) -> None:  # noqa: B006 (counts through the calls)
            moves[0] -= 1
            if moves[0] < 0:
                raise KilledError

        try:
            update_corpus(workspace, "ada", progress=kill)
        except KilledError:
            continue
    update_corpus(workspace, "ada")
    rows = list(state.values())
    choose.shuffle(rows)
    assert rows_of(workspace) == fresh(tmp_path, rows)
    assert update_corpus(workspace, "ada").touched == 0


def test_two_runs_at_once_end_in_a_fresh_build(workspace, tmp_path, monkeypatch):
    facts, others = corpus_module.corpus_facts, []
    collect(workspace, [with_footer(1)])

    def interrupted(lake, author):
        found = facts(lake, author)
        if not others:
            collect(workspace, [with_footer(1), with_footer(2)])
            others.append(threading.Thread(target=update_corpus, args=(workspace, "ada")))
            others[0].start()
            others[0].join(timeout=0.5)
        return found

    monkeypatch.setattr(corpus_module, "corpus_facts", interrupted)
    update_corpus(workspace, "ada")
    others[0].join()
    update_corpus(workspace, "ada")
    assert rows_of(workspace) == fresh(tmp_path, [with_footer(1), with_footer(2)])


def test_nothing_is_written_where_nothing_changed(workspace):
    collect(workspace, [with_footer(number) for number in range(5)])
    update_corpus(workspace, "ada")
    tables = ("cleaned", "documents", "corpus_state")
    versions = [workspace.lake.version(table) for table in tables]
    assert update_corpus(workspace, "ada").unchanged == 5
    assert [workspace.lake.version(table) for table in tables] == versions


def test_an_authors_own_contact_is_theirs_to_publish(workspace):
    workspace.authors.save(Author(id="ada", name="Ada", contacts=("ada@mail.dev", "+44 20 7946 0958")))
    text = "Write to ada@mail.dev or me@medium.example, call +44 20 7946 0958. Not to bob@mail.dev."
    collect(workspace, [document("a", text)])
    update_corpus(workspace, "ada")
    row = rows_of(workspace)[0]
    assert row["text"] == text.replace("bob@mail.dev", "[e-mail removed]")
    assert json.loads(row["redacted"]) == {"e-mail address": 1}
    workspace.authors.save(Author(id="ada", name="Ada"))
    assert update_corpus(workspace, "ada").changed == 1
    assert rows_of(workspace)[0]["redactions"] == 3


def test_others_words_are_marked_and_not_learned_from(workspace):
    text = f"{prose(1)}\n\n> {prose(2)}\n> {prose(3)}\n\n{prose(4)}"
    collect(workspace, [document("a", text), document("b", f"> {prose(5)}"), document("c", prose(6))])
    update_corpus(workspace, "ada")
    documents = corpus(workspace.lake, "ada").sort("external_id")
    quoted = documents["quoted"].to_list()
    assert [[text[start:end] for start, end in spans] for spans in quoted[:1]] == [[f"> {prose(2)}\n> {prose(3)}"]]
    assert own_text(documents.row(0, named=True)) == f"{prose(1)}\n\n{prose(4)}"
    assert with_own_text(documents)["text"].to_list() == [f"{prose(1)}\n\n{prose(4)}", prose(6)]


@pytest.mark.parametrize("words", [40, 900])
def test_no_sample_holds_words_of_somebody_else(workspace, words):
    from twin_assets.core.datasets import update_samples

    text = f"# One\n\n{prose(1, words)}\n\n> {prose(2)}\n\n{prose(3)}\nand on.\n> {prose(4)}\n{prose(5)}"
    collect(workspace, [document("a", text), document("b", f"> {prose(6)}"), document("c", prose(7))])
    update_corpus(workspace, "ada")
    update_samples(workspace, "ada")
    texts = corpus(workspace.lake, "ada").select("document_id", "text")
    samples = workspace.lake.read("samples", "ada").join(texts, on="document_id")
    assert all(row["target"] in row["text"] for row in samples.to_dicts())
    used = "\n".join(samples.filter(pl.col("excluded").is_null())["target"])
    assert [number for number in range(1, 8) if prose(number, words if number == 1 else 40) in used] == [1, 3, 5, 7]
    assert samples.filter(pl.col("excluded").is_not_null()).height == 1, "a text that is a quote says so"


def test_cross_posts_among_many_do_not_depend_on_their_order():
    texts = [prose(n, 30) for n in range(300)]
    texts += [f"{text} Amen." for text in texts[:40]] + texts[:20]
    frame = pl.DataFrame(
        {
            "document_id": [f"d{n:04}" for n in range(len(texts))], "category": "post", "platform": "x",
            "published_at": [START + timedelta(hours=n % 7) for n in range(len(texts))],
            "words": [len(text.split()) for text in texts], "signature": same_signatures(texts),
        }
    )  # fmt: skip
    assert len(frame["signature"][0]) == 4 * SIGNATURE
    found = cross_posts(frame).sort("document_id")
    assert found.equals(cross_posts(frame.sample(fraction=1, shuffle=True, seed=3)).sort("document_id"))
    assert found.height == 60
    assert cross_posts(frame.head(0)).is_empty()
