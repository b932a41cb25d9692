"""Adapters that are more than plain LoRA (DoRA, whole layers), put into the model by PEFT; one at a time is used."""

from pathlib import Path
from typing import Any

CHANGED = ""  # no adapter's name: what is used has to be set anew


class PeftAdapters:
    """The model with such adapters in it. For whoever alone computes with it."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self._wrapped = False
        self._used: str | None = None  # the adapter that the model computes with

    def load(self, folder: Path, name: str) -> int:
        """Put an adapter in and return its bytes. Raises what PEFT raises where it does not fit."""
        from peft import PeftModel

        # In the base's own precision, and without drawing the random weights that the file's replace.
        options: dict[str, Any] = {"adapter_name": name, "autocast_adapter_dtype": False, "low_cpu_mem_usage": True}
        if self._wrapped:
            self.model.load_adapter(str(folder), **options)
        else:
            self.model = PeftModel.from_pretrained(self.model, str(folder), **options).eval()
            self._wrapped = True
        self._used = CHANGED
        named = self.model.named_parameters()
        return sum(weights.numel() * weights.element_size() for path, weights in named if f".{name}." in path)

    def delete(self, name: str) -> None:
        """Take an adapter out."""
        if len(self.model.peft_config) > 1:
            self.model.delete_adapter(name)
            self._used = CHANGED
        else:  # PEFT's wrapper does not compute without any
            self.model, self._wrapped, self._used = self.model.unload(), False, None

    def use(self, name: str | None) -> None:
        """Compute with this adapter from now on, or with none."""
        if name == self._used or not self._wrapped:
            return
        if name is None:
            self.model.base_model.disable_adapter_layers()
        else:
            self.model.base_model.enable_adapter_layers()
            # Not set_adapter's default: that would turn gradients on for the adapter.
            self.model.set_adapter(name, inference_mode=True)
        self._used = name
