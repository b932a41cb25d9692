"""Exports as streams: what is read a piece at a time is what was written, and nothing larger than an export is read."""

import io
import json
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin_assets.core import archives
from twin_assets.core.archives import Archive, pack
from twin_assets.core.errors import InputError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


def zipped(path: Path, method: int = zipfile.ZIP_DEFLATED, **files: str | bytes) -> Path:
    with zipfile.ZipFile(path, "w", method) as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    return path


@settings(max_examples=60, deadline=None)
@given(
    st.lists(VALUES, max_size=6), st.integers(1, 50), st.sampled_from([None, 1]), st.sampled_from(["", " ;\n", "\n"])
)
def test_rows_come_one_by_one_wherever_the_reads_cut_them(rows, window, indent, end):
    text = io.StringIO("= " + json.dumps(rows, indent=indent) + end)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archives, "WINDOW", window + 2)  # the first read reaches the list
        assert list(archives._array(text)) == rows


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('= [{"a": 1}, {"a": 2', ""), ('= [{"a": 1}', ""), ("= {}", "holds no list"), ("", "holds no list"),
        ('= [{"a": 1}] and more', "something follows"), ("= [{'a': 1}]", ""), ("= [12", "breaks off"),
    ],
)  # fmt: skip
def test_a_list_that_is_cut_off_or_no_json_is_refused(tmp_path, text, problem):
    path = zipped(tmp_path / "x.zip", **{"data/tweets.js": text})
    with (
        Archive(path) as archive,
        pytest.raises(InputError, match=rf"x\.zip is damaged at .*{problem}.*; download it again"),
    ):
        list(archive.json_rows("data/tweets.js"))


def test_a_row_without_an_end_is_not_read_for_ever(monkeypatch):
    monkeypatch.setattr(archives, "MAXIMUM_ROW", 100_000)
    text = io.StringIO('= ["' + "x" * 3_000_000)
    with pytest.raises(ValueError, match="Unterminated"):
        list(archives._array(text))
    assert text.tell() < 500_000


def test_a_damaged_file_is_found_while_it_streams(tmp_path):
    rows = json.dumps([{"text": f"tweet {number}"} for number in range(40_000)])
    path = zipped(tmp_path / "x.zip", zipfile.ZIP_STORED, a="= " + rows)
    path.write_bytes(path.read_bytes().replace(b"tweet 39000", b"TWEET 39000"))
    with Archive(path) as archive, pytest.raises(InputError, match="is damaged at 'a'"):
        list(archive.json_rows("a"))


def test_bounds_hold_for_one_file_and_for_their_number(tmp_path, monkeypatch):
    path = zipped(tmp_path / "x.zip", zipfile.ZIP_STORED, a=b"x" * 5000, b=b"y" * 5000)
    with Archive(path) as archive:
        monkeypatch.setattr(archives, "MAXIMUM_WHOLE", 4999)
        with pytest.raises(InputError, match="holds 'a' of 0 MB, larger than"):
            archive.read("a")
        with archive.open("b") as file:
            assert file.read() == b"y" * 5000
        with pytest.raises(InputError, match="larger than"), archive.open("b", 4999):
            pass
    monkeypatch.setattr(archives, "MAXIMUM_ENTRIES", 1)
    with pytest.raises(InputError, match="lists 2 files, more than an export has"):
        Archive(path)


def test_files_that_share_their_packed_bytes_are_counted_together(tmp_path, monkeypatch):
    """A bomb of overlapping files: the ratio of each is modest, all together are the archive many times over."""
    monkeypatch.setattr(archives, "RATIO_FREE", 1000)
    path = zipped(tmp_path / "bomb.zip", a=json.dumps(list(range(5000))))
    Archive(path).__exit__()
    honest = zipfile.ZipFile.infolist
    monkeypatch.setattr(zipfile.ZipFile, "infolist", lambda self: honest(self) * 600)
    with pytest.raises(InputError, match="unpacks to far more than an export holds"):
        Archive(path)


def test_a_folder_is_packed_and_read_back_as_a_stream(tmp_path):
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "Shares.csv").write_bytes("\ufeffDate,Text\r\n1,é\r\n".encode() + b"2,\xff\n")
    pack(folder, tmp_path / "packed.zip")
    for path in (folder, tmp_path / "packed.zip", folder / "Shares.csv"):
        with Archive(path) as archive, archive.lines("Shares.csv") as lines:
            assert list(lines) == ["Date,Text\r\n", "1,é\r\n", "2,\ufffd\n"]
            assert archive.head("Shares.csv", 4) == "Date"
