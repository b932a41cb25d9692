"""Fits a prompt into the context of the model that will read it, counted with the model's own tokenizer.

Reads the tokenizer's file with the tokenizers library alone: transformers and torch stay in the worker.
"""

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from twin_assets.core.errors import ModelError

# Marks of roles and turns that the chat template adds to a conversation of two messages.
TEMPLATE_TOKENS = 48
# Without a tokenizer.json every second character is taken for a token, which no common tokenizer exceeds.
CHARACTERS_PER_TOKEN = 2
CONTEXT_NAMES = ("max_position_embeddings", "n_positions", "n_ctx", "seq_length")


class TokenBudget:
    """Counts and cuts texts in the tokens of the model in `folder` (its config.json and tokenizer.json)."""

    def __init__(self, folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.context = next((int(config[name]) for name in CONTEXT_NAMES if isinstance(config.get(name), int)), 2048)
        self._tokenizer: Any = None
        if (folder / "tokenizer.json").is_file():
            from tokenizers import Tokenizer

            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def count(self, text: str) -> int:
        """Tokens of a text, without special ones."""
        if self._tokenizer is None:
            return -(-len(text) // CHARACTERS_PER_TOKEN)
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def cut(self, text: str, tokens: int) -> str:
        """The beginning of the text that has at most this many tokens, ending between words."""
        if tokens <= 0:
            return ""
        if self.count(text) <= tokens:
            return text
        if self._tokenizer is None:
            end = tokens * CHARACTERS_PER_TOKEN
        else:
            end = self._tokenizer.encode(text, add_special_tokens=False).offsets[tokens - 1][1]
        beginning, *rest = text[:end].rsplit(maxsplit=1)
        return beginning if rest else text[:end]

    def notes(self, passages: Sequence[str], room: int) -> str:
        """The passages, most useful first, as far as they fit into `room` tokens; the one that does not is cut."""
        kept: list[str] = []
        for passage in passages:
            fitting = self.cut(passage, room)
            # A stump of a few words says nothing.
            if not fitting or (fitting != passage and len(fitting) < 80):
                break
            kept.append(fitting)
            room -= self.count(fitting) + 2
        return "\n\n".join(kept)


class EstimatedBudget(TokenBudget):
    """The budget of a model whose tokenizer is elsewhere; context: tokens that prompt and answer may have together."""

    def __init__(self, context: int) -> None:
        self.context = context
        self._tokenizer = None


@lru_cache(maxsize=8)
def budget_of(folder: Path) -> TokenBudget:
    """The budget of a model folder, read once. Raises ModelError where its files cannot be read."""
    try:
        return TokenBudget(folder)
    except Exception as error:  # the tokenizers library raises bare ones
        raise ModelError(
            f"The tokenizer of the model in {folder} cannot be read ({error}); bring the model there once more."
        ) from error
