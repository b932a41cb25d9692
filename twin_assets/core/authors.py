"""Author and Source: who the twin is of and where they publish; kept as one JSON file per author."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from twin_assets.core.errors import BrokenFileError, UnknownAuthorError
from twin_assets.core.rules import GateRules, TrainingRules
from twin_assets.core.whole_files import write_whole

AUTHOR_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class Source(BaseModel):
    """One place an author publishes.

    platform: a key of the source registry, e.g. "medium"; location: a URL, a handle or a path;
    api_url: base address of the platform's API where it is not the public one (GitHub Enterprise, tests).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    platform: str
    location: str
    api_url: str | None = None

    @property
    def key(self) -> str:
        """Stable name of this source among an author's sources."""
        return f"{self.platform}:{self.location}"


class Author(BaseModel):
    """A person the deployment keeps a twin of, with the settings that are theirs alone (None: the deployment's)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    name: str
    names: tuple[str, ...] = Field(default=(), description="other names the author signs with")
    sources: tuple[Source, ...] = ()
    base_model: str | None = None
    approval: str | None = Field(default=None, pattern="^(auto|manual)$")
    contacts: tuple[str, ...] = Field(
        default=(), description="the author's own published e-mail addresses and phone numbers, which are not redacted"
    )
    schedule: str | None = Field(default=None, description="cron expression of automatic collection; None: off")
    gate: GateRules = Field(default_factory=GateRules, description="rules of the gate that are this author's own")
    training: TrainingRules = Field(default_factory=TrainingRules, description="likewise, when training starts")

    @field_validator("id")
    @classmethod
    def _check_id(cls, value: str) -> str:
        if not AUTHOR_ID.fullmatch(value):
            raise ValueError(f"author id {value!r} must be lower-case letters, digits and hyphens (at most 63)")
        return value


class AuthorStore:
    """Authors as JSON files in a folder; each write is a rename, so a reader never sees half a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def ids(self) -> list[str]:
        """Ids of all authors, whether or not their files can be read."""
        return [path.stem for path in sorted(self.folder.glob("*.json"))]

    def list(self) -> list[Author]:
        """All authors, by id."""
        return [self._read(path) for path in sorted(self.folder.glob("*.json"))]

    def get(self, author_id: str) -> Author:
        """The author with this id; raises UnknownAuthorError."""
        path = self._path(author_id)
        if not path.is_file():
            known = ", ".join(sorted(p.stem for p in self.folder.glob("*.json"))) or "none yet"
            raise UnknownAuthorError(
                f"There is no author {author_id!r} (known: {known}); add one with `twin author add {author_id}`."
            )
        return self._read(path)

    def save(self, author: Author) -> None:
        """Write the author, replacing what was there."""
        write_whole(self._path(author.id), author.model_dump_json(indent=2, exclude_none=True) + "\n")

    def add_source(self, author_id: str, source: Source) -> Author:
        """Add a source to an author (nothing happens if it is there already) and return the author."""
        with self.changing(author_id) as author:
            if source in author.sources:
                return author
            kept = tuple(s for s in author.sources if s.key != source.key)
            author = author.model_copy(update={"sources": (*kept, source)})
            self.save(author)
            return author

    @contextmanager
    def changing(self, author_id: str) -> Iterator[Author]:
        """The author as they are now, with nobody else changing them meanwhile: of two changes at once none is lost."""
        from filelock import FileLock

        path = self._path(author_id)
        self.get(author_id)  # no lock is left behind for somebody who is not there
        with FileLock(path.with_suffix(".lock")):
            yield self.get(author_id)

    def _path(self, author_id: str) -> Path:
        if not AUTHOR_ID.fullmatch(author_id):
            raise UnknownAuthorError(
                f"{author_id!r} is not an author id; ids are lower-case letters, digits and hyphens."
            )
        return self.folder / f"{author_id}.json"

    @staticmethod
    def _read(path: Path) -> Author:
        try:
            return Author.model_validate(json.loads(path.read_text(encoding="utf-8")))
        except (json.JSONDecodeError, ValidationError) as error:
            raise BrokenFileError(f"The author file {path} is unreadable ({error}); correct or remove it.") from error
