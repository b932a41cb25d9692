"""Base models: what `base_model` means on this machine. Nothing ever falls back to a model nobody asked for."""

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from twin_assets.core.documents import content_hash
from twin_assets.core.errors import ModelError, UnknownModelError
from twin_assets.core.training.preflight import SHAPES, Machine, ModelShape, Workload, preflight
from twin_assets.settings import Settings

# What `auto` chooses among, largest first: small instruct models under open licences, with their shapes, so that the
# choice needs no download.
AUTO_BASES: tuple[tuple[str, ModelShape], ...] = (
    ("Qwen/Qwen2.5-7B-Instruct", SHAPES["7B"]),
    ("Qwen/Qwen2.5-1.5B-Instruct", SHAPES["1.5B"]),
    ("Qwen/Qwen2.5-0.5B-Instruct", SHAPES["0.5B"]),
    ("HuggingFaceTB/SmolLM2-135M-Instruct", ModelShape(134_515_008, 576, 30, 49_152, 1_536, tied=True)),
)
AUTO_MINUTES = 60.0
# For asking what auto would choose before there is a dataset: about 200 posts.
TYPICAL = Workload(tokens=50_000)
REACH_SECONDS = 1.5
# Weights as safetensors and what a tokenizer is made of; never a format that can run code.
ALLOWED_FILES = ("*.safetensors", "*.safetensors.index.json", "*.json", "*.jinja", "tokenizer.model", "merges.txt")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True, slots=True)
class BaseModel:
    """A base model to train on.

    kind: nano, hub or folder; name: "nano", the hub id or the folder as set; why: how it was chosen;
    identity: changes with the model's content (revision or files); path: local folder once there.
    """

    kind: Literal["nano", "hub", "folder"]
    name: str
    why: str
    identity: str
    path: Path | None = None


def resolve_base(setting: str, settings: Settings, workload: Workload = TYPICAL) -> BaseModel:
    """The base model a setting (auto, nano, hub id or folder) stands for here; downloads nothing.

    workload: what is to be trained, by which auto chooses.
    Raises UnknownModelError where a named model is not to be had.
    """
    if setting == "nano":
        return BaseModel("nano", "nano", "chosen in the settings", "nano")
    if setting == "auto":
        return _choose(settings, workload)
    folder = Path(setting).expanduser()
    if folder.is_dir():
        return _local(setting, folder)
    if _HUB_ID.fullmatch(setting):
        return _hub(setting, settings, "chosen in the settings")
    raise UnknownModelError(
        f"There is no base model {setting!r}: it is neither auto, nano, a hub id (owner/name) nor a folder here."
    )


def reach_hub(hub_endpoint: str, seconds: float = REACH_SECONDS) -> str | None:
    """None where the hub answers in time, else why not; one quick attempt."""
    import httpx

    try:
        httpx.get(f"{hub_endpoint.rstrip('/')}/api/models/{AUTO_BASES[-1][0]}", timeout=seconds)
    except httpx.HTTPError as error:
        return f"{hub_endpoint} is not reached ({type(error).__name__})"
    return None


def fetch(base: BaseModel, settings: Settings) -> Path:
    """Local folder of a hub or folder base, downloaded where it is not there yet (safetensors and tokenizer only)."""
    if base.kind == "folder" and base.path is not None:
        return base.path
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    # A killed download leaves a folder that looks whole: only a marked one is used without asking the hub.
    complete = settings.models_folder / "hub" / f"{base.name.replace('/', '--')}-{base.identity}.complete"
    try:
        path = snapshot_download(
            base.name, revision=base.identity, endpoint=settings.hub_endpoint,
            cache_dir=settings.models_folder / "hub", allow_patterns=list(ALLOWED_FILES),
            local_files_only=complete.is_file(),
        )  # fmt: skip
        complete.touch()
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise UnknownModelError(
            f"Base model {base.name} cannot be fetched from {settings.hub_endpoint}: {error}"
        ) from error
    return _checked(base.name, Path(path))


def base_of(name: str, identity: str) -> BaseModel:
    """The base a version was trained on, at the revision it was trained on; raises ModelError for a changed folder."""
    folder = Path(name).expanduser()
    if not folder.is_dir():
        return BaseModel("hub", name, "what the version was trained on", identity)
    base = _local(name, folder)
    if base.identity != identity:
        raise ModelError(f"The base model in {folder} is not the one the adapter was trained on; train again.")
    return base


