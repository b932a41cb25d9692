"""Plain LoRA without touching the model: an adapter is two small matrices for a layer, added to what the layer gives.

PEFT puts every adapter into the model as modules. That stops the batch while it loads, takes longer the more there are
(1.4 s for the ninth on SmolLM2-135M's shape) and computes a mixed batch adapter by adapter. Here loading reads a file,
switching costs nothing, and all rows of a layer are two batched products. What is not plain LoRA is left to PEFT.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

A, B = ".lora_A.weight", ".lora_B.weight"
PREFIX = "base_model.model."


@dataclass(eq=False)
class LoraWeights:
    """An adapter's matrices by layer: (down: rank × in, up: out × rank, with the scaling in it)."""

    layers: dict[str, tuple[Any, Any]]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(each.numel() * each.element_size() for pair in self.layers.values() for each in pair)


def read_lora(folder: Path, modules: Mapping[str, Any], dtype: Any, device: str) -> LoraWeights | None:
    """The adapter in the folder, in the model's precision; None where it is more than plain LoRA on linear layers.

    modules: the model's linear layers by name. Raises ValueError where a matrix does not fit its layer.
    """
    from peft import PeftConfig
    from safetensors.torch import load_file

    config: Any = PeftConfig.from_pretrained(str(folder))
    if not is_plain(config):
        return None
    weights = load_file(folder / "adapter_model.safetensors", device=device)
    names = {name.removeprefix(PREFIX).removesuffix(A) for name in weights if name.endswith(A)}
    if len(weights) != 2 * len(names) or not names <= modules.keys():
        return None
    if any("expert" in name for name in names):  # which see tokens of all rows, sorted
        return None
    layers = {}
    for name in names:
        down, up = weights[f"{PREFIX}{name}{A}"], weights[f"{PREFIX}{name}{B}"]
        if (up.shape[0], down.shape[1]) != _shape(modules[name]):
            raise ValueError(f"the adapter's {name} is for another size of layer")
        layers[name] = down.to(dtype), (up * _scaling(config, name, down.shape[0])).to(dtype)
    return LoraWeights(layers)


def is_plain(config: Any) -> bool:
    """Whether an adapter's configuration says LoRA and no more."""
    return (
        str(getattr(config.peft_type, "value", config.peft_type)) == "LORA"
        and not config.use_dora
        and config.bias == "none"
        and not config.modules_to_save
        and not any(getattr(config, name, None) for name in ("trainable_token_indices", "target_parameters"))
        and not any(getattr(config, name, None) for name in ("layer_replication", "alora_invocation_tokens"))
    )


def linear_layers(model: Any) -> dict[str, Any]:
    """The model's linear layers by name (GPT-2's Conv1D is one)."""
    import torch
    from transformers.pytorch_utils import Conv1D

    return {name: module for name, module in model.named_modules() if isinstance(module, torch.nn.Linear | Conv1D)}


class LoraLayers:
    """Adds each row's adapter to what the linear layers give. For the one thread that computes."""

    def __init__(self, modules: Mapping[str, Any]) -> None:
        self.rows: list[LoraWeights | None] = []
        self._used = False
        self._stacks: dict[str, tuple[Any, Any]] = {}  # of the rows
        for name, module in modules.items():
            module.register_forward_hook(self._hook(name))

    def set(self, rows: Sequence[LoraWeights | None]) -> None:
        """The adapter of each row from now on."""
        self._used = any(row is not None for row in rows)
        if self._used and rows != self.rows:
            self.rows, self._stacks = list(rows), {}

    def _hook(self, name: str) -> Any:
        def add(module: Any, arguments: tuple[Any, ...], output: Any) -> Any:
            if not self._used:
                return None
            if name not in self._stacks:
                self._stacks[name] = self._stack(name, module)
            down, up = self._stacks[name]
            if down is None:
                return None
            if down.dim() != 2 and arguments[0].dim() != 3:
                raise RuntimeError(f"the rows of {name} are not those of the batch")
            return output + arguments[0] @ down @ up

        return add

    def _stack(self, name: str, module: Any) -> tuple[Any, Any]:
        """(in × rank, rank × out) where all rows have the same, else one below the other; (None, None) for none."""
        import torch

        pairs = [None if row is None else row.layers.get(name) for row in self.rows]
        some = [pair for pair in pairs if pair is not None]
        if not some:
            return None, None
        if all(row is self.rows[0] for row in self.rows):
            return some[0][0].T, some[0][1].T
        out_size, in_size = _shape(module)
        rank = max(pair[0].shape[0] for pair in some)
        down = torch.zeros((len(pairs), in_size, rank), dtype=some[0][0].dtype, device=some[0][0].device)
        up = torch.zeros((len(pairs), rank, out_size), dtype=down.dtype, device=down.device)
        for index, pair in enumerate(pairs):
            if pair is not None:
                down[index, :, : pair[0].shape[0]] = pair[0].T
                up[index, : pair[1].shape[1]] = pair[1].T
        return down, up


def _shape(module: Any) -> tuple[int, int]:
    """(out, in)"""
    shape = module.weight.shape
    return (shape[1], shape[0]) if type(module).__name__ == "Conv1D" else (shape[0], shape[1])


def _scaling(config: Any, name: str, rank: int) -> float:
    from peft.utils.other import get_pattern_key

    alpha = config.alpha_pattern.get(get_pattern_key(config.alpha_pattern.keys(), name), config.lora_alpha)
    return float(alpha / math.sqrt(rank) if config.use_rslora else alpha / rank)
