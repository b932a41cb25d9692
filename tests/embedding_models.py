"""A real but tiny embedding model in sentence-transformers' layout, for tests that need another model."""

import json
import shutil
from pathlib import Path

import numpy as np

from twin_assets.core.embedding import weights_folder


def make_tiny_model(folder: Path, dimension: int, seed: int) -> Path:
    """Token embeddings drawn at random, with the built-in model's tokenizer: a bag of words that finds equal words."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    (folder / "onnx").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(weights_folder() / "tokenizer.json", folder / "tokenizer.json")
    words = np.random.default_rng(seed).normal(size=(30522, dimension)).astype(np.float32)
    axes = ["batch", "tokens"]
    graph = helper.make_graph(
        [helper.make_node("Gather", ["words", "input_ids"], ["last_hidden_state"])],
        "tiny",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, axes)],
        [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, [*axes, dimension])],
        [numpy_helper.from_array(words, "words")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder / "onnx" / "model.onnx")
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 64}))
    prompts = {"prompts": {"query": "question: ", "document": ""}}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    return folder
