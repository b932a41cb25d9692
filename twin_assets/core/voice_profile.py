"""Voice profile: what an author's writing looks like, in figures a person can read; measured, never edited.

What the author makes of it lies beside it, in voice_edits.py.
"""

import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from twin_assets.core.errors import BrokenFileError
from twin_assets.core.sentences import split_sentences
from twin_assets.core.vocabulary import WORD, OwnPhrase, OwnWord, own_phrases, own_words, words_of
from twin_assets.core.voice_features import plain, without_code
from twin_assets.core.whole_files import write_whole

if TYPE_CHECKING:
    from twin_assets.core.workspace import Workspace

# Raised when a field of the profile comes or goes: an older file is then measured again, not misread.
LAYOUT: Literal[2] = 2
PUNCTUATION = {
    "exclamation mark": "!", "question mark": "?", "dash": "—–", "semicolon": ";", "colon": ":", "ellipsis": "…",
    "parenthesis": "(", "quotation mark": '"“', "bullet": "•→", "comma": ",",
}  # fmt: skip
# Lower ends of the bins in which lengths are told, in words.
SENTENCE_BINS = (1, 6, 11, 16, 21, 26, 31, 41)
DOCUMENT_BINS = (1, 26, 51, 101, 201, 401, 801, 1601, 3201)
# So much of a category is read, spread evenly over it: more changes no figure that is shown.
READ_DOCUMENTS = 4_000
READ_WORDS_FOR_PHRASES = 200_000
_HASHTAG = re.compile(r"(?<![\w/#])#(\w+)")
_CONTRACTION = re.compile(r"\b\w+[’'](?:s|t|re|ve|ll|d|m)\b", re.IGNORECASE)
_FIRST_PERSON = re.compile(r"\b(?:I|me|my|mine|we|us|our|ours)\b|\bI[’']", re.IGNORECASE)
EMOJI = re.compile("[\U0001f300-\U0001faff\u2600-\u27bf\U0001f1e6-\U0001f1ff]")
_LIST_LINE = re.compile(r"^\s*(?:[-*•→]|\d+[.)])\s", re.MULTILINE)


class Quantiles(BaseModel):
    """Tenth, fiftieth and ninetieth percentile."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Quantiles":
        """Of these values; zeros where there are none."""
        if len(values) < 2:
            return cls(low=sum(values), median=sum(values), high=sum(values))
        cuts = statistics.quantiles(values, n=10, method="inclusive")
        return cls(low=round(cuts[0], 1), median=round(cuts[4], 1), high=round(cuts[8], 1))


class CategoryVoice(BaseModel):
    """One category's figures. Rates are per 1,000 words, shares are of documents (0 to 1) unless said otherwise."""

    documents: int
    words: int
    words_per_document: Quantiles
    document_lengths: dict[str, float] = Field(description="share of documents by length in words")
    words_per_sentence: Quantiles
    sentence_lengths: dict[str, float] = Field(description="share of sentences by length in words")
    sentence_change: float = Field(description="words by which a sentence differs from the one before, on average")
    paragraphs_per_document: Quantiles
    punctuation: dict[str, float] = Field(description="marks per 1,000 words")
    contractions: float
    first_person: float
    emoji_per_document: float
    emoji: list[str]
    hashtags_per_document: float
    hashtags: list[str]
    lists: float = Field(description="share of documents with a list")
    openings: dict[str, float] = Field(description="share of documents that open with it")
    endings: dict[str, float] = Field(description="share of documents that end with it")
    opening_lines: list[str] = Field(description="first lines, or their first words, that came more than once")
    ending_lines: list[str] = Field(description="last lines that came more than once")
    vocabulary: list[OwnWord] = Field(description="words used more than others use them, the most so first")
    phrases: list[OwnPhrase] = Field(description="turns of phrase that come again and again")


class VoiceProfile(BaseModel):
    """An author's profile: measured figures by category of writing (code is no prose and has none)."""

    model_config = ConfigDict(extra="forbid")

    layout: Literal[2] = LAYOUT
    categories: dict[str, CategoryVoice]


# What is told of other writers beside the author's figures.
NORMS: Mapping[str, Callable[[CategoryVoice], float]] = {
    **{name: (lambda voice, name=name: voice.punctuation[name]) for name in PUNCTUATION},  # type: ignore[misc]
    "contractions": lambda voice: voice.contractions,
    "first person": lambda voice: voice.first_person,
    "words per sentence": lambda voice: voice.words_per_sentence.median,
    "change between sentences": lambda voice: voice.sentence_change,
}


def build_profile(documents: pl.DataFrame) -> VoiceProfile:
    """Measure the voice in documents (columns category, text; rows of `documents` that are in the corpus).

    Their text must be the author's own: what they quote is left out before (cleaning.with_own_text).
    """
    prose = documents.filter(pl.col("category") != "code", pl.col("text").str.strip_chars() != "")
    return VoiceProfile(
        categories={
            str(category): measure(rows["text"].to_list())
            for (category,), rows in prose.sort("category").group_by("category", maintain_order=True)
        }
    )


def save_profile(workspace: "Workspace", author: str, profile: VoiceProfile) -> VoiceProfile:
    """Keep a newly measured profile; the author's edits are in a file of their own and are not touched."""
    write_whole(profile_path(workspace, author), profile.model_dump_json(indent=2) + "\n")
    return profile


