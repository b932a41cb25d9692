"""Engines on a CPU, same weights: tokens a second alone and eight at once, memory, and the loss of 8 and 4 bits.

A random Llama of SmolLM2-135M's shape (speed does not depend on what the weights say) and, for the loss, a nano that
learned the project's documentation.
"""

import argparse
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import polars as pl
from rich.console import Console
from rich.table import Table

from benchmarks import adapter_inputs, llama_cpp
from benchmarks.corpus import make_text

PROMPT, NEW, ROWS, RANK = 128, 64, 8, 16
REFERENCE = "transformers generate, 32 bits"
SHAPE = {
    "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
    "num_attention_heads": 9, "num_key_value_heads": 3, "max_position_embeddings": 2048, "tie_word_embeddings": True,
}  # fmt: skip
QUICK = {"hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 3}

# (prompts, tokens to write) to (ms to the first token, seconds of all after it): of all rows together
Timed = Callable[[list[list[int]], int], tuple[float, float]]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small model, one repetition")
    parser.add_argument("--part", choices=("speed", "loss"), help="one of the tables alone")
    parser.add_argument("--repetitions", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.part != "loss":
            shape = {**SHAPE, **(QUICK if options.quick else {})}
            speeds(Path(folder), shape, 1 if options.quick else options.repetitions)
        if options.part != "speed":
            losses(Path(folder), seconds=5.0 if options.quick else 25.0)


def speeds(folder: Path, shape: dict[str, Any], repetitions: int) -> None:
    """Every engine in turn, repetition by repetition, so that a busy machine is so for all of them."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from twin_assets.core.training.nano import train_tokenizer

    torch.manual_seed(0)
    tokenizer = train_tokenizer([make_text(number) for number in range(200)], 2048)
    end = tokenizer.eos_token_id
    model = LlamaForCausalLM(LlamaConfig(**shape, rope_theta=100000.0, eos_token_id=end, pad_token_id=end)).eval()
    base = folder / "base"
    model.save_pretrained(base)
    tokenizer.save_pretrained(base)
    engines: dict[str, Timed] = {REFERENCE: plain(model)}
    for bits in ("int8", "int4"):
        engines[f"exported, {bits}"] = exported(base, folder / bits, bits)
    for name, adapters in (("one adapter", 1), ("an adapter each", ROWS)):
        engines[f"int8 with {name} as inputs"] = with_adapters(base, folder / "int8", adapters)
    engines["reference engine, bf16"] = reference(base)
    if llama_cpp.available():
        llama_cpp.write_gguf(model, tokenizer, folder / "model.gguf")
        engines["llama.cpp Q8_0"] = in_llama_cpp(folder / "model.gguf")
    else:
        print("llama.cpp is left out: `pip install xllamacpp gguf` brings it")
    random = torch.Generator().manual_seed(1)
    prompts = torch.randint(5, shape["vocab_size"], (ROWS, PROMPT), generator=random).tolist()
    times: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for run in engines.values():
        run(prompts[:1], 4)
    for _ in range(repetitions):
        for rows in (1, ROWS):
            for name, run in engines.items():
                times.setdefault((name, rows), []).append(run(prompts[:rows], NEW))
    show(engines, times)


def show(engines: dict[str, Timed], times: dict[tuple[str, int], list[tuple[float, float]]]) -> None:
    """Medians, and ratios to transformers' generate."""
    table = Table(title=f"Greedy, prompts of {PROMPT} tokens, {NEW} new ones; medians")
    for column in ("", "first token ms", "alone tokens/s", "ratio", f"{ROWS} at once tokens/s", "ratio"):
        table.add_column(column, justify="left" if not column else "right")

    def speed(name: str, rows: int) -> float:
        return rows * (NEW - 1) / median(seconds for _, seconds in times[name, rows])

    for name in engines:
        first = median(first for first, _ in times[name, 1])
        ratios = [speed(name, rows) / speed(REFERENCE, rows) for rows in (1, ROWS)]
        table.add_row(
            name, f"{first:.0f}", f"{speed(name, 1):.0f}", f"{ratios[0]:.1f}", f"{speed(name, ROWS):.0f}",
            f"{ratios[1]:.1f}",
        )  # fmt: skip
    Console(width=140).print(table)


def plain(model: Any) -> Timed:
    """transformers' generate() of a batch; the time to the first token is that of writing one."""
    import torch

    def run(prompts: list[list[int]], tokens: int) -> tuple[float, float]:
        ids = torch.tensor(prompts)

        def write(count: int) -> float:
            started = time.perf_counter()
            with torch.inference_mode():
                model.generate(
                    ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=count,
                    min_new_tokens=count,
                )  # fmt: skip
            return time.perf_counter() - started

        first = write(1)
        return first * 1000, write(tokens) - first

    return run


def exported(base: Path, folder: Path, bits: str) -> Timed:
    """The engine of exported models, as it serves."""
    from datetime import UTC, datetime

    from twin_assets.core.serving_export import Export
    from twin_assets.core.serving_export_worker import build
    from twin_serving.engines.batching import Row
    from twin_serving.engines.onnx_engine import OnnxModel
    from twin_serving.engines.streaming import Generation

    folder.mkdir()
    problem = build(base, folder, bits)
    assert problem is None, problem
    export = Export(engine="onnx", reason="", context=SHAPE["max_position_embeddings"], made_at=datetime.now(UTC))
    model = OnnxModel(base, folder, export)

    def tokens(prompt: list[int], count: int) -> Iterator[int]:
        return model.decoder.tokens(Row(prompt, count, (), Generation([], temperature=0.0), None, "all"))

    return lambda prompts, count: together(prompts, count, tokens)


def with_adapters(base: Path, folder: Path, adapters: int) -> Timed:
    """The base in 8 bits with adapters of rank 16 on every product as inputs: one for all rows, or one for each."""
    from datetime import UTC, datetime

    from twin_assets.core.serving_export import GRAPH, Export
    from twin_serving.engines.batching import Decoder, Row
    from twin_serving.engines.onnx_engine import OnnxModel
    from twin_serving.engines.streaming import Generation

    # A folder of its own, as a loaded export is always called the same; the weights are those beside the other graph.
    place = folder.with_name(f"{folder.name} adapters {adapters}")
    place.mkdir()
    (place / f"{GRAPH}.data").hardlink_to(folder / f"{GRAPH}.data")
    weights = adapter_inputs.made_up(adapter_inputs.add_inputs(folder / GRAPH, place / GRAPH), RANK, adapters)
    export = Export(engine="onnx", reason="", context=SHAPE["max_position_embeddings"], made_at=datetime.now(UTC))
    model = OnnxModel(base, place, export)
    decoder = Decoder(lambda: adapter_inputs.AdapterBatch(model, weights))

    def tokens(prompt: list[int], count: int) -> Iterator[int]:
        return decoder.tokens(Row(prompt, count, (), Generation([], temperature=0.0), None, "all"))

    return lambda prompts, count: together(prompts, count, tokens)


def reference(base: Path) -> Timed:
    """The reference engine, as it serves."""
    from twin_serving.engines.batching import Row
    from twin_serving.engines.streaming import Generation
    from twin_serving.engines.transformers_engine import Base

    loaded = Base(base)
    assert loaded.decoder is not None
    decoder = loaded.decoder

    def tokens(prompt: list[int], count: int) -> Iterator[int]:
        return decoder.tokens(Row(prompt, count, (), Generation([], temperature=0.0), None, "all"))

    return lambda prompts, count: together(prompts, count, tokens)


def in_llama_cpp(path: Path) -> Timed:
    """llama.cpp's server, by its own clock, in a process of its own: beside torch's and onnxruntime's threads in one
    it wrote 26 tokens a second instead of 71."""
    process = ProcessPoolExecutor(1, get_context("spawn"), llama_cpp.start, (path, ROWS, PROMPT + NEW + 16))

    def run(prompts: list[list[int]], tokens: int) -> tuple[float, float]:
        found = process.submit(llama_cpp.complete, prompts, tokens).result()
        # Prompts are read together, in one batch: all rows begin to write at once.
        return found[0]["prompt_ms"], max(each["predicted_ms"] for each in found) / 1000

    return run


def together(
    prompts: list[list[int]], count: int, tokens: Callable[[list[int], int], Iterator[int]]
) -> tuple[float, float]:
    """One thread a prompt: (ms to the first token of the first, seconds from when all have one to the last token)."""
    began: list[float] = []
    ended: list[float] = []

    def one(prompt: list[int]) -> None:
        written = tokens(prompt, count)
        next(written)
        began.append(time.perf_counter())
        for _ in written:
            pass
        ended.append(time.perf_counter())

    threads = [threading.Thread(target=one, args=(prompt,)) for prompt in prompts]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (min(began) - started) * 1000, max(ended) - max(began)


def losses(folder: Path, seconds: float) -> None:
    """Held-out loss of exports against the weights they were made from, as an approval measures it."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from twin_assets.core.serving_export_worker import make
    from twin_assets.core.training.nano import build_nano

    documents = sorted((Path(__file__).parent.parent / "docs").glob("*.md"))
    texts = [part for path in documents for part in path.read_text("utf-8").split("\n\n") if len(part) > 200]
    held_out = texts[::7]
    build_nano([text for text in texts if text not in held_out], folder / "nano", seconds=seconds)
    adapted = get_peft_model(
        AutoModelForCausalLM.from_pretrained(folder / "nano"),
        LoraConfig(r=RANK, lora_alpha=2, target_modules="all-linear", init_lora_weights=False),
    ).eval()
    adapted.save_pretrained(str(folder / "adapter"))
    samples = pl.DataFrame(
        [{"form": "article", "instruction": "Write", "context": "", "target": text} for text in held_out[:32]]
    )
    table = Table(title=f"Held-out loss of a nano, {samples.height} texts")
    for column in ("", "reference", "exported", "difference", "serves"):
        table.add_column(column, justify="left" if not column else "right")
    for bits in ("fp32", "int8", "int4"):
        target = folder / f"loss {bits}"
        target.mkdir()
        found = make(folder / "nano", folder / "adapter", "Ann", samples, 512, target, bits)
        assert found.loss is not None
        assert found.loss_reference is not None
        share = found.loss / found.loss_reference - 1
        serves = "yes" if found.engine == "onnx" else "no"
        table.add_row(
            f"merged, {bits}", f"{found.loss_reference:.4f}", f"{found.loss:.4f}", f"{share:+.3%}", serves,
        )  # fmt: skip
        loss = adapter_loss(folder, bits, adapted, samples)
        share = loss / found.loss_reference - 1
        table.add_row(f"adapter as inputs, {bits} base", "", f"{loss:.4f}", f"{share:+.3%}", "")
    Console(width=140).print(table)


def adapter_loss(folder: Path, bits: str, adapted: Any, samples: pl.DataFrame) -> float:
    """The loss of the base in so many bits with the adapter in 32 bits beside it."""
    from transformers import AutoTokenizer

    from twin_assets.core.prompts import encode_example, messages
    from twin_assets.core.serving_export_worker import WHOLE, build, graph_loss

    place = folder / f"base {bits}"
    place.mkdir()
    build(folder / "nano", place, bits)
    products = adapter_inputs.add_inputs(place / WHOLE, place / "adapters.onnx")
    tokenizer = AutoTokenizer.from_pretrained(folder / "nano")
    examples = [
        encode_example(tokenizer, messages("Ann", row["form"], row["instruction"], row["context"]), row["target"], 512)
        for row in samples.iter_rows(named=True)
    ]
    return graph_loss(place / "adapters.onnx", examples, adapter_inputs.of_peft(adapted, products))


if __name__ == "__main__":
    main()
