"""The GPU benchmark of training: its shapes, its arithmetic, and the way it takes, with a tiny model on the CPU."""

import dataclasses
import sys

import pytest

from benchmarks import bench_training_gpu as bench
from twin_assets.core.training.preflight import GIB, SHAPES, ModelShape, Workload, operations_of


@pytest.mark.parametrize("size", bench.HEADS)
def test_the_shapes_are_the_true_ones(size):
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(bench.configuration(size))
    assert sum(each.numel() for each in model.parameters()) == SHAPES[size].parameters


RESULT = bench.Result(
    size="7B", method="lora", backend="trl", seconds=2.0, tokens=4096, peak=30 * GIB, speed=8e14,
    expected_peak=25 * GIB, expected_seconds=2.2, parameters=SHAPES["7B"].parameters, checkpointing=True,
)  # fmt: skip


def test_figures_follow_from_what_was_measured():
    assert RESULT.tokens_a_second == 2048
    # An adapter's step is 2 forward and 2 backward a parameter and token; recomputing is no use of the model's.
    assert RESULT.utilisation == pytest.approx(4 * SHAPES["7B"].parameters * 4096 / 2.0 / 8e14)
    assert RESULT.memory_ratio == pytest.approx(1.2)
    assert dataclasses.replace(RESULT, peak=0).memory_ratio is None
    recomputed = operations_of(ModelShape(10, 0, 0, 0), Workload(1, epochs=1))
    assert recomputed == 60 > operations_of(ModelShape(10, 0, 0, 0), Workload(1, epochs=1, checkpointing=False))


def test_what_lies_beyond_fifteen_per_cent_is_marked():
    from rich.console import Console

    console = Console(width=200, record=True)
    console.print(bench.show([RESULT, dataclasses.replace(RESULT, size="14B", peak=27 * GIB)]))
    lines = console.export_text().splitlines()
    assert "1.20 beyond 15 %" in next(line for line in lines if "7B" in line)
    assert "beyond" not in next(line for line in lines if "14B" in line)
    assert "2,048" in next(line for line in lines if "7B" in line)


def test_every_measured_size_has_a_recipe_of_one_batch_a_step():
    for size, method in bench.MEASURED.items():
        recipe = bench.recipe_of(size, method, gpu=True)
        assert (recipe.method, recipe.accumulation, recipe.backend) == (method, 1, "trl")


def test_a_tiny_model_takes_the_way_of_the_large_ones():
    found = bench.measure("tiny", "lora", steps=2)
    assert found.tokens == 2 * 64
    assert found.seconds > 0
    assert found.peak == 0, "there is no GPU's memory to measure"
    assert found.parameters == sum(
        each.numel() for each in bench.random_model("tiny", four_bits=False, device="cpu").parameters()
    )


def test_without_a_gpu_it_says_that_it_did_not_run(monkeypatch, capsys):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    monkeypatch.setattr(sys, "argv", ["bench_training_gpu", "--quick"])
    assert bench.main() == 0
    assert "did not run: torch finds no GPU here" in " ".join(capsys.readouterr().out.split())
