"""Preflight: the memory, time and disk a training will take, said before it starts.

What is counted, in bytes: weights; of what is trained weight, gradient and AdamW's two moments in float32; activations
by layer and token (Korthikanti et al. 2022, arXiv 2205.05198, with the copies that LoRA's dropout keeps); logits. Not
yet held against a GPU.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from twin_assets.core.errors import ModelError
from twin_assets.core.training.recipes import BY_SIZE, Method, Recipe

GIB = 1024**3
# Of the speed of a large matrix product, what a training step is taken to reach: an assumption, not measured yet.
EFFICIENCY = 0.35
# Bytes a weight of a linear layer takes in NF4 with double quantisation (arXiv 2305.14314: 0.127 bits of constants).
FOUR_BITS = 0.516
LOGITS_TILE = 32_768  # trl 1.16
SHORTEST = 256  # tokens; below, posts of ordinary length would be cut


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Sizes that decide what a model costs: parameters, hidden size, layers, vocabulary, width of the block's inner
    layer (0: four times the hidden size), whether embeddings and head are one matrix."""

    parameters: int
    hidden: int
    layers: int
    vocabulary: int
    intermediate: int = 0
    tied: bool = False

    @property
    def inner(self) -> int:
        """Width of the block's inner layer."""
        return self.intermediate or 4 * self.hidden

    @property
    def embeddings(self) -> int:
        """Parameters of embeddings and head."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2)


# The sizes there are recipes for, by true shapes: Qwen2.5 (30B: its 32B), Llama 3.1 for 70B.
SHAPES: dict[str, ModelShape] = {
    "0.5B": ModelShape(494_032_768, 896, 24, 151_936, 4_864, tied=True),
    "1.5B": ModelShape(1_543_714_304, 1536, 28, 151_936, 8_960, tied=True),
    "3B": ModelShape(3_085_938_688, 2048, 36, 151_936, 11_008, tied=True),
    "7B": ModelShape(7_615_616_512, 3584, 28, 152_064, 18_944),
    "14B": ModelShape(14_770_033_664, 5120, 48, 152_064, 13_824),
    "30B": ModelShape(32_763_876_352, 5120, 64, 152_064, 27_648),
    "70B": ModelShape(70_553_706_496, 8192, 80, 128_256, 28_672),
}


@dataclass(frozen=True, slots=True)
class Workload:
    """What is to be trained and how: tokens of one pass over the data, passes, one batch's sequences and their length;
    the rest as in Recipe."""

    tokens: int
    epochs: int = 3
    batch: int = 1
    length: int = 1024
    lora_rank: int = 16
    method: Method = "lora"
    accumulation: int = 1
    checkpointing: bool = True

    @classmethod
    def of(cls, recipe: Recipe, tokens: int) -> "Workload":
        """What a recipe makes of so many tokens."""
        return cls(
            tokens, recipe.epochs, recipe.batch, recipe.length, recipe.rank, recipe.method, recipe.accumulation,
            recipe.checkpointing,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is: bytes of memory and disk that are free, floating-point operations a second, "cpu" or "cuda".

    memory and speed are those of one GPU; gpus: how many share the weights of one model.
    """

    memory: int
    disk: int
    speed: float
    device: str
    gpus: int = 1

    @classmethod
    def measure(cls, folder: Path) -> "Machine":
        """This machine now; speed is that of a product of two matrices (0.1 s). `folder`: where models are kept."""
        place = folder
        while not place.exists():
            place = place.parent
        disk = shutil.disk_usage(place).free
        if Path("/dev/nvidiactl").exists():  # importing torch takes seconds: only where a GPU may be
            import torch

            if torch.cuda.is_available():
                free, _ = torch.cuda.mem_get_info()
                size = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
                return cls(int(free), disk, _speed(lambda: _synchronised(size), 8192), "cuda")
        import numpy as np

        pages = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        matrix = np.random.default_rng(0).random((1024, 1024), dtype=np.float32)
        return cls(_available(pages), disk, _speed(lambda: matrix @ matrix, 1024), "cpu")


@dataclass(frozen=True, slots=True)
class Preflight:
    """The verdict: bytes of memory and disk and seconds it will take; where it does not fit, why and what would."""

    ok: bool
    reason: str
    memory: int
    seconds: float
    disk: int
    nearest: str = ""

    def require(self) -> None:
        """Raise ModelError with the reason where it does not fit."""
        if not self.ok:
            raise ModelError(f"This training does not fit: {self.reason}. {self.nearest}".strip())


def preflight(
    shape: ModelShape,
    workload: Workload,
    machine: Machine,
    *,
    limit_minutes: float | None = None,
    on_disk: bool = False,
) -> Preflight:
    """Estimate a training of a model on a machine. on_disk: the base need not be downloaded any more."""
    memory = memory_of(shape, workload, machine)
    plain = workload if machine.device != "cpu" else replace(workload, checkpointing=False)
    seconds = operations_of(shape, plain) / (EFFICIENCY * machine.speed * machine.gpus)
    # Two checkpoints with their optimizer, and the adapter before and after preference tuning.
    disk = (0 if on_disk else 2 * shape.parameters) + 32 * _trained(shape, workload)
    reason = nearest = ""
    if workload.method == "qlora" and machine.device == "cpu":
        reason = "method=qlora keeps the base in 4 bits, which takes a GPU"
        nearest = nearest_that_fits(shape, workload, machine)
    elif memory > machine.memory:
        reason = f"it takes {memory / GIB:.1f} GiB of memory and {machine.memory / GIB:.1f} GiB are free"
        nearest = nearest_that_fits(shape, workload, machine)
    elif disk > machine.disk:
        reason = f"it takes {disk / GIB:.1f} GiB of disk and {machine.disk / GIB:.1f} GiB are free"
        nearest = "Make room or choose a smaller base model."
    elif limit_minutes is not None and seconds > 60 * limit_minutes:
        reason = f"it takes about {seconds / 60:.0f} minutes and {limit_minutes:.0f} are allowed"
        nearest = f"{max(1, int(workload.epochs * 60 * limit_minutes / seconds))} pass(es) over the data come nearest."
    return Preflight(not reason, reason, memory, seconds, disk, nearest)