def shape_of(folder: Path) -> ModelShape:
    """Sizes of a model in a folder, from its configuration and the headers of its weights."""
    from safetensors import safe_open

    configuration = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    parameters = 0
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118 (not a mapping)
                size = 1
                for extent in file.get_slice(name).get_shape():
                    size *= extent
                parameters += size

    def first(*names: str, default: int | None = None) -> int:
        nested = configuration.get("text_config", {})
        found = (int(c[name]) for name in names for c in (configuration, nested) if c.get(name) is not None)
        value = next(found, default)
        if value is None:
            raise ModelError(f"config.json in {folder} does not say {names[0]}; preflight needs it.")
        return value

    return ModelShape(
        parameters, first("hidden_size", "n_embd"), first("num_hidden_layers", "n_layer"), first("vocab_size"),
        first("intermediate_size", "n_inner", default=0),
        tied=bool(first("tie_word_embeddings", default=0)),
    )  # fmt: skip


def _choose(settings: Settings, workload: Workload) -> BaseModel:
    unreached = reach_hub(settings.hub_endpoint)
    if unreached:
        return BaseModel("nano", "nano", f"{unreached}, so the machinery is proved with a model of our own", "nano")
    machine = Machine.measure(settings.models_folder)
    workload = replace(workload, batch=1)  # training puts its batch in as many pieces as memory asks for
    refused: list[str] = []
    for name, shape in AUTO_BASES:
        plan = preflight(shape, workload, machine, limit_minutes=AUTO_MINUTES)
        if plan.ok:
            passed = f"; {'; '.join(refused)}" if refused else ""
            why = f"the largest of {len(AUTO_BASES)} that this machine can train in {AUTO_MINUTES:.0f} minutes{passed}"
            return _hub(name, settings, why)
        refused.append(f"not {name}: {plan.reason}")
    return BaseModel("nano", "nano", f"nothing larger fits this machine ({refused[-1]})", "nano")


def _hub(name: str, settings: Settings, why: str) -> BaseModel:
    """The model's current revision on the hub; where the hub is not reached, the one downloaded before."""
    import httpx
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    hub_endpoint = settings.hub_endpoint

    def downloaded() -> Path | None:
        try:
            return Path(snapshot_download(name, cache_dir=settings.models_folder / "hub", local_files_only=True))
        except LocalEntryNotFoundError:
            return None

    try:
        revision = HfApi(endpoint=hub_endpoint).model_info(name, timeout=10.0).sha
        return BaseModel("hub", name, why, str(revision))
    except RepositoryNotFoundError as error:
        if (path := downloaded()) is not None:
            return BaseModel("hub", name, f"{why} (downloaded before; it is gone from the hub)", path.name, path)
        raise UnknownModelError(
            f"The hub at {hub_endpoint} has no model {name!r}, it was taken down, or it is private; set base_model to "
            "another, or to a folder."
        ) from error
    except (HfHubHTTPError, httpx.HTTPError, OSError) as error:
        if (path := downloaded()) is not None:
            return BaseModel("hub", name, f"{why} (downloaded before; the hub is not reached)", path.name, path)
        raise UnknownModelError(
            f"Base model {name} is not on this machine and {hub_endpoint} is not reached ({error}); "
            "connect, set base_model to a folder, or to nano."
        ) from error


def _local(setting: str, folder: Path) -> BaseModel:
    _checked(setting, folder)
    files = sorted(p for p in folder.iterdir() if p.is_file())
    identity = content_hash([(p.name, p.stat().st_size) for p in files], (folder / "config.json").read_text("utf-8"))
    return BaseModel("folder", setting, "chosen in the settings", identity, folder)


def _checked(name: str, folder: Path) -> Path:
    if not (folder / "config.json").is_file():
        raise UnknownModelError(f"Base model {name} at {folder} has no config.json; it is not a model folder.")
    if not any(folder.glob("*.safetensors")):
        raise ModelError(f"Base model {name} has no safetensors weights, and other formats are not loaded.")
    try:
        json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"config.json of base model {name} at {folder} cannot be read: {error}") from error
    return folder
