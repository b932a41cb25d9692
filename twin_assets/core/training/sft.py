"""Supervised fine-tuning with trl and peft, the loss on the author's words alone; preferences on top of it."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import polars as pl

from twin_assets.core.datasets.dataset import Dataset
from twin_assets.core.errors import ConfigurationError
from twin_assets.core.prompts import encode_example, messages
from twin_assets.core.training.backends import has_gpu, load_base, trainable
from twin_assets.core.training.checkpoints import last_whole_checkpoint
from twin_assets.core.training.faults import DivergedError, told
from twin_assets.core.training.loss import answer_loss
from twin_assets.core.training.recipes import Recipe
from twin_assets.core.training.trainer_options import Progress, callbacks, quiet, shared_options

__all__ = ["fine_tune", "load_base", "losses", "quiet"]


def fine_tune(
    base: Path,
    base_name: str,
    author_name: str,
    dataset: Dataset,
    recipe: Recipe,
    folder: Path,
    *,
    pairs: pl.DataFrame | None = None,
    seconds: float | None = None,
    progress: Progress | None = None,
) -> dict[str, float]:
    """Train what the recipe says on the train split, keep the state with the lowest loss on validation, write it to
    `folder/adapter`; where there are preference pairs, tune it on them too.

    Checkpoints lie in `folder`; a killed training goes on from the last whole one. `seconds`: it stops at the next step
    after so long. Several processes (accelerate) train together, and the first writes. Returns the losses of the tuned
    model and its base on validation and on test (which nothing was chosen by). Raises ModelError where memory or disk
    do not suffice or the loss is no number any more.
    """
    from transformers import set_seed

    quiet()
    _check_packing(recipe)
    set_seed(recipe.seed)  # the adapter is drawn at random before the trainer sets its own
    train, validation = dataset.split("train"), dataset.split("validation")
    with told("The training", recipe):
        tuned, tokenizer = trainable(base, recipe)
        examples = (
            _examples(tokenizer, author_name, train, recipe.length),
            _examples(tokenizer, author_name, validation, recipe.length) if validation.height else None,
        )
        metrics = _supervised(tuned, tokenizer, examples, base_name, recipe, folder, seconds, progress)
        if pairs is not None and pairs.height:
            from twin_assets.core.training.preferences import tune_preferences

            metrics |= tune_preferences(tuned, tokenizer, author_name, pairs, recipe, folder, progress)
        metrics["trained_parameters"] = float(sum(p.numel() for p in tuned.parameters() if p.requires_grad))
        for name, samples in (("validation", validation), ("held_out", dataset.split("test"))):
            metrics |= losses(tuned, tokenizer, author_name, samples, recipe.length, name)
        save_adapter(tuned, tokenizer, base_name, folder / "adapter")
    return metrics


def losses(
    tuned: Any, tokenizer: Any, author_name: str, samples: pl.DataFrame, length: int, name: str
) -> dict[str, float]:
    """Loss of a model with its adapter and without, per token and with it per character; {} without samples."""
    if samples.is_empty():
        return {}
    with_adapter = answer_loss(tuned, tokenizer, author_name, samples, max_length=length)
    with tuned.disable_adapter():
        without = answer_loss(tuned, tokenizer, author_name, samples, max_length=length)
    return {
        f"{name}_loss": with_adapter.per_token,
        f"{name}_loss_base": without.per_token,
        f"{name}_loss_per_character": with_adapter.per_character,
    }


def _supervised(
    tuned: Any,
    tokenizer: Any,
    examples: tuple[Any, Any],
    base_name: str,
    recipe: Recipe,
    folder: Path,
    seconds: float | None,
    progress: Progress | None,
) -> dict[str, float]:
    """Train and save, or load what a training that was killed later has saved; returns its figures."""
    finished = folder / "supervised" / "training.json"
    if finished.is_file():
        _load(tuned, finished.parent)
        return dict(json.loads(finished.read_text(encoding="utf-8")))
    checkpoints = folder / "checkpoints"
    watching = callbacks(recipe, "fine-tuning", progress, seconds, has_validation=examples[1] is not None)
    trainer = supervised_trainer(tuned, tokenizer, examples, recipe, checkpoints, watching)
    whole = last_whole_checkpoint(checkpoints)
    try:
        result = trainer.train(resume_from_checkpoint=str(whole) if whole else None)
    except DivergedError:
        shutil.rmtree(checkpoints, ignore_errors=True)  # what would go on from them would diverge again
        raise
    metrics = {"training_loss": float(result.training_loss), "training_steps": float(result.global_step)}
    save_adapter(tuned, tokenizer, base_name, finished.parent, metrics)
    return metrics


def supervised_trainer(
    tuned: Any,
    tokenizer: Any,
    examples: tuple[Any, Any],
    recipe: Recipe,
    checkpoints: Path,
    callbacks: list[Any],
    **otherwise: Any,
) -> Any:
    """trl's trainer of a recipe on examples (to train on, to validate on or None); otherwise: of its arguments."""
    from transformers import PrinterCallback
    from trl.trainer.sft_config import SFTConfig

    options = {
        **shared_options(recipe, checkpoints, has_validation=examples[1] is not None),
        "num_train_epochs": recipe.epochs,
        "learning_rate": recipe.learning_rate,
        "warmup_steps": recipe.warmup,
        "packing": recipe.packing,
        **otherwise,
    }
    trainer = _trainer()(
        model=tuned,
        args=SFTConfig(**options),
        train_dataset=examples[0],
        eval_dataset=examples[1],
        processing_class=tokenizer,
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _trainer() -> Any:
    """trl's SFTTrainer, whose order within an epoch is decided by seed and epoch alone."""
    import torch
    from transformers.trainer_pt_utils import LengthGroupedSampler
    from trl.trainer.sft_trainer import SFTTrainer

    class ByLength(LengthGroupedSampler):  # type: ignore[misc]
        """Examples of like length together. transformers draws its order from torch's random state, which after a
        resume within an epoch is not what it was: examples would come twice and others not at all."""

        def __init__(self, trainer: Any, size: int, lengths: list[int]) -> None:
            super().__init__(size, lengths=lengths)
            self.trainer = trainer

        def __iter__(self) -> Any:
            epoch = int((self.trainer.state.epoch or 0.0) + 1e-6)
            self.generator = torch.Generator().manual_seed(self.trainer.args.seed + epoch)
            return super().__iter__()

    class Trainer(SFTTrainer):  # type: ignore[misc]
        """SFTTrainer with that order."""

        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            args: Any = self.args
            if args.packing:
                return super()._get_train_sampler(train_dataset)
            rows: Any = self.train_dataset if train_dataset is None else train_dataset
            size = args.train_batch_size * args.gradient_accumulation_steps
            return ByLength(self, size, [len(ids) for ids in rows["input_ids"]])

    return Trainer


def _examples(tokenizer: Any, author_name: str, samples: pl.DataFrame, length: int) -> Any:
    from datasets import Dataset

    rows = []
    for row in samples.iter_rows(named=True):
        asked = messages(author_name, row["form"], row["instruction"], row["context"])
        ids, labels = encode_example(tokenizer, asked, row["target"], length)
        rows.append({"input_ids": ids, "labels": labels})
    return Dataset.from_list(rows)


def _check_packing(recipe: Recipe) -> None:
    if recipe.packing and recipe.batch > 1 and not has_gpu():
        # Without flash attention the examples of a row are told apart by their positions, in a batch of one row alone.
        raise ConfigurationError("packing=true takes batch=1 on a CPU; set both, or packing=false.")


def _load(tuned: Any, folder: Path) -> None:
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    set_peft_model_state_dict(tuned, load_file(folder / "adapter_model.safetensors"))


def save_adapter(
    tuned: Any, tokenizer: Any, base_name: str, folder: Path, metrics: dict[str, float] | None = None
) -> None:
    """Write adapter and tokenizer (and figures, as training.json) in one rename; of several processes all gather the
    weights and the first writes."""
    from accelerate import PartialState

    state = PartialState()
    weights = _gathered(tuned) if state.num_processes > 1 else None
    if state.is_main_process:
        scratch = folder.with_name(folder.name + ".part")
        shutil.rmtree(scratch, ignore_errors=True)
        tuned.save_pretrained(scratch, state_dict=weights, selected_adapters=["default"])
        tokenizer.save_pretrained(scratch)
        # peft writes where the base lay on this machine; whoever loads the adapter wants its name.
        path = scratch / "adapter_config.json"
        configuration = json.loads(path.read_text(encoding="utf-8"))
        configuration["base_model_name_or_path"] = base_name
        path.write_text(json.dumps(configuration, indent=2) + "\n", encoding="utf-8")
        (scratch / "README.md").unlink(missing_ok=True)
        if metrics is not None:
            (scratch / "training.json").write_text(json.dumps(metrics) + "\n", encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(scratch, folder)
    state.wait_for_everyone()


def _gathered(tuned: Any) -> dict[str, Any]:
    """The adapter's weights, whole and in memory, from however accelerate has spread them."""
    weights = {}
    for name, parameter in tuned.named_parameters():
        if not parameter.requires_grad:
            continue
        if hasattr(parameter, "full_tensor"):  # FSDP2
            weights[name] = parameter.full_tensor().cpu()
        elif hasattr(parameter, "ds_id"):  # DeepSpeed ZeRO-3
            import deepspeed

            with deepspeed.zero.GatheredParameters([parameter]):
                weights[name] = parameter.detach().cpu().clone()
        else:
            weights[name] = parameter.detach().cpu()
    return weights
