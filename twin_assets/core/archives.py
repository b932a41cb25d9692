"""Reading an export (a ZIP, an unpacked folder, one file of it) without trusting it.

Nothing is ever unpacked to disk, and tables and long files are read as streams: an export of gigabytes takes no more
memory than its longest post. Refused: encrypted or damaged files, entries that point outside (absolute, "..", drive
letters), links, and what unpacks to far more than an export of text does.
"""

import io
import json
import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Self

from twin_assets.core.errors import InputError

MAXIMUM_ENTRIES = 200_000  # a directory of so many takes about 120 MB
MAXIMUM_WHOLE = 32_000_000  # bytes of one file that is read whole: an article, a settings file
MAXIMUM_STREAM = 8_000_000_000  # bytes of one file that is read as a stream: a table
MAXIMUM_ROW = 16_000_000  # characters of one row of a JSON array
MAXIMUM_RATIO = 200  # unpacked to packed; texts reach 5 to 20, deflate's end is 1,032
RATIO_FREE = 1_000_000  # bytes below which an entry's ratio says nothing
BLOCK = 1 << 20  # bytes of one step of a copy
WINDOW = 1 << 16  # characters of JSON read at once
SINGLE_FILES = (".csv", ".js", ".html")  # a file of an export, given alone
_OPENING, _BETWEEN = re.compile(r"[^=\[]*=?\s*\["), re.compile(r"[\s,]*")
_OUTSIDE = re.compile(r"^([/\\]|[A-Za-z]:)|(^|[/\\])\.\.([/\\]|$)")


class Archive:
    """An opened export; names use "/", folders and macOS's `__MACOSX` are not listed. A context manager.

    Every method raises InputError, with what to do, where the export cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._zip: zipfile.ZipFile | None = None
        self._sizes: dict[str, int] = {}
        self._root = path
        if path.is_dir():
            self._list_folder()
        elif path.is_file() and path.suffix.lower() in SINGLE_FILES:
            self._root = path.parent
            self._sizes = {path.name: path.stat().st_size}
        elif path.is_file():
            self._list_zip()
        else:
            raise InputError(f"There is no file {path}; give the path of the export ZIP.")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._zip is not None:
            self._zip.close()

    @property
    def names(self) -> list[str]:
        """Every file's name, sorted."""
        return sorted(self._sizes)

    def find(self, pattern: str) -> list[str]:
        """Names whose end matches a pattern, whatever folder they are in and whatever their case, sorted."""
        wanted = re.compile(rf"(?:^|.*/)(?:{pattern})", re.IGNORECASE)
        return [name for name in self.names if wanted.fullmatch(name)]

    @contextmanager
    def open(self, name: str, most: int = MAXIMUM_STREAM) -> Iterator[IO[bytes]]:
        """One file's bytes as a stream of at most `most`; what the caller's reading finds damaged is an InputError."""
        if self._sizes[name] > most:
            raise self._bad(f"holds {name!r} of {self._sizes[name] / 1e6:,.0f} MB, larger than an export's texts")
        if self._zip is None:
            with (self._root / name).open("rb") as file:
                yield file
            return
        try:
            with self._zip.open(name) as entry:
                yield entry
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
            raise self._bad(f"is damaged at {name!r} ({error}); download it again") from error

    @contextmanager
    def lines(self, name: str) -> Iterator[io.TextIOWrapper]:
        """One file as a stream of text, line ends as they are; decoded as text() does."""
        with self.open(name) as file, io.TextIOWrapper(file, "utf-8-sig", "replace", newline="") as text:
            yield text

    def read(self, name: str) -> bytes:
        """One file's bytes, whole: for what is small by its nature."""
        with self.open(name, MAXIMUM_WHOLE) as file:
            return file.read()

    def text(self, name: str) -> str:
        """One file as text, whole: UTF-8, a byte order mark dropped, bytes that are not UTF-8 replaced."""
        return self.read(name).decode("utf-8-sig", "replace")

    def head(self, name: str, characters: int = 5000) -> str:
        """How a file begins."""
        with self.lines(name) as text:
            return text.read(characters)

    def json_rows(self, name: str) -> Iterator[Any]:
        """The elements of the first JSON array of a file (`window.YTD.tweets.part0 = [...]`), one at a time."""
        with self.lines(name) as text:
            try:
                yield from _array(text)
            except ValueError as error:
                raise self._bad(f"is damaged at {name!r} ({error}); download it again") from error

    def _list_folder(self) -> None:
        for path in sorted(self.path.rglob("*")):
            if path.is_file() and not path.is_symlink():
                self._sizes[path.relative_to(self.path).as_posix()] = path.stat().st_size

    def _list_zip(self) -> None:
        try:
            self._zip = zipfile.ZipFile(self.path)
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise self._bad(f"is no ZIP file or is cut off ({error}); give the export as it was downloaded") from error
        entries = self._zip.infolist()
        if len(entries) > MAXIMUM_ENTRIES:
            raise self._bad(f"lists {len(entries):,} files, more than an export has")
        # Entries that overlap share their packed bytes, so that the ratio of each says nothing of them together.
        unpacked = sum(entry.file_size for entry in entries)
        if unpacked > max(100 * RATIO_FREE, MAXIMUM_RATIO * self.path.stat().st_size):
            raise self._bad("unpacks to far more than an export holds; it was not opened")
        for entry in entries:
            self._check(entry)
            if not entry.is_dir() and not entry.filename.startswith("__MACOSX/"):
                self._sizes[entry.filename] = entry.file_size

    def _check(self, entry: zipfile.ZipInfo) -> None:
        if _OUTSIDE.search(entry.filename):
            raise self._bad(f"holds {entry.filename!r}, which points outside it; no platform makes such exports")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise self._bad(f"holds the link {entry.filename!r}; no platform makes such exports")
        if entry.flag_bits & 1:
            raise self._bad("is protected by a password; unlock it first")
        if entry.file_size > max(RATIO_FREE, MAXIMUM_RATIO * entry.compress_size):
            raise self._bad(f"unpacks {entry.filename!r} to far more than an export holds; it was not opened")

    def _bad(self, what: str) -> InputError:
        return InputError(f"{self.path.name} {what}.")


