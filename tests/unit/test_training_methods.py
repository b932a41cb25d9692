"""Ways to train (LoRA's kin, whole layers, packing), preferences on top, and what happens when it goes wrong."""

import errno
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from training_corpus import AUTHOR
from training_models import QUICK, one_thread, posts_dataset, preference_pairs, tiny_base  # noqa: F401

from twin_assets.core.errors import ConfigurationError, ModelError
from twin_assets.core.training import sft
from twin_assets.core.training.checkpoints import last_whole_checkpoint
from twin_assets.core.training.preferences import encode_pair, margins, pairs_to_train
from twin_assets.core.training.recipes import MINIMUM_PAIRS, changed
from twin_assets.core.training.sft import fine_tune


def tune(base, folder, changes=None, **options):
    return fine_tune(base, "tiny", AUTHOR.name, posts_dataset(), changed(QUICK, changes or {}), folder, **options)


def weights_of(folder: Path) -> dict:
    from safetensors.numpy import load_file

    return load_file(folder / "adapter" / "adapter_model.safetensors")


def largest_difference(first: dict, second: dict) -> float:
    assert first.keys() == second.keys()
    return max(float(abs(first[name] - second[name]).max()) for name in first)


@pytest.fixture(scope="module")
def whole(tiny_base, tmp_path_factory):
    """A training nothing happened to: (its folder, its figures)."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, tune(tiny_base, folder)


METHODS = [("rslora", "lora_A"), ("dora", "magnitude"), ("full", "self_attn.q_proj")]


@pytest.mark.parametrize(("method", "part"), METHODS)
def test_methods(method, part, tiny_base, tmp_path, whole):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    changes = {"method": method} | ({"learning_rate": 1e-3} if method == "full" else {})
    metrics = tune(tiny_base, tmp_path, changes)
    assert metrics["training_steps"] == whole[1]["training_steps"]
    assert metrics["validation_loss"] < metrics["validation_loss_base"]
    assert metrics["validation_loss"] != whole[1]["validation_loss"]
    assert any(part in name for name in weights_of(tmp_path))
    # Whatever the method, base and adapter are apart: serving switches it, evaluation compares with and without.
    base = AutoModelForCausalLM.from_pretrained(tiny_base)
    ids = torch.tensor([[5, 6, 7, 8]])
    before = base(ids).logits.detach().clone()
    loaded = PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    assert not torch.allclose(loaded(ids).logits, before)
    with loaded.disable_adapter():
        assert torch.allclose(loaded(ids).logits, before)
    merged = loaded.merge_and_unload()
    assert not torch.allclose(merged(ids).logits, before)


def test_a_row_of_packed_examples_is_as_good_as_its_examples(tiny_base):
    """Examples in one row do not see each other: the loss of the row is that of its examples."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_base).eval()
    rows = [torch.arange(10, 30), torch.arange(40, 75)]
    with torch.inference_mode():
        apart = torch.cat([model(row[None]).logits[0] for row in rows])
        positions = torch.cat([torch.arange(len(row)) for row in rows])[None]
        together = model(torch.cat(rows)[None], position_ids=positions, use_cache=False).logits[0]  # as trl asks
    assert torch.allclose(apart, together, atol=1e-4)


def test_packing_makes_fewer_steps(tiny_base, tmp_path):
    # Posts are longer than the rows of other tests: sixteen at 20 tokens pack three to a row of 64.
    packed = tune(tiny_base, tmp_path / "packed", {"packing": True, "batch": 1, "length": 512, "epochs": 1})
    assert packed["training_steps"] < 32
    assert packed["validation_loss"] < packed["validation_loss_base"]
    with pytest.raises(ConfigurationError, match="batch=1 on a CPU"):
        tune(tiny_base, tmp_path / "refused", {"packing": True})


