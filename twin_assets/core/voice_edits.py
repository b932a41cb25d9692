"""What an author makes of their voice profile: edits that lie over what was measured and that no run overwrites.

The file, <home>/profiles/<author>.edits.json, is theirs: readable, checked when read, written whole or not at all.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from twin_assets.core.errors import BrokenFileError, InputError
from twin_assets.core.sentences import split_sentences
from twin_assets.core.vocabulary import words_of
from twin_assets.core.voice_profile import EMOJI, CategoryVoice, VoiceProfile, load_profile
from twin_assets.core.whole_files import write_whole

if TYPE_CHECKING:
    from twin_assets.core.workspace import Workspace

Phrase = Annotated[str, StringConstraints(strip_whitespace=True, min_length=2, max_length=120)]
Sentence = Annotated[str, StringConstraints(strip_whitespace=True, max_length=300)]
Level = Literal["as measured", "never", "seldom", "often"]
# Marks whose use the author can set, and where each is found.
MARKS = {"emoji": EMOJI, "hashtags": re.compile(r"(?<![\w/#])#\w+"), "exclamation_marks": re.compile("!")}
# Fewer texts tell of themselves, not of a habit.
LEAST_DOCUMENTS = 3
_SPOKEN = {"never": "No {}.", "seldom": "{} only now and then.", "often": "{} often."}


class VoiceEdits(BaseModel):
    """An author's edits; everything left out is as it was measured."""

    model_config = ConfigDict(extra="forbid")

    favourite_phrases: list[Phrase] = Field(default=[], max_length=50, description="to be used now and then")
    dropped_phrases: list[Phrase] = Field(default=[], max_length=200, description="measured, but not to be learned")
    forbidden_phrases: list[Phrase] = Field(default=[], max_length=200, description="words and phrases never to use")
    forbidden_topics: list[Phrase] = Field(default=[], max_length=50, description="what never to write about")
    opening: Sentence = Field(default="", description="how to open, e.g. with a scene, never with a question")
    ending: Sentence = Field(default="", description="how to end, e.g. with a question to the reader")
    emoji: Level = "as measured"
    hashtags: Level = "as measured"
    exclamation_marks: Level = "as measured"
    length: Literal["as measured", "shorter", "longer"] = "as measured"
    note: Annotated[str, StringConstraints(strip_whitespace=True, max_length=2_000)] = Field(
        default="", description="anything else every draft should heed"
    )

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        for name in ("favourite_phrases", "dropped_phrases", "forbidden_phrases", "forbidden_topics"):
            phrases: list[str] = getattr(self, name)
            # Assigned through __dict__, as every assignment would validate again.
            self.__dict__[name] = list({_folded(phrase): phrase for phrase in reversed(phrases)}.values())[::-1]
        forbidden = {_folded(phrase) for phrase in self.forbidden_phrases}
        for phrase in self.favourite_phrases:
            if _folded(phrase) in forbidden:
                raise ValueError(f"{phrase!r} is both a favourite and forbidden; take it from one of the two")
        return self


@dataclass(frozen=True, slots=True)
class Voice:
    """A measured profile with the author's edits over it; what prompts are written from and drafts are checked by."""

    profile: VoiceProfile | None = None
    edits: VoiceEdits = field(default_factory=VoiceEdits)

    def phrases(self, category: str) -> list[str]:
        """Turns of phrase for a category: the author's own choice first, then those measured and not dropped."""
        measured = [found.phrase for found in self._measured(category, "phrases")]
        chosen = {_folded(phrase): phrase for phrase in self.edits.favourite_phrases}
        return [*chosen.values(), *(p for p in measured if self._is_theirs(p) and _folded(p) not in chosen)]

    def words(self, category: str) -> list[str]:
        """Words of a category that are the author's more than others', less those they dropped or forbade."""
        return [found.word for found in self._measured(category, "vocabulary") if self._is_theirs(found.word)]

    def guide(self, category: str) -> str:
        """What to tell a model about the voice in this category; "" where nothing is known or wished."""
        measured = self.profile.categories.get(category) if self.profile else None
        habits = _habits(measured, self.edits) if measured and measured.documents >= LEAST_DOCUMENTS else []
        parts = [*habits, *self._favourites(category), *self._rules()]
        return " ".join(parts)

    def problems(self, text: str) -> list[str]:
        """What in a draft is against the author's edits, a sentence each."""
        phrases, topics = self.edits.forbidden_phrases, self.edits.forbidden_topics
        said = words_of(text) if phrases else []
        sentences = [words_of(sentence.text) for sentence in split_sentences(text)] if topics else []
        found = [f"It says “{phrase}”, which you never want to say." for phrase in phrases if _says(said, phrase)]
        found += [
            f"It touches on {topic}, which you never want to write about."
            for topic in topics
            if any(_is_about(sentence, topic) for sentence in sentences)
        ]
        for name, mark in MARKS.items():
            count = len(mark.findall(text)) if getattr(self.edits, name) == "never" else 0
            if count:
                found.append(f"It has {count} {_named(name, count)}, and you want none.")
        return found

    def without_forbidden(self, text: str) -> str:
        """A text less its sentences that are against the author's edits; hashtags are no sentences and stay."""
        edits = self.edits.model_copy(update={"hashtags": "as measured"})
        rules = Voice(None, edits)
        if not rules.problems(text):
            return text
        kept, at = [], 0
        for sentence in split_sentences(text):
            if rules.problems(sentence.text):
                kept.append(text[at : sentence.start])
                at = sentence.end
        return "".join([*kept, text[at:]]).strip()

    def _measured(self, category: str, name: str) -> Sequence[Any]:
        found = self.profile.categories.get(category) if self.profile else None
        return getattr(found, name) if found else ()

    def _is_theirs(self, phrase: str) -> bool:
        dropped = {_folded(p) for p in (*self.edits.dropped_phrases, *self.edits.forbidden_phrases)}
        return _folded(phrase) not in dropped and not any(
            _says(words_of(phrase), forbidden) for forbidden in self.edits.forbidden_phrases
        )

    def _favourites(self, category: str) -> list[str]:
        phrases, words = self.phrases(category)[:8], self.words(category)[:12]
        told = [f"Turns of phrase that are yours: {_listed(phrases)}."] if phrases else []
        return told + ([f"Words that are yours: {', '.join(words)}."] if words else [])

    def _rules(self) -> list[str]:
        edits = self.edits
        told = [f"Never say {_listed(edits.forbidden_phrases)}."] if edits.forbidden_phrases else []
        if edits.forbidden_topics:
            told.append(f"Never write about {', '.join(edits.forbidden_topics)}.")
        told += [f"{name}: {_closed(text)}" for name, text in (("Open", edits.opening), ("End", edits.ending)) if text]
        for name in MARKS:
            level = getattr(edits, name)
            if level != "as measured":
                said = _SPOKEN[level].format(name.replace("_", " "))
                told.append(said[0].upper() + said[1:])
        if edits.length != "as measured":
            told.append(f"Write {edits.length} than usual.")
        return told + ([_closed(edits.note)] if edits.note else [])


