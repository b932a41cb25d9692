"""Drafts are ranked by what can be checked, with reasons."""

from typing import Any

from twin_serving.composing.ranking import ranked, value


def draft(kind: str = "model", variant: int = 0, **changes: Any) -> dict[str, Any]:
    made = {
        "kind": kind, "variant": variant, "rank": None, "reasons": [],
        "sentences": [{"status": "supported"}] * changes.pop("backed", 4)
        + [{"status": "unsupported"}] * changes.pop("bare", 0),
        "scores": {"voice": 60.0, "novelty": 0.8},
        "checks": [{"name": "length", "passed": True, "message": "700 of 3,000 characters."}],
    }  # fmt: skip
    for name in ("voice", "novelty"):
        if name in changes:
            made["scores"][name] = changes.pop(name)
    return made | changes


def test_support_counts_most_and_is_told() -> None:
    good, bad = draft(voice=50.0), draft(variant=1, backed=1, bare=3, voice=90.0)
    first, second = ranked([bad, good], assembled_first=False)
    assert (first, second) == (good, bad)
    assert (first["rank"], second["rank"]) == (1, 2)
    assert first["reasons"][0] == "Every sentence has its source."
    assert any("Voice 90" in reason for reason in second["reasons"])


def test_what_must_not_be_posted_stands_behind() -> None:
    over = draft(checks=[{"name": "length", "passed": False, "message": "3,300 characters; too many."}], voice=100.0)
    poor = draft(variant=1, backed=0, bare=4, voice=0.0, novelty=0.0)
    assert ranked([over, poor], assembled_first=False)[0] is poor
    assert "3,300 characters; too many." in over["reasons"]


def test_a_nanos_drafts_stand_behind_the_assembled_ones() -> None:
    nano, assembled = draft(novelty=1.0, voice=100.0), draft("assembled", novelty=0.1)
    assert [each["kind"] for each in ranked([nano, assembled], assembled_first=True)] == ["assembled", "model"]
    assert [each["kind"] for each in ranked([assembled, nano], assembled_first=False)] == ["model", "assembled"]


def test_equal_drafts_keep_their_order_and_a_draft_without_sentences_is_worth_least() -> None:
    one, two = draft(), draft(variant=1)
    assert ranked([two, one], assembled_first=False) == [one, two]
    assert value(draft(backed=0)) < value(one)
