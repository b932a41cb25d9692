"""understand(): what a question restricts itself to, by rules, in English: when, on which platform, what kind of text.

"what I wrote on GitHub last year" asks for everything of GitHub and of a year; "what do I think of GitHub Copilot" asks
about GitHub. So a platform counts after a word of place ("on Substack") or of kind ("my tweets"), not by its name.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from twin_assets.core.embedding import STOP_WORDS
from twin_assets.core.index import SearchFilter
from twin_assets.core.retrieval.dates import find_period

EVERYTHING = SearchFilter()
# What says nothing about the subject of a question; a question of such words alone is searched as it stands.
FRAME = STOP_WORDS | frozenset(
    """anything article articles blog ever everything find give list please post posted posts publish published said
    say saying search show something tell text texts thing things think thought thoughts tweet tweets write writing
    written wrote""".split()  # noqa: SIM905 (a list a line)
)


@dataclass(frozen=True, slots=True)
class Question:
    """A question as it is searched.

    text: what to look for; where, categories (None: all): what the question restricts itself to; recent: whether it
    asks for what is new; understood: one phrase for each restriction, to be shown; expansions: other words for it.
    """

    text: str
    where: SearchFilter = EVERYTHING
    categories: tuple[str, ...] | None = None
    recent: bool = False
    understood: tuple[str, ...] = ()
    expansions: tuple[str, ...] = ()

    @property
    def restricted(self) -> bool:
        """Whether it restricts itself to part of what was written."""
        return self.where != EVERYTHING or self.categories is not None


# A name that goes on ("on GitHub Actions", "on Medium heat") is a subject, not a place.
_ENDS = (
    r"(?=\s*(?:$|[.,;:?!)\"]|\b(?!(?-i:[A-Z]))(?:about|and|or|in|on|at|of|for|from|to|with|since|before|after|during"
    r"|last|this|between|until|where|when|that|which|how|why|did|do|have|is|are|was|were|i|we|posts?|articles?"
    r"|repos?\w*|code|\d)))"
)
_PLATFORM_NAMES = {
    "github": "(?-i:GitHub|Github|github)", "gitlab": "(?-i:GitLab|Gitlab|gitlab)", "linkedin": "linked ?in",
    "medium": "(?-i:Medium)", "substack": "substack", "x": "(?:(?-i:X)|twitter)",
}  # fmt: skip
_PLACES = {
    platform: re.compile(rf"\b(?:on|from|in|to)\s+(?:my\s+)?(?:{name})(?:\.com)?\b{_ENDS}", re.IGNORECASE)
    for platform, name in _PLATFORM_NAMES.items()
}
_KINDS_OF_PLATFORM = {
    platform: re.compile(
        rf"\b(?:my|all|any|which|what|the)\s+(?:{name})\s+(?:posts?|articles?|stor(?:y|ies)|notes?|repos?(?:itor(?:y|ies))?"
        r"|code|projects?|threads?|newsletters?|updates?)\b",
        re.IGNORECASE,
    )
    for platform, name in _PLATFORM_NAMES.items()
}
_TWEETS = re.compile(r"\b(?:my\s+)?tweet(?:s|ed|ing)?\b", re.IGNORECASE)
_KINDS = {
    "article": r"\b(?:in\s+)?(?:my|which|what|all|any)\s+(?:long\s+)?(?:articles?|essays?|blog ?posts?|newsletters?)\b",
    "code": r"\b(?:in\s+)?my\s+(?:source\s+)?code\b|\bcode\s+(?:that|which|i)\b|\bwhich\s+repo(?:sitory)?\b"
    r"|\b(?:functions?|scripts?|class(?:es)?|methods?)\s+(?:that\s+)?i\s+(?:wrote|have|made)\b",
    "post": r"\b(?:in\s+)?my\s+(?:short|social(?: media)?)\s+posts?\b|\bmy\s+(?:posts|updates)\b",
}
_LANGUAGES = {
    "english": "en", "german": "de", "french": "fr", "spanish": "es", "italian": "it", "dutch": "nl",
    "portuguese": "pt", "polish": "pl", "russian": "ru", "turkish": "tr", "chinese": "zh", "japanese": "ja",
}  # fmt: skip
_LANGUAGE = re.compile(
    rf"\b(?:wr(?:o|i)te|written|writing|posts?|posted|articles?|published|texts?)\s+in\s+({'|'.join(_LANGUAGES)})\b",
    re.IGNORECASE,
)
_RECENT = re.compile(r"\b(?:recent(?:ly)?|lately|latest|newest|most recent|these days)\b", re.IGNORECASE)


def understand(question: str, now: datetime | None = None) -> Question:
    """Read the restrictions out of a question; what said so is not looked for itself, if that leaves a subject.

    now: what "last year" is counted from (default: this moment).
    """
    found = list(_restrictions(question, now or datetime.now(UTC)))
    result, rest = Question(question), question
    for part in found:
        result = _merge(result, part.restriction)
        rest = rest.replace(question[part.start : part.stop], " ", 1)
    rest = " ".join(rest.split()).strip(" ,;:")
    has_subject = any(word not in FRAME for word in re.findall(r"[\w-]+", rest.lower()))
    result = replace(result, understood=phrases(result.where, result.categories, result.recent))
    return replace(result, text=rest) if has_subject else result


@dataclass(frozen=True, slots=True)
class _Found:
    """One restriction, and the words that said so: `question[start:stop]`."""

    restriction: Question
    start: int
    stop: int


def _restrictions(question: str, now: datetime) -> Iterator[_Found]:
    if period := find_period(question, now):
        where = SearchFilter(published_from=period.begin, published_until=period.end)
        yield _Found(Question("", where), period.start, period.stop)
    for platform in _PLATFORM_NAMES:
        match = _PLACES[platform].search(question) or _KINDS_OF_PLATFORM[platform].search(question)
        if platform == "x" and match is None:
            match = _TWEETS.search(question)
        if match:
            yield _Found(Question("", SearchFilter((platform,))), match.start(), match.end())
    for category, pattern in _KINDS.items():
        if match := re.search(pattern, question, re.IGNORECASE):
            yield _Found(Question("", categories=(category,)), match.start(), match.end())
    if match := _LANGUAGE.search(question):
        where = SearchFilter(languages=(_LANGUAGES[match[1].lower()],))
        yield _Found(Question("", where), match.start(), match.end())
    if match := _RECENT.search(question):
        yield _Found(Question("", recent=True), match.start(), match.end())


def _merge(question: Question, other: Question) -> Question:
    """Both restrictions: of several platforms or kinds each counts, of dates and platforms all."""
    where = SearchFilter(
        platforms=(*question.where.platforms, *other.where.platforms),
        published_from=other.where.published_from or question.where.published_from,
        published_until=other.where.published_until or question.where.published_until,
        languages=(*question.where.languages, *other.where.languages),
    )
    kinds = (*(question.categories or ()), *(other.categories or ())) or None
    return replace(question, where=where, categories=kinds, recent=question.recent or other.recent)


def phrases(
    where: SearchFilter = EVERYTHING, categories: tuple[str, ...] | None = None, recent: bool = False
) -> tuple[str, ...]:
    """One phrase for each restriction, to be shown."""
    found = []
    if where.published_from or where.published_until:
        found.append(_dates(where.published_from, where.published_until))
    found += [f"on {platform}" for platform in where.platforms]
    found += ["code" if category == "code" else f"{category}s" for category in categories or ()]
    found += [f"in language {language}" for language in where.languages]
    return (*found, "recent") if recent else tuple(found)


def _dates(begin: datetime | None, end: datetime | None) -> str:
    """The days from the first to the last in words."""
    first = f"{begin:%Y-%m-%d}" if begin else ""
    last = f"{end - timedelta(days=1):%Y-%m-%d}" if end else ""
    if first and last:
        return f"published {first} to {last}" if first != last else f"published {first}"
    return f"published since {first}" if first else f"published until {last}"
