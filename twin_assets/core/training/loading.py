"""Loading a registered version: its base and its adapter, for evaluation and for serving."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from twin_assets.core.errors import ModelError
from twin_assets.core.registry import ModelVersion

if TYPE_CHECKING:
    from twin_assets.core.workspace import Workspace


def base_folder(workspace: "Workspace", version: ModelVersion) -> Path:
    """Folder of the base a version's adapter belongs on: its own for a nano, else the hub's download or the folder.

    Raises UnknownModelError where it is neither here nor to be fetched.
    """
    if version.is_nano:
        return workspace.registry.folder(version.author, version.version) / "base"
    from twin_assets.core.training.bases import base_of, fetch

    base = base_of(version.base_model, version.base_identity)
    return fetch(base, workspace.settings)


def load_version(workspace: "Workspace", version: ModelVersion) -> tuple[Any, Any]:
    """(peft model with the version's adapter, tokenizer), in evaluation mode; raises ModelError.

    The tokenizer is the one saved with the adapter, so that its chat template is the one that was trained.
    """
    from peft import PeftModel
    from transformers import AutoTokenizer

    from twin_assets.core.training.sft import load_base, quiet

    quiet()
    adapter = workspace.registry.folder(version.author, version.version) / "adapter"
    base, _ = load_base(base_folder(workspace, version))
    try:
        tokenizer = AutoTokenizer.from_pretrained(adapter, trust_remote_code=False, local_files_only=True)
        model = PeftModel.from_pretrained(base, str(adapter), local_files_only=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(
            f"Model version {version.version} of {version.author!r} in {adapter} cannot be loaded: {error}"
        ) from error
    return model.eval(), tokenizer
