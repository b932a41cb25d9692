"""Random models of SmolLM2-135M's shape with adapters, for the benchmarks of serving: weights cost time, not sense."""

from pathlib import Path
from typing import Any

from tests.serving_models import TEXT

VOCABULARY = 49_152


def make_base(folder: Path, *, small: bool = False) -> Path:
    """A random Llama of SmolLM2-135M's shape in bfloat16, or one of two million weights; saved with a tokenizer."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    raw.train_from_iterator(
        TEXT * 3, trainers.BpeTrainer(vocab_size=400, special_tokens=["<|end|>"], show_progress=False)
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|end|>", pad_token="<|end|>")
    tokenizer.save_pretrained(folder)
    sizes: dict[str, Any] = {
        "vocab_size": 400, "hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 4,
        "num_attention_heads": 4, "num_key_value_heads": 2,
    } if small else {
        "vocab_size": VOCABULARY, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
        "num_attention_heads": 9, "num_key_value_heads": 3,
    }  # fmt: skip
    torch.manual_seed(0)
    config = LlamaConfig(
        **sizes, max_position_embeddings=2048, tie_word_embeddings=True, eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    model: Any = LlamaForCausalLM(config)
    (model if small else model.to(torch.bfloat16)).save_pretrained(folder)
    return folder


def make_adapters(base: Path, folder: Path, count: int, rank: int = 16, scale: float = 0.02) -> list[Path]:
    """`count` LoRA adapters on all linear layers, as the standard recipe trains them, with random weights."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    config = LoraConfig(r=rank, lora_alpha=rank, target_modules="all-linear", init_lora_weights=False)
    model: Any = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    folders = []
    for seed in range(count):
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, weights in model.named_parameters():
                if "lora_" in name:
                    weights.normal_(0, scale, generator=generator)
        model.save_pretrained(str(folder / str(seed)))
        folders.append(folder / str(seed))
    return folders
