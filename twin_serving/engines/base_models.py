"""Base models of the reference engine: loading one, and what its family can do."""

from pathlib import Path
from typing import Any

from twin_assets.core.errors import ModelError, first_line

# Weights smaller than this gain nothing from bfloat16 and are served as they were trained.
SMALL_WEIGHTS_BYTES = 200_000_000


def can_batch(model: Any) -> bool:
    """Whether rows of this model can join a batch: attention over the whole text or a window, positions from outside.

    Others (recurrent states, chunks counted from the first token, encoders) generate one after the other.
    """
    import inspect

    from transformers import DynamicCache

    kinds = set(getattr(model.config.get_text_config(decoder=True), "layer_types", None) or [])
    if model.config.is_encoder_decoder or not model._supports_default_dynamic_cache():
        return False
    if not kinds <= {"full_attention", "sliding_attention"}:
        return False
    if "position_ids" not in inspect.signature(model.forward).parameters:
        return False
    layers = {type(layer).__name__ for layer in DynamicCache(config=model.config).layers}
    return layers <= {"DynamicLayer", "DynamicSlidingWindowLayer"}


def forward_arguments(model: Any) -> dict[str, Any]:
    """What this model's forward takes beside tokens, mask and cache."""
    import inspect

    known = inspect.signature(model.forward).parameters
    return {name: value for name, value in {"position_ids": None, "logits_to_keep": 1}.items() if name in known}


def end_tokens(configuration: Any, tokenizer: Any) -> set[int]:
    """Ids that end an answer: the list of the model's GenerationConfig and the tokenizer's end of sequence."""
    configured = configuration.eos_token_id
    ends = set(configured if isinstance(configured, list) else [configured])
    return {int(token) for token in ends | {tokenizer.eos_token_id} if token is not None}


def load_base(folder: Path, device: str) -> tuple[Any, Any]:
    """(tokenizer, model) of a base. Raises ModelError."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=_dtype(folder, device), local_files_only=True, use_safetensors=True, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        raise ModelError(
            f"The base model in {folder} cannot be loaded ({first_line(error)}); train or download it again."
        ) from error
    return tokenizer, model.to(device).eval()


def _dtype(folder: Path, device: str) -> Any:
    import torch

    if device == "cuda":
        return torch.bfloat16
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    fast = bool(torch.cpu._is_avx512_bf16_supported())
    return torch.bfloat16 if fast and size >= SMALL_WEIGHTS_BYTES else torch.float32
