"""The voice profile: what is measured, what the author makes of it, and what both mean for prompts and drafts."""

import csv
import json

import pytest
from training_corpus import AUTHOR, document, documents, post_texts
from typer.testing import CliRunner

from twin_assets.cli import app
from twin_assets.core.authors import Author
from twin_assets.core.errors import ConfigurationError, InputError
from twin_assets.core.prompts import messages
from twin_assets.core.vocabulary import own_phrases, own_words, words_of
from twin_assets.core.voice_edits import (
    Voice,
    VoiceEdits,
    check_edits,
    edits_path,
    load_edits,
    load_voice,
    reset_edits,
    save_edits,
)
from twin_assets.core.voice_profile import build_profile, load_profile, measure, profile_path, save_profile
from twin_assets.settings import get_settings

ROWS = [
    document("a", "Who knew? I didn’t!\n\n- one\n- two\n\n#looms 🧵"),
    document("b", "7 looms hum.\n\nLooms never stop. #looms"),
    document("c", "Plain article text about looms.", "article", "medium", "Looms"),
    document("d", "def loom():\n    return 1", "code", "github", "loom.py"),
]


def test_the_profile_says_what_was_measured():
    profile = build_profile(documents(ROWS))
    assert profile.categories.keys() == {"post", "article"}, "code is no prose"
    post = profile.categories["post"]
    assert (post.documents, post.hashtags, post.emoji) == (2, ["looms"], ["🧵"])
    assert (post.openings["a question"], post.openings["a number"], post.lists) == (0.5, 0.5, 0.5)
    assert post.hashtags_per_document == 1
    assert profile.categories["article"].words == 5
    assert sum(post.sentence_lengths.values()) == pytest.approx(1, abs=0.01)


def test_code_and_addresses_are_not_counted_as_words():
    found = measure(["Four words stand here.\n\n```\nand many more words in code\n```\nhttps://example.org/a/b/c"])
    assert found.words == 4
    assert found.endings["a link"] == 1


def test_rhythm_tells_even_sentences_from_changing_ones():
    even = measure(["One two three four. " * 10])
    changing = measure(["One. Two three four five six seven eight nine ten. " * 10])
    assert even.sentence_change == 0 < 5 < changing.sentence_change


def test_own_words_are_those_others_use_less(shared_data):
    with (shared_data / "linkedin_export_sanand" / "Shares.csv").open(encoding="utf-8", newline="") as file:
        texts = [words_of(row["ShareCommentary"]) for row in csv.DictReader(file)]
    found = own_words(texts)
    assert {"llms", "chatgpt", "prompt"} <= {word.word for word in found[:10]}
    assert all(word.z > 1.96 and word.rate > word.others and word.documents >= 2 for word in found)
    assert not {"the", "and", "with"} & {word.word for word in found}
    assert [word.z for word in found] == sorted((word.z for word in found), reverse=True)


def test_a_language_without_a_background_still_gives_words():
    text = "Ik schrijf elke dag over weefgetouwen en het leven op het platteland, want de winter is koud en lang."
    found = own_words([words_of(text + f" Weefgetouwen{i} draaien.") for i in range(4)] * 30)
    assert all(word.z is None and word.others is None for word in found)


def test_phrases_recur_and_are_more_than_everybodys():
    texts = [f"Some text {i} of the same kind, and the loom never sleeps. One of the many days." for i in range(6)]
    found = [phrase.phrase for phrase in own_phrases(texts)]
    assert any("loom never sleeps" in phrase for phrase in found)
    assert "of the" not in found
    assert own_phrases(["The loom never sleeps."] * 2) == [], "twice may be chance"


@pytest.fixture
def ada(workspace, monkeypatch):
    """A deployment that knows the demo author, and that the command line finds."""
    workspace.authors.save(Author(id=AUTHOR.id, name="Ada"))
    monkeypatch.setenv("TWIN_HOME", str(workspace.settings.home))
    get_settings.cache_clear()
    return workspace


def test_edits_survive_every_measurement(ada):
    assert load_profile(ada, AUTHOR.id) is None
    assert load_edits(ada, AUTHOR.id) == VoiceEdits()
    save_profile(ada, AUTHOR.id, build_profile(documents(ROWS)))
    edits = save_edits(ada, AUTHOR.id, check_edits({"emoji": "never", "forbidden_phrases": ["leverage"]}))
    save_profile(ada, AUTHOR.id, build_profile(documents(ROWS[:1])))
    assert load_profile(ada, AUTHOR.id).categories.keys() == {"post"}
    assert load_edits(ada, AUTHOR.id) == edits
    reset_edits(ada, AUTHOR.id)
    assert load_edits(ada, AUTHOR.id) == VoiceEdits()


