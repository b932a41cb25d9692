"""Clients of the serving API: who may ask, about which authors, for what and how often; kept as `<home>/clients.json`.

A key is shown once, when it is made; the file holds its SHA-256 alone. 256 random bits need no slow hash.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from twin_assets.core.authors import AUTHOR_ID
from twin_assets.core.errors import BrokenFileError, InputError
from twin_assets.core.whole_files import write_whole

Level = Literal["read", "write", "admin"]
# Each may do what those before it may.
LEVELS: tuple[Level, ...] = ("read", "write", "admin")
EVERYONE = "*"
KEY_PREFIX = "twin_"
KEY_BYTES = 32
NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")


class Client(BaseModel):
    """One client. authors: ids, or EVERYONE; requests_per_minute 0: no limit; digest: SHA-256 of the key, in hex."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    authors: tuple[str, ...]
    may: Level
    requests_per_minute: int = Field(ge=0)
    created_at: datetime
    digest: str = Field(repr=False, pattern="^[0-9a-f]{64}$")

    def may_see(self, author: str) -> bool:
        """Whether the client may ask about this author at all."""
        return EVERYONE in self.authors or author in self.authors


_FILE = TypeAdapter(list[Client])


class ClientStore:
    """The clients of a deployment. Safe to share between threads; what another process changes is seen at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read: tuple[tuple[int, int, int] | None, tuple[Client, ...]] = (None, ())

    def list(self) -> tuple[Client, ...]:
        """All clients, by name. Raises BrokenFileError where the file is there and cannot be read."""
        try:
            # Every change is a new file: its inode tells, also within one tick of the clock.
            state = self.path.stat()
        except FileNotFoundError:
            return ()
        mark = (state.st_ino, state.st_mtime_ns, state.st_size)
        if self._read[0] != mark:
            self._read = (mark, self._load())
        return self._read[1]

    def find(self, key: str) -> Client | None:
        """The client with this key. Every client's is compared, in constant time."""
        digest, found = digest_of(key), None
        for client in self.list():
            if hmac.compare_digest(client.digest, digest):
                found = client
        return found

    def add(
        self, name: str, authors: Sequence[str], may: Level = "read", requests_per_minute: int = 120
    ) -> tuple[Client, str]:
        """Make a client and return it with its key, which nothing tells again. Raises InputError."""
        if not NAME.fullmatch(name):
            raise InputError(f"{name!r} is no name of a client: use lower-case letters, digits, '-', '_' and '.'.")
        wrong = [author for author in authors if author != EVERYONE and not AUTHOR_ID.fullmatch(author)]
        if wrong or not authors:
            raise InputError(
                f"Say whose twin {name!r} may use: author ids, or '*' for all ({', '.join(wrong) or '-'})."
            )
        key = KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)
        client = Client(
            name=name, authors=tuple(sorted(set(authors))), may=may, requests_per_minute=requests_per_minute,
            created_at=datetime.now(UTC), digest=digest_of(key),
        )  # fmt: skip
        with self._changing() as clients:
            if any(other.name == name for other in clients):
                raise InputError(f"There is a client {name!r} already; remove it first, or take another name.")
            self._write([*clients, client])
        return client, key

    def remove(self, name: str) -> Client:
        """Take a client's key away; a running server knows it no more. Raises InputError."""
        with self._changing() as clients:
            found = next((client for client in clients if client.name == name), None)
            if found is None:
                known = ", ".join(client.name for client in clients) or "none"
                raise InputError(f"There is no client {name!r} (known: {known}).")
            self._write([client for client in clients if client.name != name])
        return found

    def _load(self) -> tuple[Client, ...]:
        try:
            return tuple(_FILE.validate_json(self.path.read_bytes()))
        except (OSError, ValidationError) as error:
            # Not pydantic's own words: they repeat what stands in the file.
            raise BrokenFileError(
                f"The file of clients {self.path} is unreadable ({type(error).__name__}); correct it, or remove it and "
                "make the keys anew with `twin key add`."
            ) from None

    def _write(self, clients: Sequence[Client]) -> None:
        ordered = sorted(clients, key=lambda client: client.name)
        # A temporary file, whose name the new one takes, is the owner's alone (0600).
        write_whole(self.path, _FILE.dump_json(ordered, indent=2).decode() + "\n")

    @contextmanager
    def _changing(self) -> "Iterator[tuple[Client, ...]]":
        from filelock import FileLock

        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path.with_suffix(".lock")):
            yield self.list()


def digest_of(key: str) -> str:
    """SHA-256 of a key, in hex: digests have one length, so that comparing them tells nothing of the keys'."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
