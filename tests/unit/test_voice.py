"""The voice score tells an author from strangers, on real writing."""

import re

import numpy as np
import pytest
from training_corpus import AUTHOR, post_texts

from twin_assets.core.errors import ConfigurationError, TooLittleTextError
from twin_assets.core.voice import (
    Background,
    VoiceScorer,
    load_scorer,
    same_person,
    update_voice,
)
from twin_assets.core.voice_explanation import habits
from twin_assets.core.voice_features import distorted, passages, vectors


@pytest.fixture(scope="module")
def scorer():
    return VoiceScorer.fit(post_texts()[::2])


def test_own_unseen_writing_scores_high_and_a_strangers_low(scorer, shared_data):
    own = [scorer.score(text).score for text in passages(post_texts()[1::2], 100)]
    path = shared_data / "linkedin_export_sanand" / "Shares.csv"
    stranger = passages([path.read_text(encoding="utf-8")], 100)[:60]
    strangers = [scorer.score(text).score for text in stranger]
    assert np.mean(own) > 70
    assert np.mean(strangers) < 30
    above = np.mean([[mine > theirs for theirs in strangers] for mine in own])
    assert above > 0.9  # area under the curve


def test_style_flattened_scores_lower(scorer):
    kept = passages(post_texts()[1::2], 100)
    flat = ["".join(c for c in text.lower() if c.isalnum() or c in " .,") for text in kept]
    assert np.mean([scorer.score(t).score for t in flat]) < np.mean([scorer.score(t).score for t in kept]) - 5


def test_own_unseen_writing_averages_near_100_before_clipping(scorer):
    own = [scorer.score(text).unclipped for text in passages(post_texts()[1::2], 100)]
    assert 80 < np.mean(own) < 120


def test_a_topic_without_its_words_is_no_voice():
    known = frozenset({"the", "is"})
    assert distorted("The parser is 42 times faster.", known) == distorted("The budget is 17 weeks older.", known)


def test_the_background_holds_many_authors_and_leaves_the_author_out(scorer, shared_data):
    background = Background.load()
    assert len(set(background.authors)) >= 15
    assert len(scorer.impostors) == len(background.means)
    files = sorted((shared_data / "voice_matklad" / "content" / "posts").glob("*.dj"))[:30]
    texts = [path.read_text(encoding="utf-8") for path in files]
    mean = vectors(passages(texts, 200)[:40], background.measure).mean(axis=0)
    assert same_person(mean, background) == {"voice_matklad"}
    assert "voice_matklad" not in background.without(["voice_matklad"]).authors


def test_saved_and_loaded(workspace):
    texts = post_texts()[:60]
    assert load_scorer(workspace, AUTHOR.id) is None
    fitted = update_voice(workspace, AUTHOR.id, texts)
    loaded = load_scorer(workspace, AUTHOR.id)
    assert loaded.score(texts[0]) == fitted.score(texts[0])
    assert fitted.score("").score == 0
    path = workspace.settings.home / "profiles" / "demo.voice.npz"
    path.write_bytes(b"broken")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_scorer(workspace, AUTHOR.id)
    assert update_voice(workspace, AUTHOR.id, texts).score(texts[0]) == loaded.score(texts[0])


def test_too_little_text():
    with pytest.raises(TooLittleTextError, match="takes 1,000"):
        VoiceScorer.fit(["A few words."])


def test_what_is_said_to_raise_the_score_does(scorer):
    for text in passages(post_texts()[1::2], 120)[:4]:
        explained = scorer.explain(text, most=3)
        assert 0 < len(explained.raises) <= 3
        assert 0 < len(explained.lowers) <= 3
        assert all(reason.points > 0 for reason in explained.raises)
        assert explained.raises == sorted(explained.raises, key=lambda reason: -reason.points)
        before = scorer.margins([text])[0]
        for reasons, sign in ((explained.raises, 1), (explained.lowers, -1)):
            for phrase in [found.group(1) for r in reasons if (found := re.match("“(.+)”", r.what))]:
                assert phrase in text
                without = re.sub(rf"\b{re.escape(phrase)}\b ?", "", text, flags=re.IGNORECASE)
                assert sign * (before - scorer.margins([without])[0]) > 0


def test_habits_are_named_in_words(scorer):
    changed = dict(habits("I don't know. It is late!\n\nWhy? 🚀 Because (as always) we waited — again."))
    assert changed["contractions (don't)"].startswith("I do not know.")
    assert "It's late" in changed["no contraction in It is"]
    assert "🚀" not in changed["emoji (🚀)"]
    assert "\n" not in changed["line breaks (2 paragraphs)"]
    assert changed["asides in brackets"].endswith("Because we waited — again.")
    assert scorer.explain("").raises == []
