"""Runs: rows of neighbouring passages that may stand in a draft, and how much each leans on what is left out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from twin_serving.assembling.leaning import opening_leaning, ties
from twin_serving.assembling.passages import KEPT_DOCUMENTS, LOOKED_BACK, OwnText, Passage, Section
from twin_serving.composing.formats import fits


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive passages of one section; `leans`: how much its start leans on what is left out before it (0 to 1);
    `cut`: how much the passage left out after it belonged to it (0 to 1)."""

    passages: tuple[Passage, ...]
    leans: float
    cut: float
    text: str = field(compare=False)

    @property
    def document(self) -> OwnText:
        """The document it is from."""
        return self.passages[0].document

    @property
    def opens(self) -> bool:
        """Whether it begins where its document begins."""
        return self.passages[0].starts and self.passages[0].section == 0

    @property
    def starts(self) -> bool:
        """Whether it begins where its section begins."""
        return self.passages[0].starts

    @property
    def ends(self) -> bool:
        """Whether it ends where its section ends."""
        return self.passages[-1].closes


def leans_of(section: Section, parts: Sequence[Passage]) -> list[float]:
    """How much each passage leans on what stands before it in the document."""
    found, before = [], section.before
    for part in parts:
        first = [sentence.text for sentence in part.lines[0][:2]]
        before = before or "…" * bool(part.walled)  # something stood there
        found.append(max(opening_leaning(first, before, section.label), part.walled))
        before = f"{before}\n{part.text}"[-LOOKED_BACK:]
    return found


@lru_cache(maxsize=KEPT_DOCUMENTS)
def runs(section: Section, parts: tuple[Passage, ...], longest: int, largest: int = 100_000) -> tuple[Run, ...]:
    """Every run of at most `longest` characters that holds nothing unusable and does not break off in a thought.

    largest: no passage of it has more characters, as X counts them.
    """
    leans = leans_of(section, parts)
    found = []
    for start in range(len(parts)):
        length = 0
        if leans[start] >= 0.75:
            continue
        for end in range(start + 1, len(parts) + 1):
            final = parts[end - 1]
            length += len(final.text) + 2 * (end > start + 1)
            if (
                not fits(final.text, largest)
                or final.flaw >= 1
                or length > longest
                or (final.walled and end > start + 1)
            ):
                break
            if final.open_end or (final.text.endswith("?") and end < len(parts)):
                continue
            text = "\n\n".join(part.text for part in parts[start:end])
            cut = leans[end] if end < len(parts) else 0.0
            # A short last turn ("But …") leads to what is left out.
            if end > start + 1 and not final.last and len(final.text) < 110 and ties(final.text):
                cut = max(cut, 0.6)
            found.append(
                Run(
                    tuple(parts[start:end]), leans[start], max(cut, 0.5 * (end < len(parts) and parts[end].glued)), text
                )
            )
    return tuple(found)
