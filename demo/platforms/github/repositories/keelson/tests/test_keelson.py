"""The cases that once cost us a night, kept so that they cost nobody another one."""

import sqlite3

import pytest
from keelson import Counted, NotSorted, Rule, Watermark, compare, same_weekday_alarm, split


def test_a_crash_leaves_the_mark_where_it_was():
    connection = sqlite3.connect(":memory:")
    with Watermark(connection, "returns", overlap_seconds=0) as mark:
        mark.advance_to(100.0)
    with pytest.raises(RuntimeError), Watermark(connection, "returns", overlap_seconds=0) as mark:
        mark.advance_to(200.0)
        raise RuntimeError("power cut")
    with Watermark(connection, "returns", overlap_seconds=0) as mark:
        assert mark.start == 100.0


def test_ghosts_are_found():
    difference = compare([("a", "1"), ("c", "3")], [("a", "1"), ("b", "2"), ("c", "9")])
    assert (difference.only_source, difference.only_target, difference.changed) == ([], ["b"], ["c"])


def test_an_unsorted_side_is_refused():
    with pytest.raises(NotSorted, match="target"):
        compare([("a", "1")], [("b", "1"), ("a", "1")])


def test_a_bicycle_from_utrecht_weighs_its_postcode():
    rule = Rule("weight is between 5 and 60 kg", lambda row: 5 <= row["weight_kg"] <= 60)
    good, bad = split([{"weight_kg": 22}, {"weight_kg": 3011}, {}], [rule])
    assert len(good) == 1
    assert [reasons[0].split(":")[0] for _, reasons in bad] == ["not true", "could not be checked"]


def test_the_ship_waits_for_a_name():
    counted = Counted("returns")
    counted.add(read=10, written=8, left_out=1)
    assert counted.missing == 1
    assert "1 have no name" in counted.sentence()


def test_a_short_history_keeps_quiet():
    assert same_weekday_alarm(5, [100, 100]) is None
    assert "-95%" in (same_weekday_alarm(5, [100, 100, 101]) or "")
