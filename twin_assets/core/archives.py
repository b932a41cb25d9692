"""Reading an export (a ZIP, an unpacked folder, one file of it) without trusting it.

Nothing is ever unpacked to disk. Refused: encrypted or damaged files, entries that point outside (absolute, "..",
drive letters), links, and what unpacks to far more than an export of text does.
"""

import re
import stat
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Self

from twin_assets.core.errors import InputError

MAXIMUM_ENTRIES = 500_000
MAXIMUM_ENTRY = 256_000_000  # bytes of one entry that is read
MAXIMUM_RATIO = 200  # unpacked to packed; texts reach 5 to 20, deflate's end is 1,032
RATIO_FREE = 1_000_000  # bytes below which an entry's ratio says nothing
SINGLE_FILES = (".csv", ".js", ".html")  # a file of an export, given alone
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

    def read(self, name: str) -> bytes:
        """One file's bytes."""
        if self._sizes[name] > MAXIMUM_ENTRY:
            raise self._bad(f"holds {name!r} of {self._sizes[name] / 1e6:,.0f} MB, larger than an export's texts")
        if self._zip is None:
            return (self._root / name).read_bytes()
        try:
            with self._zip.open(name) as entry:
                return entry.read(MAXIMUM_ENTRY)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
            raise self._bad(f"is damaged at {name!r} ({error}); download it again") from error

    def text(self, name: str) -> str:
        """One file as text: UTF-8, a byte order mark dropped, bytes that are not UTF-8 replaced."""
        return self.read(name).decode("utf-8-sig", "replace")

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


def pack(path: Path, target: Path, keep: Callable[[str], bool] = lambda _: True) -> None:
    """Write a folder, or a single file, as a ZIP; the same contents give the same bytes."""
    root = path if path.is_dir() else path.parent
    files = sorted(root.rglob("*")) if path.is_dir() else [path]
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in files:
            name = file.relative_to(root).as_posix()
            if file.is_file() and not file.is_symlink() and keep(name):
                entry = zipfile.ZipInfo(name, (2000, 1, 1, 0, 0, 0))
                entry.compress_type = zipfile.ZIP_DEFLATED
                packed.writestr(entry, file.read_bytes())
