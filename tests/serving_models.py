"""Tiny random models for serving tests: a tokenizer, a Llama of a few thousand weights and LoRA adapters on it."""

from pathlib import Path
from typing import Any

from twin_assets.core.registry import ModelVersion, Registry

CONTEXT = 512
TEXT = [
    # Every byte of the alphabet is ASCII, so that whatever a random model answers can be read and split.
    "<|system|>\n<|user|>\n<|assistant|>\n 0123456789 abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "I wrote about tests today. A test that cannot fail says nothing.",
    "Shipping small changes is a habit, not a heroic act.",
    "What did you learn this week? Tell me in the comments.",
]


def make_base(folder: Path, seed: int = 0, heads: int = 4) -> Path:
    """A random Llama with a byte-level tokenizer, saved as safetensors."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|end|>"],
        show_progress=False,
    )
    raw.train_from_iterator(TEXT, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|end|>", pad_token="<|end|>")
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=heads,
        max_position_embeddings=CONTEXT, eos_token_id=tokenizer.eos_token_id, bos_token_id=None,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def make_adapter(base: Path, folder: Path, seed: int) -> Path:
    """A LoRA adapter with random weights, strong enough that each seed answers differently."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    config = LoraConfig(r=4, lora_alpha=64, target_modules=["q_proj", "v_proj", "down_proj"], init_lora_weights=False)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    model.save_pretrained(str(folder))
    return folder


def register(registry: Registry, author: str, folder: Path, fingerprint: str, **changes: Any) -> ModelVersion:
    """Register `folder` (base/ and adapter/) as a nano version of the author; changes: of what it was made from."""
    run = registry.start_run(author, "test", {})
    version = registry.register(
        author, run_id=run, folder=folder,
        **{
            "base_model": "nano", "base_identity": "nano", "is_nano": True, "dataset_version": "d1",
            "dataset_delta_version": 0, "corpus_version": "c1", "code_version": "t1", "fingerprint": fingerprint,
            "metrics": {}, **changes,
        },
    )  # fmt: skip
    registry.end_run(run)
    return version