def load_profile(workspace: "Workspace", author: str) -> VoiceProfile | None:
    """The author's profile, None where none was measured (or by an older layout); raises BrokenFileError."""
    path = profile_path(workspace, author)
    if not path.is_file():
        return None
    text = path.read_text(encoding="utf-8")
    try:
        return VoiceProfile.model_validate_json(text)
    except ValidationError as error:
        if '"layout"' not in text and '"categories": {' in text:
            return None  # the next run measures it again
        raise BrokenFileError(
            f"The measured voice profile {path} is not valid; remove it, and the next run measures it again: {error}"
        ) from error


def profile_path(workspace: "Workspace", author: str) -> Path:
    """Where the author's measured profile is kept."""
    return workspace.settings.home / "profiles" / f"{author}.json"


def measure(all_texts: Sequence[str]) -> CategoryVoice:
    """Figures of one category's texts (at least one)."""
    texts = _spread([without_code(text).strip() for text in all_texts], READ_DOCUMENTS)
    prose = [plain(text) for text in texts]
    tokens = [WORD.findall(text) for text in prose]
    lengths, words = list(map(len, tokens)), sum(map(len, tokens))
    everything = "\n\n".join(prose)
    sentences = [[len(WORD.findall(s.text)) for s in split_sentences(text)] for text in prose]
    counted = [[float(n) for n in found if n] for found in sentences]
    emoji, hashtags = Counter(EMOJI.findall(everything)), Counter(_HASHTAG.findall("\n\n".join(texts)))
    changes = [abs(b - a) for found in counted for a, b in pairwise(found)]
    first, last = [_edge(text, 0) for text in texts], [_edge(text, -1) for text in texts]

    def rate(count: int) -> float:
        return round(1000 * count / max(1, words), 2)

    return CategoryVoice(
        documents=len(all_texts),
        words=words * len(all_texts) // max(1, len(texts)),
        words_per_document=Quantiles.of([float(length) for length in lengths]),
        document_lengths=_histogram(lengths, DOCUMENT_BINS),
        words_per_sentence=Quantiles.of([n for found in counted for n in found]),
        sentence_lengths=_histogram([int(n) for found in counted for n in found], SENTENCE_BINS),
        sentence_change=round(statistics.fmean(changes), 1) if changes else 0.0,
        paragraphs_per_document=Quantiles.of([float(len(re.split(r"\n\s*\n", t))) for t in texts]),
        punctuation={name: rate(sum(everything.count(mark) for mark in marks)) for name, marks in PUNCTUATION.items()},
        contractions=rate(len(_CONTRACTION.findall(everything))),
        first_person=rate(len(_FIRST_PERSON.findall(everything))),
        emoji_per_document=round(emoji.total() / len(texts), 2),
        emoji=_top(emoji, 10, at_least=1),
        hashtags_per_document=round(hashtags.total() / len(texts), 2),
        hashtags=_top(hashtags, 15, at_least=1),
        lists=_share(bool(_LIST_LINE.search(text)) for text in texts),
        openings=_openings(first),
        endings=_endings(last),
        opening_lines=_recurring_starts(first),
        ending_lines=_top(Counter(line for line in last if _is_sentence(line)), 5, at_least=2),
        vocabulary=own_words([words_of(text) for text in prose]),
        phrases=own_phrases(_spread(prose, len(prose) * READ_WORDS_FOR_PHRASES // max(1, words))),
    )


def _spread(texts: Sequence[str], most: int) -> list[str]:
    step = -(-len(texts) // max(1, most))
    return list(texts[:: max(1, step)])


def _edge(text: str, line: Literal[0, -1]) -> str:
    """The first or last line, without what makes it a heading."""
    return re.sub(r"^#+ ", "", text.strip().split("\n")[line]).strip()


def _histogram(lengths: Sequence[int], bins: Sequence[int]) -> dict[str, float]:
    names = [f"{low}–{high - 1}" for low, high in pairwise(bins)] + [f"{bins[-1]}+"]
    counts = Counter(sum(length >= low for low in bins) - 1 for length in lengths if length)
    return {name: round(counts[i] / max(1, counts.total()), 3) for i, name in enumerate(names)}


def _openings(lines: Sequence[str]) -> dict[str, float]:
    return {
        "a question": _share("?" in line for line in lines),
        "the first person": _share(bool(re.match(r"(I|I[’']\w+|My|We|Our)\b", line)) for line in lines),
        "a number": _share(bool(re.match(r"\W*\d", line)) for line in lines),
        "a line of eight words or fewer": _share(len(line.split()) <= 8 for line in lines),
        "an emoji": _share(bool(EMOJI.match(line)) for line in lines),
    }


def _endings(lines: Sequence[str]) -> dict[str, float]:
    return {
        "a question": _share(line.rstrip(" )”\"'").endswith("?") for line in lines),
        "an exclamation": _share(line.rstrip(" )”\"'").endswith("!") for line in lines),
        "hashtags": _share(bool(re.search(r"#\w+\s*$", line)) for line in lines),
        "a link": _share(bool(re.search(r"https?://\S+\s*$", line)) for line in lines),
        "an emoji": _share(bool(EMOJI.search(line[-2:])) for line in lines),
    }


def _recurring_starts(lines: Sequence[str]) -> list[str]:
    """First words (three, or the whole of a shorter line) that open more than one document."""
    starts = Counter(" ".join(line.split()[:3]) for line in lines if len(line.split()) >= 2)
    return _top(starts, 8, at_least=2)


def _is_sentence(line: str) -> bool:
    words = [word for word in line.split() if not word.startswith(("#", "http"))]
    return 1 < len(words) <= 20


def _share(found: Iterable[bool]) -> float:
    flags = list(found)
    return round(sum(flags) / max(1, len(flags)), 3)


def _top(counts: Counter[str], limit: int, at_least: int) -> list[str]:
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [name for name, count in ranked if count >= at_least][:limit]