def test_what_needs_a_gpu_says_so(tiny_base, tmp_path):
    with pytest.raises(ModelError, match="takes a GPU"):
        tune(tiny_base, tmp_path, {"method": "qlora"})
    with pytest.raises(ConfigurationError, match="backend=unsloth takes a GPU"):
        tune(tiny_base, tmp_path, {"backend": "unsloth"})


@pytest.mark.parametrize("method", ["dpo", "orpo"])
def test_preferences_raise_the_margin_of_what_was_chosen(method, tiny_base, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    pairs = preference_pairs()
    changes = {"preference": method, "preference_epochs": 3, "preference_learning_rate": 3e-3}
    metrics = tune(tiny_base, tmp_path, changes, pairs=pairs)
    assert metrics["preference_steps"] == 6
    assert metrics["preference_margin"] > metrics["preference_margin_before"]
    assert metrics["validation_loss"] < metrics["validation_loss_base"], "what was learned before is still there"
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "adapter")
    loaded = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_base), tmp_path / "adapter")
    rows = [encode_pair(tokenizer, AUTHOR.name, row, QUICK.length) for row in pairs.iter_rows(named=True)]
    assert sum(margins(loaded, rows)) / len(rows) == pytest.approx(metrics["preference_margin"], abs=1e-3)


def test_preferences_wait_for_enough_pairs():
    pairs = preference_pairs(6)
    few, why = pairs_to_train(pairs, changed(QUICK, {"preference": "auto"}))
    assert few.is_empty()
    assert str(MINIMUM_PAIRS) in why
    import polars as pl

    many = pl.concat([pairs] * 10)
    assert pairs_to_train(many, changed(QUICK, {"preference": "auto"}))[0].height == many.height
    from_base = many.with_columns(source=pl.lit("base"))
    assert pairs_to_train(from_base, changed(QUICK, {"preference": "auto"}))[0].is_empty(), "the author's own count"
    assert pairs_to_train(from_base, changed(QUICK, {"preference": "dpo"}))[0].height == many.height
    assert pairs_to_train(many, changed(QUICK, {"preference": "off"}))[0].is_empty()
    held_back = many.with_columns(split=pl.lit("validation"))
    assert pairs_to_train(held_back, changed(QUICK, {"preference": "dpo"}))[0].is_empty()


KILLED_AT_A_STEP = """
import os, signal, sys
sys.path.insert(0, "tests/unit")
from pathlib import Path
import torch
torch.set_num_threads(1)
from training_corpus import AUTHOR
from training_models import QUICK, posts_dataset
from twin_assets.core.training.recipes import changed
from twin_assets.core.training.sft import fine_tune
steps = 0
def kill(stage, share):
    global steps
    steps += 1
    if steps == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
recipe = changed(QUICK, {"checkpoint_steps": 3})
fine_tune(Path(sys.argv[1]), "tiny", AUTHOR.name, posts_dataset(), recipe, Path(sys.argv[2]), progress=kill)
"""


