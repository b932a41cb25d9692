"""Voice profile: what an author's writing looks like, in figures a person can read, and guidance they can edit."""

import os
import re
import statistics
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from twin_assets.core.errors import ConfigurationError
from twin_assets.core.sentences import split_sentences

if TYPE_CHECKING:
    from twin_assets.core.workspace import Workspace

PUNCTUATION = {
    "exclamation mark": "!", "question mark": "?", "dash": "—–", "semicolon": ";", "colon": ":", "ellipsis": "…",
    "parenthesis": "(", "quotation mark": '"“', "bullet": "•→", "comma": ",",
}  # fmt: skip
_WORD = re.compile(r"[^\W\d_][\w’'-]*")
_HASHTAG = re.compile(r"(?<![\w/#])#(\w+)")
_LINK = re.compile(r"https?://\S+")
_CONTRACTION = re.compile(r"\b\w+[’'](?:s|t|re|ve|ll|d|m)\b", re.IGNORECASE)
_FIRST_PERSON = re.compile(r"\b(?:I|me|my|mine|we|us|our|ours)\b|\bI[’']", re.IGNORECASE)
_EMOJI = re.compile("[\U0001f300-\U0001faff\u2600-\u27bf\U0001f1e6-\U0001f1ff]")
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
    """One category's figures. Rates are per 1,000 words, shares are of documents (0 to 1)."""

    documents: int
    words: int
    words_per_document: Quantiles
    words_per_sentence: Quantiles
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
    vocabulary: list[str] = Field(description="words found in the most documents, common English left out")


class VoiceProfile(BaseModel):
    """An author's profile: measured figures by category, and two fields that are the author's to edit."""

    model_config = ConfigDict(extra="forbid")

    categories: dict[str, CategoryVoice]
    guidance: str = Field(default="", description="what the author wants every draft to heed")
    avoid: list[str] = Field(default_factory=list, description="words and phrases never to use")


def build_profile(documents: pl.DataFrame) -> VoiceProfile:
    """Measure the voice in documents (columns category, text; rows of `documents` that are in the corpus)."""
    return VoiceProfile(
        categories={
            str(category): _measure(rows["text"].to_list())
            for (category,), rows in documents.sort("category").group_by("category", maintain_order=True)
        }
    )


def save_profile(workspace: "Workspace", author: str, profile: VoiceProfile) -> VoiceProfile:
    """Keep a newly measured profile; guidance and words to avoid that the author had entered stay."""
    earlier = load_profile(workspace, author)
    if earlier is not None:
        kept = {name: getattr(earlier, name) for name in ("guidance", "avoid") if name not in profile.model_fields_set}
        profile = profile.model_copy(update=kept)
    path = _path(workspace, author)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(profile.model_dump_json(indent=2) + "\n")
    os.replace(temporary, path)
    return profile


def load_profile(workspace: "Workspace", author: str) -> VoiceProfile | None:
    """The author's profile, None where none was measured; raises ConfigurationError for an edit that broke it."""
    path = _path(workspace, author)
    if not path.is_file():
        return None
    try:
        return VoiceProfile.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise ConfigurationError(f"The voice profile {path} is not valid; correct or remove it: {error}") from error


def _path(workspace: "Workspace", author: str) -> Path:
    return workspace.settings.home / "profiles" / f"{author}.json"


def _measure(texts: Sequence[str]) -> CategoryVoice:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    tokens = [_WORD.findall(_LINK.sub(" ", text)) for text in texts]
    words = max(1, sum(map(len, tokens)))
    everything = "\n\n".join(texts)

    def rate(count: int) -> float:
        return round(1000 * count / words, 2)

    seen = Counter(
        word
        for found in tokens
        for word in {w.lower() for w in found}
        if len(word) > 3 and word not in ENGLISH_STOP_WORDS and "'" not in word and "’" not in word
    )
    emoji, hashtags = Counter(_EMOJI.findall(everything)), Counter(_HASHTAG.findall(everything))
    sentences = [len(_WORD.findall(s.text)) for text in texts for s in split_sentences(text)]
    return CategoryVoice(
        documents=len(texts),
        words=sum(map(len, tokens)),
        words_per_document=Quantiles.of([float(len(found)) for found in tokens]),
        words_per_sentence=Quantiles.of([float(n) for n in sentences if n]),
        paragraphs_per_document=Quantiles.of([float(len(re.split(r"\n\s*\n", t.strip()))) for t in texts]),
        punctuation={name: rate(sum(everything.count(mark) for mark in marks)) for name, marks in PUNCTUATION.items()},
        contractions=rate(len(_CONTRACTION.findall(everything))),
        first_person=rate(len(_FIRST_PERSON.findall(everything))),
        emoji_per_document=round(emoji.total() / len(texts), 2),
        emoji=_top(emoji, 10, at_least=1),
        hashtags_per_document=round(hashtags.total() / len(texts), 2),
        hashtags=_top(hashtags, 15, at_least=1),
        lists=_share(bool(_LIST_LINE.search(text)) for text in texts),
        openings=_openings([text.strip().split("\n", 1)[0] for text in texts]),
        endings=_endings([text.strip().rsplit("\n", 1)[-1] for text in texts]),
        vocabulary=_top(seen, 30, at_least=2),
    )


def _openings(lines: Sequence[str]) -> dict[str, float]:
    return {
        "a question": _share("?" in line for line in lines),
        "the first person": _share(bool(re.match(r"(I|I[’']\w+|My|We|Our)\b", line)) for line in lines),
        "a number": _share(bool(re.match(r"\W*\d", line)) for line in lines),
        "a line of eight words or fewer": _share(len(line.split()) <= 8 for line in lines),
        "an emoji": _share(bool(_EMOJI.match(line)) for line in lines),
    }


def _endings(lines: Sequence[str]) -> dict[str, float]:
    return {
        "a question": _share(line.rstrip(" )”\"'").endswith("?") for line in lines),
        "an exclamation": _share(line.rstrip(" )”\"'").endswith("!") for line in lines),
        "hashtags": _share(bool(re.search(r"#\w+\s*$", line)) for line in lines),
        "a link": _share(bool(re.search(r"https?://\S+\s*$", line)) for line in lines),
        "an emoji": _share(bool(_EMOJI.search(line[-2:])) for line in lines),
    }


def _share(found: Iterable[bool]) -> float:
    flags = list(found)
    return round(sum(flags) / max(1, len(flags)), 3)


def _top(counts: Counter[str], limit: int, at_least: int) -> list[str]:
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [name for name, count in ranked if count >= at_least][:limit]
