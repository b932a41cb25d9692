"""The process that exports a version: `python -m twin_assets.core.serving_export_worker FOLDER`.

FOLDER holds the job that serving_export laid down; the graph and the result are written there. The graph comes from the
model builder of onnxruntime-genai and is run by onnxruntime itself.
"""

import gc
import json
import logging
import os
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from twin_assets.core.errors import first_line
from twin_assets.core.processes import end_with_parent
from twin_assets.core.serving_export import GRAPH, JOB, RESULT, SAMPLES, Export, judged, refused

NICENESS = 10  # what is served while it runs comes first
WHOLE = "whole.onnx"  # the graph that gives the scores of every token, for measuring

logger = logging.getLogger(__name__)

Example = tuple[list[int], list[int]]


def main(folder: Path) -> None:
    """Merge, export, measure, and write the result."""
    end_with_parent()
    os.nice(NICENESS)
    started = time.monotonic()
    job = json.loads((folder / JOB).read_text(encoding="utf-8"))
    made = make(
        Path(job["base"]), Path(job["adapter"]), job["author_name"], pl.read_parquet(folder / SAMPLES), job["length"],
        folder,
    )  # fmt: skip
    made = made.model_copy(update={"seconds": round(time.monotonic() - started, 1)})
    (folder / RESULT).write_text(made.model_dump_json(), encoding="utf-8")


def make(
    base: Path,
    adapter: Path,
    author_name: str,
    samples: pl.DataFrame,
    length: int,
    folder: Path,
    precision: str = "int8",
) -> Export:
    """Export the base with its adapter into `folder` and measure it on the samples.

    length: tokens of the longest example; precision: int8, int4 or fp32. Families that the builder or our decoding
    cannot take come back as refused.
    """
    from transformers import AutoConfig

    merged = folder / "merged"
    examples, reference, facts = _merge(base, adapter, author_name, samples, length, merged)
    problem = build(merged, folder, precision)
    family = "/".join(AutoConfig.from_pretrained(merged).architectures or ["unknown"])
    shutil.rmtree(merged)
    if problem is not None:
        return refused(f"{family} cannot be exported: {problem}")
    try:
        loss = graph_loss(folder / WHOLE, examples)
    except Exception as error:  # of onnxruntime's own kinds: such as heads of a size its attention does not take
        logger.exception("the graph cannot be run")
        return refused(f"{family} cannot be exported: onnxruntime says {first_line(error)!r}")
    (folder / WHOLE).unlink()
    size = sum(path.stat().st_size for path in folder.glob(f"{GRAPH}*"))
    tokens = sum(sum(label >= 0 for label in labels) for _, labels in examples)
    return judged(loss, reference, samples=len(examples), tokens=tokens, bytes=size, precision=precision, **facts)