def _array(text: io.TextIOBase) -> Iterator[Any]:
    """Elements of a JSON array, decoded as far as they are read; raises ValueError where it breaks off.

    Not by ijson: its yajl turns a half of a surrogate pair, which cut-off tweets hold, into other characters, and it
    is no faster (both 124 MB/s).
    """
    decode = json.JSONDecoder().raw_decode
    window = text.read(WINDOW)
    opening = _OPENING.match(window)
    if opening is None:
        raise ValueError("it holds no list")
    place, size = opening.end(), WINDOW
    while True:
        try:
            place = _BETWEEN.match(window, place).end()  # type: ignore[union-attr]  # it matches the empty string
            if window.startswith("]", place):
                break
            row, end = decode(window, place)
            if end == len(window):
                raise ValueError("it breaks off")  # or goes on in what is not read yet
        except ValueError:
            more = text.read(size)
            window, place, size = window[place:] + more, 0, min(2 * size, MAXIMUM_ROW)
            if not more or len(window) > 2 * MAXIMUM_ROW:
                raise
            continue
        place, size = end, WINDOW
        yield row
    rest = window[place + 1 :]
    while rest:  # to the end, so that the sum over the file is checked
        if rest.strip(" \r\n\t;"):
            raise ValueError("something follows its list")
        rest = text.read(WINDOW)


def pack(path: Path, target: Path) -> None:
    """Write a folder, or a single file, as a ZIP; the same contents give the same bytes."""
    root = path if path.is_dir() else path.parent
    files = sorted(root.rglob("*")) if path.is_dir() else [path]
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in files:
            name = file.relative_to(root).as_posix()
            if file.is_file() and not file.is_symlink():
                entry = zipfile.ZipInfo(name, (2000, 1, 1, 0, 0, 0))
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.file_size = file.stat().st_size  # so that what is over 2 GB is written as such
                with file.open("rb") as source, packed.open(entry, "w") as copy:
                    shutil.copyfileobj(source, copy, BLOCK)
