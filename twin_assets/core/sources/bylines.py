"""Telling the author's words from somebody else's by the names a document is signed with."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from unicodedata import combining, normalize

from twin_assets.core.authors import Author
from twin_assets.core.documents import RawDocument
from twin_assets.core.sources.quarantine import FOREIGN, Quarantine

_TITLES = frozenset(
    ("dr", "prof", "mr", "mrs", "ms", "mx", "sir", "phd", "md", "by", "von", "van", "de", "der", "den", "del", "di",
     "da", "la", "le", "el", "bin", "ibn", "jr", "sr")
)  # fmt: skip
# Words of what signs texts without being a person.
_NOBODY = frozenset(
    ("admin", "administrator", "editor", "editors", "editorial", "team", "staff", "desk", "newsroom", "redaktion",
     "redaction", "rédaction", "redacción", "guest", "contributor", "contributors", "the", "our", "my", "news",
     "press", "agency", "reuters", "associated", "blog", "journal", "magazine", "times", "post", "daily", "weekly",
     "media", "group", "inc", "ltd", "llc", "gmbh", "company", "university", "institute", "foundation", "project",
     "community", "podcast", "show", "studio", "studios", "network", "online", "digital", "official", "labs",
     "society", "association", "author", "authors", "anonymous", "unknown", "user", "writer", "writers",
     "publication", "review", "letter", "letters", "newsletter", "notes")
)  # fmt: skip


def judge_author(bylines: Iterable[str], author: Author) -> Quarantine | None:
    """Why a document is plainly somebody else's: signed with full names, none of which may be the author's.

    bylines: who the feed or the page says wrote it. Compared without case, accents, punctuation, titles and order. A
    missing byline, one that names nobody (a publication, "admin", a handle), one that shares the author's last name,
    and an author without a full name condemn nothing; one of several signatures is enough.
    """
    said = [person for byline in bylines for person in _persons(byline)]
    known = [name for name in names_of(author) if len(_parts(name)) > 1]
    if not said or not known or any(_may_be(byline, name) for byline in bylines for name in names_of(author)):
        return None
    return Quarantine(FOREIGN, foreign_remedy(said, author))


def foreign_remedy(said: Sequence[str], author: Author) -> str:
    """What to do about a document that is signed with these names, if they are the author's after all."""
    name = " ".join(re.sub(r"[^\w.'’-]", " ", said[0]).split())  # as it goes into a command, from whoever wrote it
    return (
        f"it is signed {', '.join(dict.fromkeys(said))}; if that is {author.name} too, say so with "
        f'`twin author add {author.id} --also-known-as "{name}"`, else nothing is to be done'
    )


def is_signed_by(byline: str, author: Author) -> bool:
    """Whether a byline is one of the author's names as a whole, in whatever case, accents and order of words."""
    return any(sorted(_parts(byline)) == sorted(_parts(name)) for name in names_of(author))


def names_of(author: Author) -> list[str]:
    """What a cursor keeps of the names: with others, what was read has to be judged again."""
    return [author.name, *author.names]


def held_if_foreign(document: RawDocument, bylines: Iterable[str], author: Author) -> RawDocument:
    """The document, held back where it is plainly somebody else's."""
    judged = judge_author(bylines, author)
    return document if judged is None else replace(document, quarantine=judged.reason, remedy=judged.remedy)


def _persons(byline: str) -> list[str]:
    """The full names of persons in a byline: two to five words in capitals, none of which signs for a house."""
    bare = re.sub(r"\S+@\S+|https?://\S+|\(.*?\)", " ", byline)
    found = []
    for part in re.split(r"[,;|/&]|\b(?:and|und|et)\b", bare):
        words = re.findall(r"[^\W\d_][\w'’.-]*", part)
        named = [word for word in words if word.lower().strip(".") not in _TITLES]
        house = any(word.lower().strip(".") in _NOBODY for word in words)
        if 2 <= len(named) <= 5 and not house and not any(word[0].islower() for word in named):
            found.append(" ".join(words))
    return found


def _parts(name: str) -> list[str]:
    """The words of a name, in lower case and without accents, addresses, punctuation and titles."""
    bare = re.sub(r"\S+@\S+|https?://\S+", " ", name)
    plain = "".join(char for char in normalize("NFKD", bare.casefold()) if not combining(char))
    return [part for part in re.findall(r"[^\W_]+", plain) if part not in _TITLES]


def _may_be(byline: str, name: str) -> bool:
    """Whether a byline may stand for a name: alone or beside others, in any order, shortened, or as a handle."""
    said, known = _parts(byline), _parts(name)
    if not said or not known:
        return False
    if set(known) <= set(said) or set(said) <= set(known) or "".join(known) in "".join(said):
        return True
    return known[-1] in said or said[-1] in known
