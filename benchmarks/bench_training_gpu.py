"""Training steps of the true shapes of 7B, 14B, 32B and 70B, random weights, on one GPU, beside what preflight says.

The product's own adapter, trainer and recipes; weights are drawn on the GPU (QLoRA: layer by layer, put into 4 bits at
once), so nothing is downloaded and no disk is filled. Each size runs in a process of its own. Told are tokens a second,
peak memory and model FLOP utilisation, and where unsloth is installed its speed against plain trl on one model. Without
a GPU it says that it did not run; `--tiny` takes the same way with a tiny model on whatever there is.

Model FLOP utilisation counts what the model needs (recomputed activations do not count) against the speed of a large
product of matrices on the same card, measured in the same run.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from twin_assets.core.training.preflight import GIB, SHAPES, Machine, ModelShape, Workload, memory_of, operations_of
from twin_assets.core.training.preflight import preflight as estimate
from twin_assets.core.training.recipes import BY_SIZE, Recipe, changed

# Attention heads and key-value heads, which a shape does not tell; family; how it is trained where one card suffices.
HEADS: dict[str, tuple[int, int, str]] = {
    "0.5B": (14, 2, "qwen2"), "1.5B": (12, 2, "qwen2"), "7B": (28, 4, "qwen2"), "14B": (40, 8, "qwen2"),
    "30B": (40, 8, "qwen2"), "70B": (64, 8, "llama"),
}  # fmt: skip
MEASURED = {"7B": "lora", "14B": "lora", "30B": "lora", "70B": "qlora"}
TINY = ModelShape(0, 64, 2, 512, 128, tied=True)
WARM_UP, STEPS = 2, 6
BUDGET_SECONDS = 520.0
NO_GPU = "bench_training_gpu did not run: torch finds no GPU here. `--tiny` proves the way it takes on the CPU."
MARK = "RESULT "


@dataclass(frozen=True, slots=True)
class Result:
    """What some steps took: seconds of a step, tokens of it, bytes at the peak (0 without a GPU), the card's speed in
    operations a second, and what preflight had said of both."""

    size: str
    method: str
    backend: str
    seconds: float
    tokens: int
    peak: int
    speed: float
    expected_peak: int
    expected_seconds: float
    parameters: int
    checkpointing: bool

    @property
    def tokens_a_second(self) -> float:
        """Tokens that went through the model a second."""
        return self.tokens / self.seconds

    @property
    def utilisation(self) -> float:
        """Share of the card's speed that went into what the model needs, 0 to 1."""
        shape = ModelShape(self.parameters, 0, 0, 0)
        work = Workload(self.tokens, epochs=1, method="lora", checkpointing=False)
        return operations_of(shape, work) / self.seconds / self.speed

    @property
    def memory_ratio(self) -> float | None:
        """Peak against what preflight said; None where it was not measured."""
        return self.peak / self.expected_peak if self.peak else None


def configuration(size: str) -> Any:
    """transformers' configuration of a size's true shape, or of the tiny one."""
    from transformers import LlamaConfig, Qwen2Config

    shape = TINY if size == "tiny" else SHAPES[size]
    heads, groups, family = (4, 2, "qwen2") if size == "tiny" else HEADS[size]
    made = Qwen2Config if family == "qwen2" else LlamaConfig
    return made(
        hidden_size=shape.hidden, num_hidden_layers=shape.layers, num_attention_heads=heads,
        num_key_value_heads=groups, intermediate_size=shape.inner, vocab_size=shape.vocabulary,
        tie_word_embeddings=shape.tied, max_position_embeddings=4096,
    )  # fmt: skip


def random_model(size: str, *, four_bits: bool, device: str) -> Any:
    """A model of the shape with random weights on a device, in bfloat16 on a GPU; four_bits: as QLoRA keeps them."""
    import torch
    from transformers import AutoModelForCausalLM

    shape = configuration(size)
    kind = torch.bfloat16 if device == "cuda" else torch.float32
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(shape, dtype=kind, attn_implementation="sdpa")
    for layer in model.model.layers:
        _draw(layer, device)
        if four_bits:
            _in_four_bits(layer, device)
    for part in (model.model.embed_tokens, model.model.norm, model.lm_head):
        _draw(part, device)
    model.tie_weights()
    rotary = model.model.rotary_emb
    model.model.rotary_emb = type(rotary)(config=shape).to(device)  # its buffers are computed, not drawn
    if four_bits:
        model.is_loaded_in_4bit = True  # what peft asks; the trainer would look for how it was loaded
    return model