def test_killed_at_a_step_it_goes_on_and_ends_the_same(tiny_base, tmp_path, whole):
    command = [sys.executable, "-c", KILLED_AT_A_STEP, str(tiny_base), str(tmp_path), "8"]
    killed = subprocess.run(command, cwd=Path(__file__).resolve().parents[2], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert last_whole_checkpoint(tmp_path / "checkpoints").name == "checkpoint-6"
    steps = []
    metrics = tune(tiny_base, tmp_path, {"checkpoint_steps": 3}, progress=lambda _, share: steps.append(share))
    assert metrics["training_steps"] == whole[1]["training_steps"] == 8
    assert len(steps) == 2, "steps seven and eight alone are made again"
    assert largest_difference(weights_of(tmp_path), weights_of(whole[0])) < 1e-5


@pytest.mark.parametrize("step", [1, 2, 5, 7, 8])
def test_stopped_at_any_step_it_ends_with_the_same_weights(step, tiny_base, tmp_path, whole):
    steps = []

    def stop(_: str, share: float) -> None:
        steps.append(share)
        if len(steps) == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(tiny_base, tmp_path, {"checkpoint_steps": 1}, progress=stop)
    assert tune(tiny_base, tmp_path, {"checkpoint_steps": 1})["training_steps"] == 8
    assert largest_difference(weights_of(tmp_path), weights_of(whole[0])) < 1e-5


def test_damaged_checkpoints_are_passed_over(tiny_base, tmp_path, whole, caplog):
    steps = []

    def stop(_: str, share: float) -> None:
        steps.append(share)
        if len(steps) == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(tiny_base, tmp_path, {"checkpoint_steps": 1}, progress=stop)
    newest, before = tmp_path / "checkpoints" / "checkpoint-5", tmp_path / "checkpoints" / "checkpoint-4"
    assert zipfile.is_zipfile(newest / "optimizer.pt")
    content = (newest / "optimizer.pt").read_bytes()
    middle = len(content) // 2
    (newest / "optimizer.pt").write_bytes(content[:middle] + bytes(64) + content[middle + 64 :])
    assert last_whole_checkpoint(tmp_path / "checkpoints") == before
    assert "step 5 cannot be used" in caplog.text
    (before / "trainer_state.json").unlink()
    metrics = tune(tiny_base, tmp_path, {"checkpoint_steps": 1})
    assert "begins anew" in caplog.text
    assert metrics["training_steps"] == 8
    assert largest_difference(weights_of(tmp_path), weights_of(whole[0])) < 1e-5


def test_early_stopping_keeps_the_best(tiny_base, tmp_path):
    # So large a rate makes the second epoch worse than the first.
    wild = {"learning_rate": 0.5, "epochs": 6, "patience": 1}
    metrics = tune(tiny_base, tmp_path, wild)
    assert metrics["training_steps"] < 6 * 4


def test_a_loss_that_is_no_number_stops_it(tiny_base, tmp_path):
    with pytest.raises(ModelError, match=r"no number any more at step .* below 1e\+30"):
        tune(tiny_base, tmp_path, {"learning_rate": 1e30, "epochs": 4})
    assert not (tmp_path / "adapter").exists()
    assert last_whole_checkpoint(tmp_path / "checkpoints") is None, "nothing goes on from there"


def raising(error):
    def fail(*_args, **_named):
        raise error

    return fail


def test_out_of_memory_names_what_takes_less(tiny_base, tmp_path, monkeypatch):
    import torch

    for error in (torch.cuda.OutOfMemoryError("CUDA out of memory."), MemoryError(), OSError(errno.ENOMEM, "memory")):
        with monkeypatch.context() as patch:
            patch.setattr(sft, "trainable", raising(error))
            with pytest.raises(ModelError, match=r"ran out of memory; .* batch=4 accumulation=2"):
                tune(tiny_base, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(sft, "trainable", raising(RuntimeError("DefaultCPUAllocator: can't allocate memory")))
        with pytest.raises(ModelError, match="method=qlora"):
            tune(tiny_base, tmp_path, {"batch": 1})
        patch.setattr(sft, "trainable", raising(RuntimeError("a fault of another kind")))
        with pytest.raises(RuntimeError, match="another kind"):
            tune(tiny_base, tmp_path)


def test_a_full_disk_is_told_and_leaves_nothing_half(tiny_base, tmp_path, monkeypatch, whole):
    replace = os.replace

    def full(source, target):
        if str(target).endswith("adapter"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(sft.os, "replace", full)
        with pytest.raises(ModelError, match="disk full; nothing was registered"):
            tune(tiny_base, tmp_path)
    assert not (tmp_path / "adapter").exists()
    steps = []
    metrics = tune(tiny_base, tmp_path, progress=lambda _, share: steps.append(share))
    assert not steps, "the steps were kept"
    assert metrics["validation_loss"] == pytest.approx(whole[1]["validation_loss"], abs=1e-5)
