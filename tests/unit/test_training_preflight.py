"""What a training will take is said before it starts, and where it does not fit, what would."""

import dataclasses

import pytest
from training_corpus import tiny_model
from training_models import SIZES

from twin_assets.core.errors import ConfigurationError, ModelError
from twin_assets.core.training.bases import shape_of
from twin_assets.core.training.preflight import (
    GIB,
    SHAPES,
    Machine,
    ModelShape,
    Workload,
    fit_batch,
    memory_of,
    preflight,
)
from twin_assets.core.training.recipes import BY_SIZE, NANO, STANDARD, changed, recipe_for

RECIPES = {name: recipe for name, _, recipe in BY_SIZE}


def card(gib: int, **other) -> Machine:
    return Machine(gib * GIB, 1000 * GIB, 4e14, "cuda", **other)


# Per size of card, in GiB: the largest recipe that fits as it is, and the largest that some setting makes fit.
CARDS = {
    8: ("0.5B", "3B"),
    16: ("3B", "14B"),
    24: ("7B", "14B"),
    48: ("70B", "70B"),
    80: ("70B", "70B"),
    141: ("70B", "70B"),
}


@pytest.mark.parametrize("gib", CARDS)
def test_every_size_on_every_card(gib):
    whole, softened = [], []
    for name, shape in SHAPES.items():
        found = preflight(shape, Workload.of(RECIPES[name], 50_000), card(gib))
        if found.ok:
            whole.append(name)
            softened.append(name)
            continue
        assert f"{gib}.0 GiB are free" in found.reason
        with pytest.raises(ModelError, match="does not fit"):
            found.require()
        if found.nearest.startswith("Nearest that fits: "):
            softened.append(name)
            words = found.nearest.removeprefix("Nearest that fits: ").split(" (")[0].split()
            changes = dict(word.split("=") for word in words)
            nearest = Workload.of(changed(RECIPES[name], changes), 50_000)
            assert preflight(shape, nearest, card(gib)).ok, "what is named fits"
            assert nearest.batch * nearest.accumulation == RECIPES[name].batch * RECIPES[name].accumulation
        else:
            assert "a base model of" in found.nearest
            assert found.nearest.split()[-2] in SHAPES
    assert (whole[-1], softened[-1]) == CARDS[gib]


def test_four_bits_recomputing_and_sharing_take_less():
    shape, plain = SHAPES["14B"], Workload(50_000, batch=4)
    whole = memory_of(shape, plain, card(80))
    assert memory_of(shape, dataclasses.replace(plain, method="qlora"), card(80)) < 0.6 * whole
    assert memory_of(shape, dataclasses.replace(plain, checkpointing=False), card(80)) > whole
    assert memory_of(shape, dataclasses.replace(plain, method="full"), card(80)) > 5 * whole
    assert memory_of(shape, plain, card(80, gpus=8)) < 0.5 * whole
    on_cpu = preflight(shape, dataclasses.replace(plain, method="qlora"), dataclasses.replace(card(80), device="cpu"))
    assert "takes a GPU" in on_cpu.reason
    assert "method=lora" in on_cpu.nearest


def test_batches_are_put_in_pieces():
    recipe = fit_batch(RECIPES["7B"], SHAPES["7B"], card(18))
    assert recipe.batch < RECIPES["7B"].batch
    assert recipe.batch * recipe.accumulation == RECIPES["7B"].batch * RECIPES["7B"].accumulation
    assert fit_batch(RECIPES["7B"], SHAPES["7B"], card(80)) == RECIPES["7B"]


def test_disk_and_time():
    shape = ModelShape(7_600_000_000, 3584, 28, 152_064)
    full = preflight(shape, Workload(50_000), dataclasses.replace(card(80), disk=GIB))
    assert "of disk" in full.reason
    assert preflight(shape, Workload(50_000), dataclasses.replace(card(80), disk=2 * GIB), on_disk=True).ok
    slow = preflight(shape, Workload(50_000), dataclasses.replace(card(80), speed=1e10), limit_minutes=60)
    assert "minutes" in slow.reason
    assert "pass" in slow.nearest


def test_machine_and_shape_are_measured(tmp_path):
    from transformers import LlamaConfig, LlamaForCausalLM

    machine = Machine.measure(tmp_path / "not" / "there" / "yet")
    assert min(machine.memory, machine.disk, machine.speed) > 0
    made = tiny_model(tmp_path / "model", LlamaConfig(**SIZES))
    count = LlamaForCausalLM.from_pretrained(made).num_parameters()
    assert shape_of(made) == ModelShape(count, 32, 2, 400, 64)


def test_recipes_by_size_and_changed():
    assert list(RECIPES) == list(SHAPES)
    for name, shape in SHAPES.items():
        assert recipe_for("hub", shape.parameters) == RECIPES[name]
    assert recipe_for("nano", 10) == NANO
    assert changed(STANDARD, {"rank": "32", "packing": "true"}).parameters()["rank"] == 32
    for wrong in ({"rank": "many"}, {"method": "magic"}, {"rank": 0}, {"patience": -1}, {"unknown": 1}):
        with pytest.raises(ConfigurationError, match=next(iter(wrong))):
            changed(STANDARD, wrong)