def _draw(module: Any, device: str) -> None:
    """Put a module of the meta device on a real one, weights drawn as models are begun with."""
    import torch

    module.to_empty(device=device)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "norm" in name or parameter.dim() == 1:
                parameter.fill_(0.0 if name.endswith("bias") else 1.0)
            else:
                parameter.normal_(0.0, 0.02)


def _in_four_bits(layer: Any, device: str) -> None:
    """Put a layer's linear maps into NF4 with double quantisation, in place."""
    import torch
    from bitsandbytes.nn import Linear4bit, Params4bit

    for name, linear in [each for each in layer.named_modules() if isinstance(each[1], torch.nn.Linear)]:
        small = Linear4bit(
            linear.in_features, linear.out_features, bias=linear.bias is not None, compute_dtype=torch.bfloat16,
            compress_statistics=True, quant_type="nf4", device="meta",
        )  # fmt: skip
        small.weight = Params4bit(
            linear.weight.data, requires_grad=False, quant_type="nf4", compress_statistics=True, module=small
        )
        if linear.bias is not None:
            small.bias = linear.bias
        parent, _, last = name.rpartition(".")
        setattr(layer.get_submodule(parent), last, small.to(device))


def measure(size: str, method: str, steps: int = STEPS) -> Result:
    """Train a random model of this size for some steps in this process."""
    from twin_assets.core.training.backends import adapted, has_gpu

    gpu = has_gpu()
    recipe = recipe_of(size, method, gpu)
    machine = Machine.measure(Path.cwd())
    model = random_model(size, four_bits=method == "qlora", device="cuda" if gpu else "cpu")
    return _steps(size, recipe, machine, adapted(model, recipe), steps, "trl")


def recipe_of(size: str, method: str, gpu: bool) -> Recipe:
    """The recipe of a size, one batch a step; short where it only has to be shown to work."""
    if size == "tiny" or not gpu:
        return changed(BY_SIZE[0][2], {"batch": 2, "length": 64, "method": "lora", "backend": "trl"})
    recipe = next(recipe for name, _, recipe in BY_SIZE if name == size)
    return changed(recipe, {"accumulation": 1, "method": method, "backend": "trl"})


def _steps(size: str, recipe: Recipe, machine: Machine, tuned: Any, steps: int, backend: str) -> Result:
    import torch
    from datasets import Dataset
    from transformers import TrainerCallback

    from twin_assets.core.training.sft import quiet, supervised_trainer

    quiet()
    ended: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        """Notes when each step has really ended."""

        def on_step_end(self, *_: Any, **__: Any) -> None:
            """Called by the trainer."""
            if machine.device == "cuda":
                torch.cuda.synchronize()
            ended.append(time.perf_counter())

    vocabulary = tuned.config.vocab_size
    rows = torch.randint(8, vocabulary, (recipe.batch * (WARM_UP + steps), recipe.length)).tolist()
    examples = Dataset.from_list([{"input_ids": row, "labels": row} for row in rows])
    if machine.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory() as folder:
        trainer = supervised_trainer(
            tuned, _tokenizer(), (examples, None), replace(recipe, patience=0, checkpoint_steps=0), Path(folder),
            [Clock()], max_steps=WARM_UP + steps, save_strategy="no",
        )  # fmt: skip
        trainer.train()
    parameters = sum(_size(each) for name, each in tuned.named_parameters() if "lora_" not in name)
    shape = replace(TINY, parameters=parameters) if size == "tiny" else SHAPES[size]
    tokens = recipe.batch * recipe.length
    work = Workload.of(replace(recipe, epochs=1), tokens)
    return Result(
        size=size, method=recipe.method, backend=backend, seconds=(ended[-1] - ended[WARM_UP - 1]) / steps,
        tokens=tokens, peak=torch.cuda.max_memory_reserved() if machine.device == "cuda" else 0, speed=machine.speed,
        expected_peak=memory_of(shape, work, machine), expected_seconds=estimate(shape, work, machine).seconds,
        parameters=shape.parameters, checkpointing=recipe.checkpointing,
    )  # fmt: skip


