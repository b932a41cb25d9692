"""What every engine shares: what is asked for, the pieces of an answer, and the rules by which tokens become pieces."""

from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

from twin_assets.core.errors import InputError

DEFAULT_MAX_TOKENS = 512
# How a token reads can depend on the ones before: so many of what was shown stay in front while decoding.
KEPT_TOKENS = 4


@dataclass(frozen=True, slots=True)
class Generation:
    """What to generate: messages as {"role", "content"}; temperature 0 is greedy; seed None draws anew each time."""

    messages: Sequence[dict[str, str]]
    max_tokens: int | None = None
    temperature: float = 0.7
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    seconds: float = 240.0


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of the answer as it comes; the token counts are those so far, `finish` is set on the last piece.

    swap_seconds: what it took to load the adapter for this answer; None where it was there. On every piece or none.
    """

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish: Literal["stop", "length"] | None = None
    swap_seconds: float | None = None


def room_for(generation: Generation, prompt_tokens: int, context: int) -> int:
    """Tokens the answer may have. Raises InputError where the prompt leaves none."""
    room = context - prompt_tokens
    if room < 1:
        raise InputError(
            f"The messages have {prompt_tokens} tokens and the model reads {context}; "
            "shorten them to leave room for an answer."
        )
    return min(generation.max_tokens or DEFAULT_MAX_TOKENS, room)


def pieces(
    tokens: Generator[int], tokenizer: Any, ends: Collection[int], prompt_tokens: int, stops: Sequence[str]
) -> Iterator[Piece]:
    """The pieces of the answer whose tokens come one by one; whole characters, no special tokens, cut at a stop string.

    ends: tokens that end an answer; where the last is none of them the answer was cut off. `tokens` is closed in any
    case, which must end the generation behind it.
    """
    held, count, last = "", 0, None
    text = _Text(tokenizer)
    with closing(tokens):
        for last in tokens:
            count += 1
            held += text.add(last)
            cut = stop_at(held, stops)
            if cut is not None:
                yield Piece(held[:cut], prompt_tokens, count, "stop")
                return
            ready = len(held) - possible_stop(held, stops)
            if ready:
                yield Piece(held[:ready], prompt_tokens, count)
                held = held[ready:]
    held += text.rest()
    cut = stop_at(held, stops)
    yield Piece(held[:cut], prompt_tokens, count, "stop" if last in ends or cut is not None else "length")


class _Text:
    """Decodes tokens as they come. transformers' streamer holds text back to the next space; this one does not."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._shown = 0  # tokens whose text has been given

    def add(self, token: int) -> str:
        self._ids.append(token)
        fresh = self.rest()
        if fresh.endswith("\ufffd"):  # which may be a character that is still incomplete
            return ""
        if fresh:
            kept = max(0, len(self._ids) - KEPT_TOKENS)
            self._ids, self._shown = self._ids[kept:], len(self._ids) - kept
        return fresh

    def rest(self) -> str:
        return self._decode(self._ids)[len(self._decode(self._ids[: self._shown])) :]

    def _decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))


def stop_at(text: str, stops: Sequence[str]) -> int | None:
    """Where the first stop string begins, None where there is none."""
    found = [position for stop in stops if (position := text.find(stop)) >= 0]
    return min(found) if found else None


def possible_stop(text: str, stops: Sequence[str]) -> int:
    """Length of the longest ending of the text that a stop string may still begin with."""
    lengths = (n for stop in stops for n in range(1, min(len(stop), len(text) + 1)) if text.endswith(stop[:n]))
    return max(lengths, default=0)