def test_a_file_that_is_not_valid_is_said(ada):
    profile_path(ada, AUTHOR.id).parent.mkdir(parents=True)
    profile_path(ada, AUTHOR.id).write_text('{"layout": 2, "categories": 3}')
    with pytest.raises(ConfigurationError, match="not valid"):
        load_profile(ada, AUTHOR.id)
    profile_path(ada, AUTHOR.id).write_text('{"categories": {"post": {}}, "guidance": ""}')
    assert load_profile(ada, AUTHOR.id) is None, "an older layout is measured again"
    edits_path(ada, AUTHOR.id).write_text('{"emoji": "sometimes"}')
    with pytest.raises(ConfigurationError, match="emoji: Input should be 'as measured', 'never'"):
        load_voice(ada, AUTHOR.id)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"emojis": "never"}, "emojis: there is no such field; there are favourite_phrases"),
        ({"favourite_phrases": ["Ship it"], "forbidden_phrases": ["ship  it"]}, "both a favourite and forbidden"),
        ({"forbidden_phrases": [" "]}, "forbidden_phrases.0: String should have at least 2"),
        ({"note": "x" * 2001}, "note: String should have at most 2000"),
        ([], "valid dictionary"),
    ],
)
def test_an_edit_that_cannot_be_is_said_with_its_field(values, sentence):
    with pytest.raises(InputError, match=sentence):
        check_edits(values)


def test_drafts_are_checked_against_the_edits():
    edits = check_edits(
        {"forbidden_phrases": ["at the end of the day", "leverage"], "forbidden_topics": ["politics", "salary cap"],
         "emoji": "never", "hashtags": "never", "exclamation_marks": "never"}
    )  # fmt: skip
    voice = Voice(None, edits)
    assert voice.problems("We use levers. Leveraged? A day ends. The salary is fine. I wear a cap.") == []
    assert voice.problems("At the end of the day, it’s politics! 🙂🙂 #work") == [
        "It says “at the end of the day”, which you never want to say.",
        "It touches on politics, which you never want to write about.",
        "It has 2 emoji, and you want none.",
        "It has 1 hashtag, and you want none.",
        "It has 1 exclamation mark, and you want none.",
    ]
    assert voice.problems("The Salary caps again.") == [
        "It touches on salary cap, which you never want to write about."
    ]
    assert Voice().problems("Leverage! 🙂") == []
    text = "First line.\n\nWe leverage looms. Looms hum!\n\nLast line. #looms"
    assert voice.without_forbidden(text) == "First line.\n\n \n\nLast line. #looms"
    assert Voice().without_forbidden(text) is text


def test_the_guide_tells_a_model_what_was_measured_and_what_the_author_made_of_it():
    profile = build_profile(documents([document(str(i), text) for i, text in enumerate(post_texts())]))
    plain = Voice(profile).guide("post")
    measured = profile.categories["post"]
    assert f"{measured.words_per_document.low:.0f} to {measured.words_per_document.high:.0f} words" in plain
    word, phrase = measured.vocabulary[0].word, measured.phrases[0].phrase
    assert word in plain
    assert phrase in plain
    edits = check_edits(
        {"favourite_phrases": ["Ship it"], "dropped_phrases": [phrase], "forbidden_phrases": [word],
         "emoji": "never", "hashtags": "often", "opening": "with a scene", "length": "shorter", "note": "No hype"}
    )  # fmt: skip
    edited = Voice(profile, edits).guide("post")
    assert phrase not in edited
    assert f"Never say “{word}”." in edited
    for rule in ("“Ship it”", "Open: with a scene.", "No emoji.", "Hashtags often.", "Write shorter", "No hype."):
        assert rule in edited
    assert Voice(profile).guide("code") == ""
    system = messages("Ada", "linkedin_post", "Write.", voice=edited)[0]["content"]
    assert system.startswith("You are Ada.")
    assert system.endswith(edited)
    assert len(plain) < 1_500


def twin(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["voice", *arguments])
    if done.exception is not None:
        raise done.exception
    return done.stdout


def test_the_command_line_shows_sets_edits_and_resets(ada, monkeypatch, tmp_path):
    assert "has not been measured yet" in twin("show", AUTHOR.id)
    save_profile(ada, AUTHOR.id, build_profile(documents(ROWS)))
    twin("set", AUTHOR.id, "emoji", "never")
    twin("set", AUTHOR.id, "forbidden_phrases", "leverage", "synergy")
    twin("set", AUTHOR.id, "forbidden_phrases", "--add", "leverage", "hype")
    twin("set", AUTHOR.id, "forbidden_phrases", "--remove", "synergy")
    shown = json.loads(twin("show", AUTHOR.id, "--json"))
    assert shown["edits"]["forbidden_phrases"] == ["leverage", "hype"]
    assert "No emoji." in shown["guides"]["post"]
    assert "leverage, hype" in twin("show", AUTHOR.id)
    with pytest.raises(InputError, match="no field 'emojis'"):
        twin("set", AUTHOR.id, "emojis", "never")
    with pytest.raises(InputError, match="emoji: Input should be"):
        twin("set", AUTHOR.id, "emoji", "sometimes")

    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i \'s/"never"/"often"/\' "$1"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(editor))
    monkeypatch.delenv("VISUAL", raising=False)
    twin("edit", AUTHOR.id)
    assert load_edits(ada, AUTHOR.id).emoji == "often"
    editor.write_text('#!/bin/sh\necho "not JSON" > "$1"\n')
    with pytest.raises(InputError, match="is not JSON"):
        twin("edit", AUTHOR.id)
    assert load_edits(ada, AUTHOR.id).emoji == "often", "nothing was changed"
    twin("reset", AUTHOR.id)
    assert load_edits(ada, AUTHOR.id) == VoiceEdits()
