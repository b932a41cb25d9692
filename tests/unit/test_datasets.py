"""Samples and splits: verbatim targets, stable splits, nothing that leaks."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from training_corpus import AUTHOR, document, documents, fill, post_texts, tiny_model

from twin_assets.core import datasets
from twin_assets.core.datasets.passages import build_passages, key_phrases, passages
from twin_assets.core.overlap import VerbatimIndex, contained_pairs

ARTICLE = "\n\n".join(
    f"## Part {n}\n\n" + "\n\n".join(f"Paragraph {n}.{i} says its own thing about looms. " * 12 for i in range(4))
    for n in range(3)
)


@pytest.fixture
def filled(workspace):
    fill(workspace)
    datasets.update_samples(workspace, AUTHOR.id)
    return workspace


def test_every_document_gives_verbatim_targets_or_a_reason(filled):
    rows = [
        document("article", ARTICLE, "article", "medium", "On looms"),
        document("tag", "#only https://example.org", "post"),
    ]
    filled.lake.append("documents", documents(rows))
    done = datasets.update_samples(filled, AUTHOR.id).derivation
    assert done.new == 2
    dataset = datasets.load_dataset(filled.lake, AUTHOR.id)
    texts = dict(filled.lake.read("documents", AUTHOR.id).select("document_id", "text").iter_rows())
    assert set(dataset.samples["document_id"]) == set(texts)
    assert all(row["target"] in texts[row["document_id"]] for row in dataset.samples.iter_rows(named=True))
    assert dataset.samples["sample_id"].n_unique() == dataset.samples.height
    sections = dataset.samples.filter(pl.col("document_id") == "article").sort("position")
    assert sections.height >= 3
    assert set(sections["form"]) == {"section"}
    assert all("On looms" in text and "Part" in text for text in sections["instruction"])
    assert sections["split"].n_unique() == 1
    left_out = dataset.samples.filter(pl.col("document_id") == "tag")["excluded"].item()
    assert "words of its own" in left_out


def test_unchanged_documents_are_not_derived_again(filled):
    before = datasets.load_dataset(filled.lake, AUTHOR.id)
    assert datasets.update_samples(filled, AUTHOR.id).derivation.touched == 0
    assert datasets.load_dataset(filled.lake, AUTHOR.id).delta_version == before.delta_version

    changed = document("post000", post_texts()[0] + "\n\nOne more thought about warehouses.")
    filled.lake.replace("documents", AUTHOR.id, "document_id", ["post000", "post001"], documents([changed]))
    done = datasets.update_samples(filled, AUTHOR.id).derivation
    assert (done.new, done.changed, done.removed) == (0, 1, 1)
    after = datasets.load_dataset(filled.lake, AUTHOR.id)
    assert after.version != before.version
    again = datasets.load_dataset(filled.lake, AUTHOR.id, version=before.delta_version)
    assert again.version == before.version


def test_splits_are_about_80_10_10_and_stay(filled):
    groups = [f"group{i}" for i in range(2000)]
    splits = datasets.split_groups(groups)
    shares = {name: sum(s == name for s in splits.values()) / 2000 for name in datasets.SPLITS}
    assert shares["train"] == pytest.approx(0.8, abs=0.03)
    assert shares["test"] == pytest.approx(0.1, abs=0.03)
    more = datasets.split_groups([*groups, "another"])
    assert {group: more[group] for group in groups} == splits
    for count in range(3, 12):
        assert set(datasets.split_groups(groups[:count]).values()) == set(datasets.SPLITS)
    assert min(datasets.load_dataset(filled.lake, AUTHOR.id).counts.values()) >= 1


def test_copies_and_excerpts_stay_in_one_split_and_are_learned_once(filled):
    long = "\n\n".join(post_texts()[:4])
    rows = [
        document("copy", post_texts()[5].replace("\n\n", "\n"), "post", "x"),
        document("digest", long, "article", "medium", "Digest"),
    ]
    filled.lake.append("documents", documents(rows))
    datasets.update_samples(filled, AUTHOR.id)
    dataset = datasets.load_dataset(filled.lake, AUTHOR.id)
    group = dict(dataset.samples.select("document_id", "group_id").iter_rows())
    assert group["copy"] == group["post005"]
    assert len({group[name] for name in ("digest", "post000", "post001", "post002", "post003")}) == 1
    excluded = dict(dataset.samples.select("document_id", "excluded").iter_rows())
    assert [excluded["copy"] is None, excluded["post005"] is None].count(True) == 1
    assert datasets.leakage(dataset) == []
    assert datasets.update_samples(filled, AUTHOR.id).derivation.touched == 0


def test_leakage_is_found(filled):
    dataset = datasets.load_dataset(filled.lake, AUTHOR.id)
    assert datasets.leakage(dataset) == []
    row = dataset.split("train").head(1)
    exact = row.with_columns(split=pl.lit("test"), sample_id=pl.lit("s2"))
    excerpt = exact.with_columns(
        document_id=pl.lit("d2"), group_id=pl.lit("d2"), target=pl.lit(" ".join(row["target"].item().split()[10:]))
    )
    for leaked, problems in ((exact, ("document_id", "target")), (excerpt, ("share most",))):
        found = datasets.leakage(
            datasets.Dataset(AUTHOR.id, pl.concat([dataset.samples, leaked]), "v", dataset.delta_version)
        )
        assert all(any(problem in sentence for sentence in found) for problem in problems), found


def test_preferences_are_the_edits_that_changed_something(filled):
    empty = datasets.update_preferences(filled, AUTHOR.id)
    assert empty.pairs.is_empty()
    assert "no draft has been edited" in str(empty.reason)
    filled.lake.append("drafts", [draft("a", "Old."), draft("b", "Same.")])
    filled.lake.append("feedback", [said("a", edited="New."), said("b", edited="Same.\n")])
    found = datasets.update_preferences(filled, AUTHOR.id)
    columns = ["source", "prompt", "chosen", "rejected", "draft_id"]
    assert found.pairs.select(columns).rows() == [("edit", "Write.", "New.", "Old.", "a")]
    assert found.reason is None


def test_passages_are_verbatim_and_keep_code_whole():
    text = "Intro.\n\n# One\n\nText.\n\n```\n# no heading\n\nx = 1\n```\n\n# Two\n\nEnd."
    found = list(passages(text))
    assert [heading for heading, _ in found] == ["", "One", "Two"]
    assert all(passage in text for _, passage in found)
    assert "# no heading\n\nx = 1" in found[1][1]


def test_key_phrases_are_the_texts_own():
    text = "Delta Lake keeps history. Why Delta Lake? Because history matters, and I can't lose it. #data"
    assert "Delta Lake" in key_phrases(text)[:2]
    assert all(phrase in text for phrase in key_phrases(text))


def test_overlap():
    index = VerbatimIndex(["The quick brown fox jumps over the lazy dog.", "Another text."])
    assert index.longest("See: quick, brown FOX jumps! Then another") == 4
    assert index.longest("nothing shared") == 0
    assert index.longest("") == 0
    words = [f"w{i}" for i in range(40)]
    pairs = contained_pairs({"a": " ".join(words), "b": " ".join(words[10:30]), "c": "no relation to any of these"})
    assert pairs == [("a", "b")]


def test_one_row_a_document_even_for_odd_ones():
    rows = documents([document("heading", "# " + "A heading and nothing else " * 120, "article", "files")])
    assert build_passages(rows).height == 1


def draft(name: str, text: str, trace: str = "t") -> dict:
    """A row of `drafts`."""
    return {
        "author": AUTHOR.id, "created_at": datetime.now(UTC), "kind": "assembled", "prompt": "Write.", "links": "[]",
        "sentences": "[]", "scores": "{}", "model_version": None, "index_version": "1", "dataset_version": None,
        "trace_id": trace, "draft_id": name, "text": text,
    }  # fmt: skip


def said(name: str, rating: int | None = None, edited: str | None = None) -> dict:
    """A row of `feedback`."""
    return {
        "author": AUTHOR.id, "feedback_id": f"f-{name}", "created_at": datetime.now(UTC), "draft_id": name,
        "rating": rating, "edited_text": edited, "comment": None,
    }  # fmt: skip


def test_the_better_rated_draft_of_a_prompt_is_preferred(filled):
    filled.lake.append(
        "drafts", [draft("a", "Good."), draft("b", "Bad."), draft("c", "Fair."), draft("d", "Alone.", "u")]
    )
    filled.lake.append("feedback", [said("a", 5), said("b", 2), said("c", 4), said("d", 1)])
    found = datasets.update_preferences(filled, AUTHOR.id)
    assert found.pairs.select("source", "chosen", "rejected").rows() == [("choice", "Good.", "Bad.")]
    version = filled.lake.version("preferences")
    assert datasets.update_preferences(filled, AUTHOR.id).version == found.version
    assert filled.lake.version("preferences") == version, "nothing is written where nothing changed"
    assert datasets.load_preferences(filled.lake, AUTHOR.id, version).version == found.version


def test_a_chosen_draft_stands_against_every_other_of_its_prompt_and_before_ratings(filled):
    filled.lake.append(
        "drafts",
        [
            *(draft(name, name.upper()) | {"format": "thread"} for name in "abc"),
            *(draft(name, name.upper(), "u") for name in "de"),
            draft("empty", " ") | {"format": "thread"},
        ],
    )
    at = datetime.now(UTC)
    filled.lake.append(
        "feedback",
        [
            said("a", 5),
            said("b", 1) | {"chosen": True},
            said("c") | {"chosen": True, "created_at": at - timedelta(minutes=2)},
            said("c", 4) | {"chosen": False, "created_at": at - timedelta(minutes=1)},
            said("d", 2),
            said("e", 3),
        ],
    )
    found = datasets.update_preferences(filled, AUTHOR.id).pairs
    assert sorted(found.select("form", "chosen", "rejected").rows()) == [
        ("linkedin_post", "E", "D"),
        ("thread", "B", "A"),
        ("thread", "B", "C"),
    ], "the last word on a draft counts, a draft without a form is of the first form there was"


def test_an_edit_that_was_published_and_is_tested_on_is_no_pair(filled):
    dataset = datasets.load_dataset(filled.lake, AUTHOR.id)
    tested = max(dataset.split("test")["target"], key=len)
    filled.lake.append("drafts", [draft("a", "Something else."), draft("b", "Else.")])
    filled.lake.append("feedback", [said("a", edited=f"{tested} Amen."), said("b", edited="Mine.")])
    found = datasets.update_preferences(filled, AUTHOR.id)
    assert found.pairs["chosen"].to_list() == ["Mine."]
    assert found.left_out == 1
    assert datasets.preference_leakage(found, dataset) == []
    leaked = found.pairs.with_columns(chosen=pl.lit(tested))
    assert datasets.preference_leakage(datasets.Preferences(leaked), dataset)


def test_base_answers_are_made_once_and_set_against_the_authors_words(home, tmp_path):
    from transformers import LlamaConfig

    from twin_assets.core.workspace import Workspace

    shape = LlamaConfig(
        vocab_size=300, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=4096,
    )  # fmt: skip
    folder = tiny_model(tmp_path / "base", shape)
    workspace = Workspace(home.model_copy(update={"base_model": str(folder), "preference_answers": 3}))
    fill(workspace, 20)
    datasets.update_samples(workspace, AUTHOR.id)
    found = datasets.update_preferences(workspace, AUTHOR.id)
    assert found.counts == {"base": 3}
    samples = datasets.load_dataset(workspace.lake, AUTHOR.id).samples
    assert set(found.pairs["chosen"]) <= set(samples.filter(pl.col("split") != "test")["target"])
    assert (found.pairs["rejected"] != found.pairs["chosen"]).all()
    kept = workspace.lake.version("base_answers")
    assert datasets.update_preferences(workspace, AUTHOR.id).version == found.version
    assert workspace.lake.version("base_answers") == kept

    nano = Workspace(workspace.settings.model_copy(update={"base_model": "nano"}))
    refused = datasets.update_preferences(nano, AUTHOR.id)
    assert refused.pairs.is_empty()
    assert "nano is never set against the author" in str(refused.reason)
    away = Workspace(workspace.settings.model_copy(update={"base_model": "no-such-model"}))
    assert "could not be asked" in str(datasets.update_preferences(away, AUTHOR.id).reason)
