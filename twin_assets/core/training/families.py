"""Model families: what an adapter attaches to, decided by the model's own configuration."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from twin_assets.core.training.recipes import Recipe


@dataclass(frozen=True, slots=True)
class Family:
    """What LoRA has to know of an architecture.

    model_types: values of the configuration's `model_type`; target_modules: names of the linear layers that get an
    adapter; fan_in_fan_out: their weights are stored transposed (GPT-2's Conv1D).
    """

    name: str
    model_types: tuple[str, ...]
    target_modules: tuple[str, ...] | str
    fan_in_fan_out: bool = False


_LLAMA_SHAPED = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

FAMILIES = (
    Family("Llama", ("llama", "smollm3"), _LLAMA_SHAPED),
    Family("Mistral", ("mistral", "ministral", "mistral3"), _LLAMA_SHAPED),
    Family("Qwen", ("qwen2", "qwen3"), _LLAMA_SHAPED),
    Family("Gemma", ("gemma", "gemma2", "gemma3", "gemma3_text"), _LLAMA_SHAPED),
    Family("Phi", ("phi",), ("q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2")),
    Family("Phi-3", ("phi3",), ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")),
    Family("GPT-2", ("gpt2",), ("c_attn", "c_proj", "c_fc"), fan_in_fan_out=True),
    Family("GPT-NeoX", ("gpt_neox",), ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h")),
    # The experts are fused parameters, not linear layers: attention alone gets the adapter.
    Family("gpt-oss", ("gpt_oss",), ("q_proj", "k_proj", "v_proj", "o_proj")),
)
# Architectures not in the table: peft finds their linear layers itself.
OTHER = Family("other", (), "all-linear")

_BY_TYPE: Mapping[str, Family] = MappingProxyType({name: f for f in FAMILIES for name in f.model_types})


def family_of(configuration: Mapping[str, Any]) -> Family:
    """The family of a model, from its config.json."""
    return _BY_TYPE.get(str(configuration.get("model_type")), OTHER)


def adapter_configuration(model: Any, recipe: Recipe) -> Any:
    """peft's configuration of what a recipe trains on a model.

    A full fine-tune is an adapter as well, one that holds whole layers (peft's modules_to_save): the base stays what it
    is, and whoever loads, compares, merges or switches adapters does so with it.
    """
    from peft import LoraConfig
    from peft.utils.constants import DUMMY_TARGET_MODULES

    if recipe.method == "full":
        return LoraConfig(
            r=1,
            target_modules=DUMMY_TARGET_MODULES,
            modules_to_save=whole_layers(model),
            task_type="CAUSAL_LM",
        )
    family = family_of(model.config.to_dict())
    targets = family.target_modules
    return LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=recipe.dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        fan_in_fan_out=family.fan_in_fan_out,
        use_dora=recipe.method == "dora",
        use_rslora=recipe.method == "rslora",
        task_type="CAUSAL_LM",
    )


def whole_layers(model: Any) -> list[str]:
    """Names of all layers with weights of their own; embeddings and head are left out where they are one matrix."""
    tied = bool(getattr(model.config, "tie_word_embeddings", False))
    shared = (model.get_input_embeddings(), model.get_output_embeddings()) if tied else ()
    found = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if not list(module.children()) and list(module.parameters(recurse=False)) and module not in shared
    }
    return sorted(found)
