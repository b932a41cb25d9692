"""The voice score tells an author from strangers, on real writing."""

import numpy as np
import pytest
from training_corpus import AUTHOR, post_texts

from twin_assets.core.errors import ConfigurationError, TooLittleTextError
from twin_assets.core.voice import (
    Background,
    VoiceScorer,
    load_scorer,
    update_voice,
)
from twin_assets.core.voice_features import passages


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


def test_the_background_holds_numbers_and_leaves_the_author_out(scorer, shared_data):
    background = Background.load()
    assert set(background.authors) == {"voice_brandur", "voice_matklad", "voice_mtlynch"}
    assert len(scorer.impostors) == len(background.means)
    files = sorted((shared_data / "voice_matklad" / "content" / "posts").glob("*.dj"))[:30]
    fitted = VoiceScorer.fit([path.read_text(encoding="utf-8") for path in files])
    assert len(fitted.impostors) == len(background.without(["voice_matklad"]).means)


def test_saved_and_loaded(workspace):
    assert load_scorer(workspace, AUTHOR.id) is None
    fitted = update_voice(workspace, AUTHOR.id, post_texts())
    loaded = load_scorer(workspace, AUTHOR.id)
    assert loaded.score(post_texts()[0]) == fitted.score(post_texts()[0])
    assert fitted.score("").score == 0
    path = workspace.settings.home / "profiles" / "demo.voice.npz"
    path.write_bytes(b"broken")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_scorer(workspace, AUTHOR.id)


def test_too_little_text():
    with pytest.raises(TooLittleTextError, match="takes 1,000"):
        VoiceScorer.fit(["A few words."])