def _size(parameter: Any) -> int:
    """Weights of a parameter; in 4 bits two lie in a byte."""
    packed = type(parameter).__name__ == "Params4bit"
    return int(parameter.numel()) * (2 if packed else 1)


def _tokenizer() -> Any:
    """Some tokenizer: the examples are token ids already."""
    from twin_assets.core.training.nano import train_tokenizer

    return train_tokenizer(["Some words to make a tokenizer of, and a few more of them."] * 8, vocabulary=300)


def compare_backends(size: str = "0.5B", steps: int = STEPS) -> list[Result]:
    """The same model from the same folder with plain trl and with unsloth, where that is installed; else plain trl."""
    from twin_assets.core.training.backends import backend_of, trainable

    recipe = changed(recipe_of(size, "lora", True), {"batch": 8})
    machine = Machine.measure(Path.cwd())
    results = []
    with tempfile.TemporaryDirectory() as folder:
        random_model(size, four_bits=False, device="cuda").save_pretrained(folder)
        _tokenizer().save_pretrained(folder)
        for backend in ("unsloth", "trl"):  # unsloth wants to be imported first
            wanted = changed(recipe, {"backend": "auto" if backend == "unsloth" else "trl"})
            if backend_of(wanted) == backend:
                tuned, _ = trainable(Path(folder), wanted)
                results.append(_steps(size, wanted, machine, tuned, steps, backend))
                del tuned
    return results


def in_a_process(arguments: list[str], seconds: float) -> list[Result]:
    """What a child of this module measured; raises RuntimeError with its last line where it failed."""
    command = [sys.executable, "-m", "benchmarks.bench_training_gpu", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    lines = [line.removeprefix(MARK) for line in done.stdout.splitlines() if line.startswith(MARK)]
    if done.returncode or not lines:
        raise RuntimeError((done.stderr.strip().splitlines() or ["it said nothing"])[-1])
    return [Result(**json.loads(line)) for line in lines]


def show(results: list[Result]) -> Table:
    """The results as a table."""
    table = Table(title="Training steps with random weights")
    for name in ("size", "method", "backend", "tokens/s", "MFU", "s/step (said)", "peak GiB (said)", "peak ÷ said"):
        table.add_column(name, justify="left" if name in ("size", "method", "backend") else "right")
    for each in results:
        ratio = each.memory_ratio
        within = "" if ratio is None else f"{ratio:.2f}{'' if abs(ratio - 1) <= 0.15 else ' beyond 15 %'}"
        table.add_row(
            each.size, each.method, each.backend, f"{each.tokens_a_second:,.0f}", f"{each.utilisation:.0%}",
            f"{each.seconds:.2f} ({each.expected_seconds:.2f})",
            f"{each.peak / GIB:.1f} ({each.expected_peak / GIB:.1f})", within,
        )  # fmt: skip
    return table


def main() -> int:
    """Run and print; 0 also where there is no GPU, which is said."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="7B and 70B alone")
    parser.add_argument("--tiny", action="store_true", help="a tiny model on whatever there is")
    parser.add_argument("--one", nargs=2, metavar=("SIZE", "METHOD"), help="one size in this process, as JSON")
    parser.add_argument("--backends", action="store_true", help="plain trl and unsloth in this process, as JSON")
    asked = parser.parse_args()
    if asked.one or asked.backends:
        for each in compare_backends() if asked.backends else [measure(*asked.one)]:
            print(MARK + json.dumps(asdict(each)), flush=True)
        return 0
    from twin_assets.core.training.backends import has_gpu

    console = Console()
    if asked.tiny:
        console.print(show([measure("tiny", "lora")]))
        return 0
    if not has_gpu():
        console.print(NO_GPU)
        return 0
    start, results = time.monotonic(), []
    sizes = {size: MEASURED[size] for size in (("7B", "70B") if asked.quick else MEASURED)}
    runs = [["--one", size, method] for size, method in sizes.items()] + [["--backends"]]
    for arguments in runs:
        left = BUDGET_SECONDS - (time.monotonic() - start)
        if left < 30:
            console.print(f"{' '.join(arguments)}: left out, the {BUDGET_SECONDS:.0f} s are used up")
            continue
        try:
            results += in_a_process(arguments, left)
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            console.print(f"{' '.join(arguments)}: failed: {error}")
            continue
        console.print(show(results))  # after each, so that a run that is cut off has shown what it has
    return 0


if __name__ == "__main__":
    sys.exit(main())
