"""The nano base: a tokenizer and a Llama-shaped model of two million parameters, made from the author's own text.

It proves every later step with real weights where none can be had. It cannot write: 20,000 words teach a model to
predict its author a little, not to say anything.
"""

import math
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twin_assets.core.prompts import DEFAULT_CHAT_TEMPLATE

if TYPE_CHECKING:
    import torch

END = "<|endoftext|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
SEQUENCE = 256
BATCH = 8
# A bound against learning 20,000 words by heart; chosen, not tuned: two busy cores end at 1 to 3 passes by their time.
PASSES = 8
LEARNING_RATE = 3e-3

Progress = Callable[[str, float], None]


def build_nano(
    texts: Sequence[str], folder: Path, *, seconds: float = 25.0, seed: int = 0, progress: Progress | None = None
) -> dict[str, float]:
    """Train tokenizer and base on the texts (of the training split only) and write them to `folder` as safetensors.

    Takes about `seconds` at most, fewer passes where the machine is slow. Returns parameters, vocabulary, passes and
    the loss per token of the last pass. The folder appears whole or not at all; one that is there already is kept.
    """
    import torch
    from transformers import LlamaForCausalLM

    if folder.is_dir():
        return {}
    characters = sum(map(len, texts))
    torch.manual_seed(seed)
    tokenizer = train_tokenizer(texts, vocabulary=2048 if characters < 1_000_000 else 8192)
    model = LlamaForCausalLM(_shape(len(tokenizer), tokenizer.eos_token_id))
    blocks = _blocks(tokenizer, texts)
    loss, passes = _fit(model, blocks, seconds, seed, progress)
    scratch = folder.with_name(folder.name + ".part")
    shutil.rmtree(scratch, ignore_errors=True)
    model.save_pretrained(scratch)
    tokenizer.save_pretrained(scratch)
    os.replace(scratch, folder)
    return {
        "base_parameters": float(model.num_parameters()),
        "base_vocabulary": float(len(tokenizer)),
        "base_passes": passes,
        "base_training_loss": loss,
    }


def train_tokenizer(texts: Sequence[str], vocabulary: int) -> Any:
    """A byte-level BPE tokenizer of the texts with the default chat template; every character has a spelling in it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        special_tokens=[END, *ROLES],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token=END, pad_token=END, extra_special_tokens=list(ROLES)
    )
    tokenizer.chat_template = DEFAULT_CHAT_TEMPLATE
    return tokenizer


def _shape(vocabulary: int, end: int) -> Any:
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
    )


def _blocks(tokenizer: Any, texts: Sequence[str]) -> "torch.Tensor":
    """All texts as one stream, each ended, cut into rows [n, SEQUENCE] of token ids."""
    import torch

    encoded = tokenizer([text + END for text in texts], add_special_tokens=False)["input_ids"]
    stream = torch.tensor([token for ids in encoded for token in ids])
    rows = len(stream) // SEQUENCE
    return stream[None, :] if len(stream) < SEQUENCE else stream[: rows * SEQUENCE].view(rows, SEQUENCE)


def _fit(
    model: Any, blocks: "torch.Tensor", seconds: float, seed: int, progress: Progress | None
) -> tuple[float, float]:
    """Train the model on the rows for PASSES passes or `seconds`, whichever ends first, the learning rate falling all
    the way; returns (mean loss of the last pass, passes made)."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    order = torch.cat([torch.randperm(len(blocks), generator=generator) for _ in range(PASSES)])
    steps = math.ceil(len(order) / BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.1, betas=(0.9, 0.95))
    model.train()
    losses: list[float] = []
    start, done = time.monotonic(), 0.0
    while done < 1.0:
        step = len(losses)
        batch = blocks[order[step * BATCH : (step + 1) * BATCH]]
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, (step + 1) / 10) * (1.0 - 0.9 * done)
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        done = max(len(losses) / steps, (time.monotonic() - start) / seconds)
        if progress is not None:
            progress("training the nano base", min(1.0, done))
    tail = losses[-math.ceil(len(blocks) / BATCH) :]
    return sum(tail) / len(tail), round(len(losses) * BATCH / len(blocks), 2)