def _merge(
    base: Path, adapter: Path, author_name: str, samples: pl.DataFrame, length: int, target: Path
) -> tuple[list[Example], float, dict[str, Any]]:
    """Write the merged model to `target`; returns the encoded samples, their loss, and what serving must know."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from twin_assets.core.prompts import encode_example, messages

    tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True, trust_remote_code=False)
    plain = AutoModelForCausalLM.from_pretrained(
        base, dtype=torch.float32, local_files_only=True, use_safetensors=True, trust_remote_code=False
    )
    model = PeftModel.from_pretrained(plain, str(adapter)).merge_and_unload().eval()
    examples = [
        encode_example(
            tokenizer, messages(author_name, row["form"], row["instruction"], row["context"]), row["target"], length
        )
        for row in samples.iter_rows(named=True)
    ]
    nats = tokens = 0.0
    for ids, labels in examples:
        count = sum(label >= 0 for label in labels)
        with torch.inference_mode():
            loss = model(input_ids=torch.tensor([ids]), labels=torch.tensor([labels])).loss
        nats, tokens = nats + float(loss) * count, tokens + count
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    configured = model.generation_config.eos_token_id
    ends = {*(configured if isinstance(configured, list) else [configured]), tokenizer.eos_token_id} - {None}
    facts = {"ends": sorted(ends), "context": int(model.config.get_text_config(decoder=True).max_position_embeddings)}
    del model, plain
    gc.collect()
    return examples, nats / max(1.0, tokens), facts


def build(model: Path, folder: Path, precision: str) -> str | None:
    """Write the graphs of a model into `folder`: GRAPH for serving, WHOLE for measuring; None, or why it cannot be."""
    import onnx
    import onnxruntime_genai

    onnxruntime_genai.disable_telemetry_events()
    from onnxruntime_genai.models.builder import create_model, parse_extra_options

    built, cache = folder / "built", folder / "cache"
    arguments = ("", str(model), str(built), precision, "cpu", str(cache))
    try:
        create_model(*arguments, **parse_extra_options(*arguments, ["hf_token=false"]))
    except Exception as error:  # of whatever kind: the builder raises many for what it does not know
        logger.exception("the model builder failed")
        shutil.rmtree(built, ignore_errors=True)
        return f"the model builder of onnxruntime-genai says {first_line(error)!r}"
    finally:
        shutil.rmtree(cache, ignore_errors=True)
    graph = onnx.load(built / GRAPH, load_external_data=False)
    problem = _unfit(graph)
    if problem is None:
        for path in built.glob(f"{GRAPH}.data*"):
            path.rename(folder / path.name)
        head_size = json.loads((built / "genai_config.json").read_text("utf-8"))["model"]["decoder"]["head_size"]
        for each in (*graph.graph.input, *graph.graph.output):
            if each.name.startswith(("past_key_values.", "present.")):
                each.type.tensor_type.shape.dim[3].dim_value = head_size  # which the builder leaves open
        onnx.save(graph, folder / WHOLE)
        last_token_only(graph)
        onnx.save(graph, folder / GRAPH)
    shutil.rmtree(built)
    return problem


def _unfit(graph: Any) -> str | None:
    """What keeps our decoding from running a graph, None where nothing does: it must be a plain decoder whose only
    state is keys and values by GroupQueryAttention, which reads rows of different lengths."""
    from onnx import TensorProto

    others = {i.name for i in graph.graph.input if not i.name.startswith("past_key_values.")}
    if not others <= {"input_ids", "attention_mask", "position_ids"}:
        return f"its graph asks for {', '.join(sorted(others))}"
    kept = [i for i in graph.graph.input if i.name.startswith("past_key_values.")]
    if any(i.type.tensor_type.elem_type != TensorProto.FLOAT for i in kept):
        return "its keys and values are not kept in 32 bits"
    attention = {node.op_type for node in graph.graph.node if any("past_key_values." in name for name in node.input)}
    if attention != {"GroupQueryAttention"}:
        return f"its attention is {', '.join(sorted(attention)) or 'of no kind we know'}"
    return None if any(node.name.startswith("/lm_head/MatMul") for node in graph.graph.node) else "it has no plain head"


def last_token_only(graph: Any) -> None:
    """Have a graph score the last token alone: a prompt's others cost a fifth of reading it and are never looked at."""
    import numpy as np
    from onnx import helper, numpy_helper

    nodes = list(graph.graph.node)
    head = next(index for index, node in enumerate(nodes) if node.name.startswith("/lm_head/MatMul"))
    graph.graph.initializer.append(numpy_helper.from_array(np.array([-1], np.int64), "last_token"))
    hidden = nodes[head].input[0]
    nodes.insert(head, helper.make_node("Gather", [hidden, "last_token"], ["last_hidden"], "/last_token", axis=1))
    nodes[head + 1].input[0] = "last_hidden"
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)


def graph_loss(graph: Path, examples: list[Example], more: Mapping[str, Any] | None = None) -> float:
    """Mean loss of the labelled tokens, in nats, as the graph computes it; more: further inputs of it."""
    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    asked = {each.name: each for each in session.get_inputs()}
    nats = tokens = 0.0
    for ids, labels in examples:
        feeds: dict[str, Any] = dict(more or {}) | {
            name: np.zeros((1, each.shape[1], 0, each.shape[3]), np.float32)
            for name, each in asked.items() if name.startswith("past_key_values.")
        }  # fmt: skip
        feeds["input_ids"] = np.array([ids], np.int64)
        feeds["attention_mask"] = np.ones_like(feeds["input_ids"])
        feeds["position_ids"] = np.arange(len(ids), dtype=np.int64)[None]
        scores = session.run(["logits"], {name: feeds[name] for name in asked})[0][0, :-1].astype(np.float64)
        answers = np.array(labels[1:])
        scores, answers = scores[answers >= 0], answers[answers >= 0]
        top = scores.max(axis=1)
        sums = np.log(np.exp(scores - top[:, None]).sum(axis=1)) + top
        nats += float((sums - scores[np.arange(len(answers)), answers]).sum())
        tokens += len(answers)
    return nats / max(1.0, tokens)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
