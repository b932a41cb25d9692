"""Preflight: the memory, time and disk a training will take, said before it starts."""

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twin_assets.core.errors import ModelError

GIB = 1024**3
# Of the speed of a large matrix product, what a training step is taken to reach: an assumption, not measured yet.
EFFICIENCY = 0.35


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Sizes that decide what a model costs: parameters, hidden size, layers, vocabulary."""

    parameters: int
    hidden: int
    layers: int
    vocabulary: int


@dataclass(frozen=True, slots=True)
class Workload:
    """What is to be trained: tokens of one pass over the data, passes, and one batch's sequences and their length."""

    tokens: int
    epochs: int = 3
    batch: int = 1
    length: int = 1024
    lora_rank: int = 16


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is: bytes of memory and disk that are free, floating-point operations a second, "cpu" or "cuda"."""

    memory: int
    disk: int
    speed: float
    device: str

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
    """Estimate a LoRA training of a model on a machine. on_disk: the base need not be downloaded any more."""
    memory = _memory(shape, workload, machine.device)
    # 2 operations forward and 4 backward for each parameter and token; LoRA skips the base's weight gradients (2).
    seconds = 4.0 * shape.parameters * workload.tokens * workload.epochs / (EFFICIENCY * machine.speed)
    adapter = _adapter_parameters(shape, workload)
    disk = (0 if on_disk else 2 * shape.parameters) + 3 * 12 * adapter
    reason = nearest = ""
    if memory > machine.memory:
        reason = f"it takes {memory / GIB:.1f} GiB of memory and {machine.memory / GIB:.1f} GiB are free"
        nearest = _nearest_length(shape, workload, machine)
    elif disk > machine.disk:
        reason = f"it takes {disk / GIB:.1f} GiB of disk and {machine.disk / GIB:.1f} GiB are free"
        nearest = "Make room or choose a smaller base model."
    elif limit_minutes is not None and seconds > 60 * limit_minutes:
        reason = f"it takes about {seconds / 60:.0f} minutes and {limit_minutes:.0f} are allowed"
        nearest = f"{max(1, int(workload.epochs * 60 * limit_minutes / seconds))} pass(es) over the data come nearest."
    return Preflight(not reason, reason, memory, seconds, disk, nearest)


def _memory(shape: ModelShape, workload: Workload, device: str) -> int:
    width = 2 if device == "cuda" else 4
    tokens = workload.batch * workload.length
    weights = shape.parameters * width
    adapter = _adapter_parameters(shape, workload) * 16  # weight, gradient, two moments in float32
    # 34 bytes in half precision a token, layer and unit of width are a transformer block's (Korthikanti et al. 2022);
    # the logits are kept in float32 with their gradient and their softmax.
    activations = 34 * tokens * shape.hidden * shape.layers * width // 2
    logits = 3 * 4 * tokens * shape.vocabulary
    return weights + adapter + activations + logits + GIB


def _adapter_parameters(shape: ModelShape, workload: Workload) -> int:
    # Attention's four and the block's three projections, the latter about 3 times as wide on one side.
    return shape.layers * workload.lora_rank * shape.hidden * (4 * 2 + 3 * 4)


def _nearest_length(shape: ModelShape, workload: Workload, machine: Machine) -> str:
    length = workload.length
    while length > 128:
        length //= 2
        shorter = Workload(workload.tokens, workload.epochs, 1, length, workload.lora_rank)
        if _memory(shape, shorter, machine.device) <= machine.memory:
            return f"One sequence of {length} tokens at a time would fit."
    return "Choose a smaller base model, or nano."


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
