"""The way not taken: LoRA adapters as inputs of the exported graph, so that many twins share one base in 8 bits.

Kept to measure it beside merged exports: what it gives up in speed, and how exact it is.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from twin_serving.engines.onnx_engine import OnnxBatch, OnnxModel

Weights = dict[str, npt.NDArray[np.float32]]
PARTS = {"qkv_proj": ("q_proj", "k_proj", "v_proj")}  # what the builder packs into one product


def add_inputs(source: Path, target: Path) -> list[tuple[str, int, int]]:
    """Write the graph with an adapter beside each product of a layer; returns (name, inputs, outputs) of each.

    Inputs NAME.A [1 or rows, inputs, rank] and NAME.B [1 or rows, rank, outputs], scaled already.
    """
    import onnx
    from onnx import TensorProto, helper

    graph = onnx.load(source, load_external_data=False)
    sizes = {each.name: list(each.dims) for each in graph.graph.initializer}
    nodes, found = [], []
    for node in graph.graph.node:
        nodes.append(node)
        if node.op_type not in ("MatMul", "MatMulNBits") or not node.name.startswith("/model/layers."):
            continue
        said = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        inputs, outputs = (said["K"], said["N"]) if node.op_type == "MatMulNBits" else sizes[node.input[1]]
        name, result = node.name.removeprefix("/model/").rpartition("/")[0].replace("/", "."), node.output[0]
        node.output[0] = f"{result}/base"
        rank = f"rank of {name}"
        for part, shape in (("A", ["adapters", inputs, rank]), ("B", ["adapters", rank, outputs])):
            graph.graph.input.append(helper.make_tensor_value_info(f"{name}.{part}", TensorProto.FLOAT, shape))
        nodes += [
            helper.make_node("MatMul", [node.input[0], f"{name}.A"], [f"{result}/A"], f"{node.name}/A"),
            helper.make_node("MatMul", [f"{result}/A", f"{name}.B"], [f"{result}/B"], f"{node.name}/B"),
            helper.make_node("Add", [f"{result}/base", f"{result}/B"], [result], f"{node.name}/Add"),
        ]
        found.append((name, inputs, outputs))
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)
    onnx.save(graph, target)
    return found


def of_peft(model: Any, products: list[tuple[str, int, int]]) -> Weights:
    """The weights of a PEFT model's adapter, as the inputs of one row."""
    weights: Weights = {}
    for name, _, outputs in products:
        _, layer, kind, product = name.split(".")
        block = getattr(model.base_model.model.model.layers[int(layer)], "self_attn" if kind == "attn" else kind)
        parts = [getattr(block, part) for part in PARTS.get(product, (product,))]
        first = [part.lora_A["default"].weight.detach().numpy().T for part in parts]
        second = [part.lora_B["default"].weight.detach().numpy().T * part.scaling["default"] for part in parts]
        joined = np.zeros((sum(len(each) for each in second), outputs), np.float32)
        row = column = 0
        for each in second:
            joined[row : row + each.shape[0], column : column + each.shape[1]] = each
            row, column = row + each.shape[0], column + each.shape[1]
        weights[f"{name}.A"] = np.ascontiguousarray(np.concatenate(first, axis=1)[None])
        weights[f"{name}.B"] = joined[None]
    return weights


def made_up(products: list[tuple[str, int, int]], rank: int, adapters: int) -> Weights:
    """Random small adapters of a rank."""
    random = np.random.default_rng(0)
    weights: Weights = {}
    for name, inputs, outputs in products:
        ranks = rank * len(PARTS.get(name.rpartition(".")[2], ("",)))
        weights[f"{name}.A"] = random.standard_normal((adapters, inputs, ranks)).astype(np.float32) * 0.01
        weights[f"{name}.B"] = random.standard_normal((adapters, ranks, outputs)).astype(np.float32) * 0.01
    return weights


class AdapterBatch(OnnxBatch):
    """Rows that decode together, each with an adapter of its own, or all with the first."""

    def __init__(self, model: OnnxModel, adapters: Weights) -> None:
        super().__init__(model)
        self.adapters = adapters

    def _bound(self, first: int, end: int) -> Any:
        binding = super()._bound(first, end)
        for name, value in self.adapters.items():
            part = value if len(value) == 1 else value[first:end]
            binding.bind_input(name, "cpu", 0, np.float32, part.shape, part.ctypes.data)
        return binding
