"""Backends: how a base is loaded for training and gets what is trained on it. Plain transformers and peft everywhere;
unsloth where it is installed and there is a GPU (not run where this was written: there was none)."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from twin_assets.core.errors import ConfigurationError, ModelError
from twin_assets.core.prompts import prepare_tokenizer
from twin_assets.core.training.families import adapter_configuration, family_of
from twin_assets.core.training.recipes import Recipe


def has_gpu() -> bool:
    """Whether torch finds a GPU here."""
    import torch

    return torch.cuda.is_available()


def load_base(folder: Path, *, four_bits: bool = False, place: bool = True) -> tuple[Any, Any]:
    """(model, tokenizer) from a folder: safetensors only, no remote code; bfloat16 on a GPU, float32 on CPU.

    four_bits: weights in NF4 with double quantisation (QLoRA, arXiv 2305.14314); place: move it to the GPU (several
    processes leave that to accelerate). Raises ModelError where the folder holds no model this machine can load.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    gpu = has_gpu()
    options: dict[str, Any] = {"dtype": torch.bfloat16 if gpu else torch.float32}
    if four_bits:
        options |= _four_bits()
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder, use_safetensors=True, trust_remote_code=False, local_files_only=True, **options
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"The base model in {folder} cannot be loaded: {error}") from error
    prepare_tokenizer(tokenizer)
    return (model.to("cuda") if gpu and place and not four_bits else model), tokenizer


def trainable(folder: Path, recipe: Recipe) -> tuple[Any, Any]:
    """(peft model that trains what the recipe says, tokenizer). Raises ModelError, ConfigurationError."""
    if backend_of(recipe) == "unsloth":
        return _with_unsloth(folder, recipe)
    from accelerate import PartialState

    model, tokenizer = load_base(folder, four_bits=recipe.method == "qlora", place=PartialState().num_processes == 1)
    return adapted(model, recipe), tokenizer


def adapted(model: Any, recipe: Recipe) -> Any:
    """A loaded model with what the recipe trains on it, by peft."""
    from peft import get_peft_model, prepare_model_for_kbit_training

    if recipe.method == "qlora":
        model = prepare_model_for_kbit_training(
            model,
            use_gradient_checkpointing=recipe.checkpointing,
            gradient_checkpointing_kwargs={"use_reentrant": False},
        )
    tuned: Any = get_peft_model(model, adapter_configuration(model, recipe))
    for parameter in tuned.parameters():
        if parameter.requires_grad:  # steps smaller than bfloat16 can tell would be lost
            parameter.data = parameter.data.float()
    return tuned


def backend_of(recipe: Recipe) -> Literal["trl", "unsloth"]:
    """The backend a recipe is trained with on this machine; raises ConfigurationError for one that is not to be had."""
    usable = recipe.method in ("lora", "rslora", "qlora") and find_spec("unsloth") is not None and has_gpu()
    if recipe.backend == "unsloth" and not usable:
        raise ConfigurationError(
            "backend=unsloth takes a GPU, the package unsloth (`make install-gpu`) and the method lora, rslora or "
            "qlora; set backend=auto."
        )
    return "unsloth" if usable and recipe.backend != "trl" else "trl"


def _four_bits() -> dict[str, Any]:
    if not has_gpu() or find_spec("bitsandbytes") is None:
        raise ModelError(
            "method=qlora keeps the base in 4 bits, which takes a GPU and the package bitsandbytes (extra `gpu`); "
            "set method=lora or choose a smaller base model."
        )
    import torch
    from accelerate import PartialState
    from transformers import BitsAndBytesConfig

    return {
        "quantization_config": BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        ),
        "device_map": {"": PartialState().local_process_index},
    }


def _with_unsloth(folder: Path, recipe: Recipe) -> tuple[Any, Any]:
    from unsloth import FastLanguageModel

    try:
        model, tokenizer = FastLanguageModel.from_pretrained(
            str(folder), max_seq_length=recipe.length, load_in_4bit=recipe.method == "qlora", trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"unsloth cannot load the base model in {folder}: {error}; set backend=trl.") from error
    prepare_tokenizer(tokenizer)
    targets = family_of(model.config.to_dict()).target_modules
    tuned = FastLanguageModel.get_peft_model(
        model,
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=recipe.dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        use_rslora=recipe.method == "rslora",
        use_gradient_checkpointing="unsloth" if recipe.checkpointing else False,
        random_state=recipe.seed,
    )
    return tuned, tokenizer