def operations_of(shape: ModelShape, workload: Workload) -> float:
    """Floating-point operations of the whole training: for each parameter and token 2 forward and 4 backward; adapters
    skip the base's weight gradients (2), recomputed activations are another forward (2)."""
    each = (6.0 if workload.method == "full" else 4.0) + (2.0 if workload.checkpointing else 0.0)
    return each * shape.parameters * workload.tokens * workload.epochs


def memory_of(shape: ModelShape, workload: Workload, machine: Machine) -> int:
    """Bytes at the peak of a step, on each GPU or on the CPU."""
    gpu = machine.device != "cpu"
    width = 2 if gpu else 4
    weights = float(shape.parameters * width)
    if workload.method == "qlora":
        # peft's preparation of a base in 4 bits puts what is not in 4 bits into float32.
        weights = shape.embeddings * 4 + FOUR_BITS * (shape.parameters - shape.embeddings)
    shared = (weights + 16 * _trained(shape, workload)) / machine.gpus
    # Of a layer and token, in bytes of half precision: norms in float32, attention and the gated block; each adapter
    # keeps a float32 copy of its input, a dropout mask and a half-precision copy.
    layer = 27 * shape.hidden + 8 * shape.inner
    if workload.method != "full":
        layer += 42 * shape.hidden + 7 * shape.inner
    layers = 2 * shape.hidden * shape.layers + layer if gpu and workload.checkpointing else layer * shape.layers
    # trl takes the loss tile by tile of the vocabulary: values, softmax and gradient in float32. Preferences by
    # orpo are dearer, as they take all logits at once.
    logits = 12 * min(shape.vocabulary, LOGITS_TILE)
    tokens = workload.batch * workload.length
    return int(shared + tokens * (layers * width // 2 + logits)) + GIB


def nearest_that_fits(shape: ModelShape, workload: Workload, machine: Machine) -> str:
    """The settings nearest to a workload's with which the model can be trained here, else the largest size that can."""
    for softer in _softer(workload, machine):
        if memory_of(shape, softer, machine) <= machine.memory:
            return f"Nearest that fits: {_changes(workload, softer)} (TWIN_TRAINING_RECIPE or --set)."
    sizes = dict(zip((name for name, _, _ in BY_SIZE), (recipe for _, _, recipe in BY_SIZE), strict=True))
    for name in reversed(SHAPES):
        plans = _softer(Workload.of(sizes[name], workload.tokens), machine)
        smaller = SHAPES[name].parameters < shape.parameters
        if smaller and any(memory_of(SHAPES[name], plan, machine) <= machine.memory for plan in plans):
            return f"No setting makes it fit; a base model of {name} would."
    return "Choose a smaller base model, or nano."


def fit_batch(recipe: Recipe, shape: ModelShape, machine: Machine) -> Recipe:
    """The recipe with its batch in as many pieces as the machine's memory asks for; what comes out is the same."""
    while recipe.batch > 1 and memory_of(shape, Workload.of(recipe, 0), machine) > machine.memory:
        half = recipe.batch // 2
        recipe = replace(recipe, batch=half, accumulation=recipe.accumulation * recipe.batch // half)
    return recipe


def _softer(workload: Workload, machine: Machine) -> Iterator[Workload]:
    """The workload and others, each taking less memory than the one before, dearest changes last."""
    gpu = machine.device != "cpu"
    if workload.method == "qlora" and not gpu:
        workload = replace(workload, method="lora")
    yield workload
    if gpu and not workload.checkpointing:
        yield (workload := replace(workload, checkpointing=True))
    while workload.batch > 1:
        half = workload.batch // 2
        # As many sequences a step as before, so that the learning rate stays right.
        steps = workload.accumulation * workload.batch // half
        yield (workload := replace(workload, batch=half, accumulation=steps))
    if workload.method == "full":
        yield (workload := replace(workload, method="lora"))
    if gpu and workload.method != "qlora":
        yield (workload := replace(workload, method="qlora"))
    while workload.length >= 2 * SHORTEST:
        yield (workload := replace(workload, length=workload.length // 2))


def _changes(asked: Workload, found: Workload) -> str:
    names = ("method", "checkpointing", "batch", "accumulation", "length")
    pairs = [(name, getattr(asked, name), getattr(found, name)) for name in names]
    return " ".join(f"{name}={str(new).lower()}" for name, old, new in pairs if old != new)


def _trained(shape: ModelShape, workload: Workload) -> int:
    if workload.method == "full":
        return shape.parameters - (shape.embeddings if shape.tied else 0)
    # Query and output are square, keys and values about half as wide; three projections of the block.
    return shape.layers * workload.lora_rank * (7 * shape.hidden + 3 * (shape.hidden + shape.inner))


def _available(fallback: int) -> int:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return fallback
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")]
    return found[0] if found else fallback


def _speed(product: Callable[[], object], size: int) -> float:
    product()
    start = time.perf_counter()
    rounds = 0
    while time.perf_counter() - start < 0.1:
        product()
        rounds += 1
    return 2.0 * size**3 * rounds / (time.perf_counter() - start)


def _synchronised(matrix: Any) -> None:
    import torch

    torch.matmul(matrix, matrix)
    torch.cuda.synchronize()
