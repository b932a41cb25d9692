"""One server's own copy of the demo's content, in memory: changes reach this server and nobody else."""

import time
from pathlib import Path

PLATFORMS = Path(__file__).resolve().parent / "platforms"


class Content:
    """Files by relative path, each with the time it last changed (epoch seconds).

    Raises FileNotFoundError where the folder is missing.
    """

    def __init__(self, folder: Path = PLATFORMS) -> None:
        if not folder.is_dir():
            raise FileNotFoundError(f"There is no demo content at {folder}: give the folder that holds the platforms.")
        self._bytes: dict[str, bytes] = {}
        self._changed: dict[str, float] = {}
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                name = path.relative_to(folder).as_posix()
                self._bytes[name] = path.read_bytes()
                self._changed[name] = path.stat().st_mtime

    def __contains__(self, name: str) -> bool:
        return name in self._bytes

    def __getitem__(self, name: str) -> bytes:
        return self._bytes[name]

    def get(self, name: str, default: bytes) -> bytes:
        """A file's bytes, or `default` where it is missing."""
        return self._bytes.get(name, default)

    def text(self, name: str) -> str:
        """A file as UTF-8 text; KeyError where it is missing."""
        return self._bytes[name].decode()

    def changed(self, name: str) -> float:
        """When a file last changed, in epoch seconds."""
        return self._changed[name]

    def under(self, prefix: str) -> dict[str, bytes]:
        """The files below a folder, by their path inside it."""
        start = prefix.rstrip("/") + "/"
        return {name.removeprefix(start): data for name, data in self._bytes.items() if name.startswith(start)}

    def write(self, name: str, data: bytes | str) -> None:
        """Add or replace a file. Its time moves by at least a second, the grain of HTTP's Last-Modified."""
        self._bytes[name] = data.encode() if isinstance(data, str) else data
        self._changed[name] = max(time.time(), self._changed.get(name, 0.0) + 1)

    def delete(self, name: str) -> None:
        """Remove a file; KeyError where it is missing."""
        del self._bytes[name]
