"""Loss on the author's words: how well a model predicts what they wrote when asked for it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import polars as pl

from twin_assets.core.prompts import encode_example, messages


@dataclass(frozen=True, slots=True)
class AnswerLoss:
    """Summed over all answers: nats, tokens and characters.

    per_token compares a model with its own base; per_character models with different tokenizers.
    """

    nats: float
    tokens: int
    characters: int
    samples: int

    @property
    def per_token(self) -> float:
        """Mean loss of a token, in nats, every token weighing the same."""
        return self.nats / max(1, self.tokens)

    @property
    def per_character(self) -> float:
        """Mean loss of a character, in nats."""
        return self.nats / max(1, self.characters)


def answer_loss(
    model: Any,
    tokenizer: Any,
    author_name: str,
    samples: pl.DataFrame,
    *,
    max_length: int,
    progress: Callable[[int, int], None] | None = None,
) -> AnswerLoss:
    """Loss of a model on the targets of samples, each after its own prompt; the model is left in evaluation mode."""
    import torch

    nats, tokens, characters = 0.0, 0, 0
    model.eval()
    for done, row in enumerate(samples.iter_rows(named=True), start=1):
        asked = messages(author_name, row["form"], row["instruction"], row["context"])
        ids, labels = encode_example(tokenizer, asked, row["target"], max_length)
        answer = [label for label in labels if label >= 0]
        with torch.inference_mode():
            batch = torch.tensor([ids], device=model.device)
            loss = model(input_ids=batch, labels=torch.tensor([labels], device=model.device)).loss
        nats += float(loss) * len(answer)
        tokens += len(answer)
        characters += len(tokenizer.decode(answer, skip_special_tokens=True))
        if progress is not None:
            progress(done, samples.height)
    return AnswerLoss(nats, tokens, characters, samples.height)