def load_voice(workspace: "Workspace", author: str) -> Voice:
    """The author's measured profile with their edits; raises BrokenFileError where a file of it is not valid."""
    return Voice(load_profile(workspace, author), load_edits(workspace, author))


def load_edits(workspace: "Workspace", author: str) -> VoiceEdits:
    """The author's edits, none where they made none; raises BrokenFileError for a file that is not valid."""
    path = edits_path(workspace, author)
    if not path.is_file():
        return VoiceEdits()
    try:
        return VoiceEdits.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise BrokenFileError(
            f"Your voice edits in {path} are not valid: {first_problem(error)}. Correct the file, or start over with "
            f"`twin voice reset {author}`."
        ) from error


def save_edits(workspace: "Workspace", author: str, edits: VoiceEdits) -> VoiceEdits:
    """Keep the author's edits, all of them, in place of those before."""
    write_whole(edits_path(workspace, author), edits.model_dump_json(indent=2) + "\n")
    return edits


def check_edits(values: object) -> VoiceEdits:
    """Edits from plain values (of a form, a file, a request); raises InputError that names the field and why."""
    try:
        return VoiceEdits.model_validate(values)
    except ValidationError as error:
        raise InputError(f"The voice cannot be edited like this: {first_problem(error)}.") from error


def reset_edits(workspace: "Workspace", author: str) -> None:
    """Take all of the author's edits back."""
    edits_path(workspace, author).unlink(missing_ok=True)


def edits_path(workspace: "Workspace", author: str) -> Path:
    """Where the author's edits are kept."""
    return workspace.settings.home / "profiles" / f"{author}.edits.json"


def first_problem(error: ValidationError) -> str:
    """The first thing that is wrong, as `field: why`."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    why = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        why = f"there is no such field; there are {', '.join(VoiceEdits.model_fields)}"
    return f"{place}: {why}" if place else why


def _habits(measured: CategoryVoice, edits: VoiceEdits) -> list[str]:
    """The figures as instructions; what the author has set otherwise is left to their rules."""
    length, sentence = measured.words_per_document, measured.words_per_sentence
    told = [
        f"You usually write {length.low:.0f} to {length.high:.0f} words, in sentences of {sentence.low:.0f} to "
        f"{sentence.high:.0f} words, most often about {sentence.median:.0f}."
    ]
    if not edits.opening:
        told += _often("open with", measured.openings)
    if not edits.ending:
        told += _often("end with", measured.endings)
    for name, rate, examples in (
        ("emoji", measured.emoji_per_document, measured.emoji),
        ("hashtags", measured.hashtags_per_document, [f"#{tag}" for tag in measured.hashtags]),
    ):
        if getattr(edits, name) == "as measured":
            such = f"such as {' '.join(examples[:5])}"
            if rate >= 1:
                told.append(f"About {rate:.0f} {name} a text, {such}.")
            elif rate >= 0.1:
                told.append(f"{name.capitalize()} in {'some' if rate >= 0.3 else 'few'} texts, {such}.")
            else:
                told.append(f"No {name}.")
    return told


def _often(verb: str, shares: dict[str, float]) -> list[str]:
    common = [name for name, share in sorted(shares.items(), key=lambda found: -found[1]) if share >= 0.3]
    return [f"You often {verb} {' or '.join(common[:2])}."] if common else []


def _folded(phrase: str) -> str:
    return " ".join(words_of(phrase)) or phrase.strip().lower()


def _says(said: Sequence[str], phrase: str) -> bool:
    wanted = words_of(phrase)
    return bool(wanted) and any(list(said[i : i + len(wanted)]) == wanted for i in range(len(said) - len(wanted) + 1))


def _is_about(said: Sequence[str], topic: str) -> bool:
    """Whether every word of the topic, or another form of it (its first letters, less a plural s), is said."""
    stems = [word.rstrip("s") if len(word) > 3 else word for word in words_of(topic)]
    return bool(stems) and all(
        any(word.rstrip("s") == stem or (len(stem) > 3 and word.startswith(stem)) for word in said) for stem in stems
    )


def _named(name: str, count: int) -> str:
    words = name.replace("_", " ")
    return words.removesuffix("s") if count == 1 else words


def _listed(phrases: Sequence[str]) -> str:
    return ", ".join(f"“{phrase}”" for phrase in phrases)


def _closed(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
