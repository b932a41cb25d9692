"""Numbers, names, dates and addresses of a text, and which of them stand in no source.

A fact is compared as what it means, as far as a spelling tells: 1,200 and 1200, 10k and 10,000, 4 and four, 03 and 3,
Amina's and Amina. What is flagged should be worth a look, so a capital alone makes no name: not at the start of a
sentence, in a heading, of a word that is also written small, nor in languages that write nouns with one.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from twin_assets.core.sentences import split_sentences
from twin_serving.assembling.leaning import STOP_WORDS, plain

_LINK = re.compile(r"https?://[^\s)>\]”’\"']+")
_NUMBER = re.compile(
    r"(?<![\w#])[$€£]?(\d+(?:[.,\u202f']\d+)*)(?:\s?(k|m|bn|thousand|million|billion)\b)?", re.IGNORECASE
)
_GROUPED = re.compile(r"(?<=\d)[,.\u202f'](?=\d{3}(?!\d))")
_TIMES = {"k": 1e3, "thousand": 1e3, "m": 1e6, "million": 1e6, "bn": 1e9, "billion": 1e9}
_UP_TO_TWENTY = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
_COUNTED = {word: str(number) for number, word in enumerate(_UP_TO_TWENTY.split())} | {
    "thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "seventy": "70", "eighty": "80", "ninety": "90",
    "hundred": "100", "thousand": "1000", "half": "50", "third": "3", "dozen": "12", "twice": "2", "once": "1",
}  # fmt: skip
_MARKER = re.compile(r"^\W*(?:\(?\d{1,2}[.)](?=\s)|\(?\d{1,2}/\d{0,2}\)?(?=\s|$))")
_ISO_DATE = re.compile(r"\b\d{4}-(\d{2})-\d{2}")
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_WORD = re.compile(r"[^\W\d_][\w’'&.-]*[\w]|[^\W\d_]")
_POSSESSIVE = re.compile(r"['’]s?$")
# Between two words of a sentence, where something begins: behind a colon, a dash, a quote, a bracket.
_BEGINS = re.compile(r"\s*(?:[:…—–(\[“\"‘*_>|/]|[.!?]\s)\W*")
# In a text with so many capitals inside its sentences they mark nouns, or it is a heading.
MOST_CAPITALS = 0.3
LONGEST_ACRONYM = 4


@dataclass(frozen=True, slots=True)
class Grounds:
    """What sources say: numbers, words written with a capital, words written small, addresses."""

    numbers: frozenset[str]
    names: frozenset[str]
    small: frozenset[str]
    links: frozenset[str]

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Grounds":
        """Of these texts."""
        whole = plain("\n".join(texts))
        words = [_bare(word) for match in _WORD.finditer(whole) for word in _parts(match.group())]
        names = {word for word in words if word[:1].isupper()}
        names |= {_MONTHS[int(month) - 1] for month in _ISO_DATE.findall(whole) if 1 <= int(month) <= 12}
        small = {word for word in words if word.islower()}
        counted = {number for word, number in _COUNTED.items() if word in small or word.capitalize() in names}
        links = {_address(link) for link in _LINK.findall(whole)}
        return cls(frozenset(numbers_in(whole) | counted), frozenset(names), frozenset(small), frozenset(links))

    def unfounded(self, text: str) -> list[str]:
        """The facts of a text that stand in none of the sources, as it spells them."""
        text = plain(text)
        links = [link for link in _LINK.findall(text) if _address(link) not in self.links]
        rest = _LINK.sub(" ", text)
        numbers = [shown for shown, meant in _numbers(rest) if meant not in self.numbers]
        return list(dict.fromkeys([*links, *numbers, *self._names(rest)]))

    def _names(self, text: str) -> list[str]:
        found: list[str] = []
        own = {word for match in _WORD.finditer(text) for word in _parts(match.group()) if word.islower()}
        for line in text.split("\n"):
            for sentence in split_sentences(line):
                matches = list(_WORD.finditer(sentence.text))
                words = [match.group() for match in matches]
                inside = [
                    word.group() for before, word in pairwise(matches)
                    if not _BEGINS.fullmatch(sentence.text, before.end(), word.start())
                ]  # fmt: skip
                if sum(word[0].isupper() for word in inside) > max(2, MOST_CAPITALS * len(words)):
                    continue
                # A name at the start is told by the one that follows it, or by what belongs to it.
                named = bool(inside) and inside[0] == words[1] and words[1][0].isupper()
                if named or (words and words[0].endswith(("'s", "’s"))):
                    inside = [words[0], *inside]
                found += [part for word in inside for part in _parts(word) if self._is_unknown(_bare(part), own)]
        return [_bare(name) for name in found]

    def _is_unknown(self, word: str, own: set[str]) -> bool:
        """Whether a word inside a sentence is a name that no source has."""
        if not word[:1].isupper() or word in self.names or word.startswith(("I'", "I’")) or len(word) < 2:
            return False
        small = word.lower()
        if small in self.small or small in own or small in STOP_WORDS or small in _COUNTED:
            return False
        # Capitals throughout are an abbreviation, or somebody raising their voice.
        return len(word) <= LONGEST_ACRONYM if word.isupper() else True


def numbers_in(text: str) -> set[str]:
    """The numbers of a text as what they mean, those of its list markers aside."""
    return {meant for _, meant in _numbers(_LINK.sub(" ", plain(text)))}


def _numbers(text: str) -> list[tuple[str, str]]:
    """(as it is spelled, what it means) of each number."""
    found = []
    for line in text.split("\n"):
        for match in _NUMBER.finditer(_MARKER.sub("", line)):
            found.append((match.group().strip(), _meant(match[1], match[2])))
    return found


def _meant(digits: str, unit: str | None) -> str:
    pieces = _GROUPED.sub("", digits).replace(",", ".").replace("\u202f", "").replace("'", "")
    try:
        value = float(pieces) * _TIMES.get((unit or "").lower(), 1)
    except ValueError:  # of several points, as versions and addresses have
        return pieces
    return f"{value:.6f}".rstrip("0").rstrip(".")


def _parts(word: str) -> list[str]:
    """The words that a hyphen joins: "Berlin-based"."""
    return [part for part in re.split(r"[-–]", word) if part]


def _bare(word: str) -> str:
    return _POSSESSIVE.sub("", word).strip(".’'&")


def _address(link: str) -> str:
    return re.sub(r"^https?://(?:www\.)?", "", link.rstrip(".,;:!?/")).lower()
