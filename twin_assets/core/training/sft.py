"""Supervised fine-tuning: a LoRA adapter with trl and peft, the loss on the author's words alone."""

import json
import logging
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from twin_assets.core.datasets import Dataset
from twin_assets.core.errors import ModelError
from twin_assets.core.prompts import encode_example, messages, prepare_tokenizer
from twin_assets.core.training.families import family_of, lora_configuration
from twin_assets.core.training.loss import answer_loss
from twin_assets.core.training.recipes import Recipe

# However slow the machine: fewer steps leave the adapter as it was made.
MINIMUM_STEPS = 8

Progress = Callable[[str, float], None]


def load_base(folder: Path) -> tuple[Any, Any]:
    """(model, tokenizer) from a folder: safetensors only, no remote code; bfloat16 on a GPU, float32 on CPU.

    Raises ModelError where the folder holds no model this machine can load.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=torch.bfloat16 if device == "cuda" else torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"The base model in {folder} cannot be loaded: {error}") from error
    prepare_tokenizer(tokenizer)
    return model.to(device), tokenizer


def fine_tune(
    base: Path,
    base_name: str,
    author_name: str,
    dataset: Dataset,
    recipe: Recipe,
    folder: Path,
    *,
    seconds: float | None = None,
    progress: Progress | None = None,
) -> dict[str, float]:
    """Train an adapter on the train split, keep the state with the lowest loss on validation, write it to
    `folder/adapter`.

    Checkpoints lie in `folder/checkpoints`; a killed training goes on from the last of them. `seconds`: it stops at the
    next step after so long. Returns the losses of the tuned model and its base on validation and on test (which nothing
    was chosen by).
    """
    from peft import get_peft_model
    from transformers import PrinterCallback
    from trl.trainer.sft_trainer import SFTTrainer

    quiet()
    train, validation = dataset.split("train"), dataset.split("validation")
    model, tokenizer = load_base(base)
    family = family_of(model.config.to_dict())
    tuned = get_peft_model(model, lora_configuration(family, recipe.rank, recipe.alpha, recipe.dropout))
    checkpoints = folder / "checkpoints"
    trainer = SFTTrainer(
        model=tuned,
        args=_arguments(recipe, checkpoints, model.device.type, has_validation=validation.height > 0),
        train_dataset=_examples(tokenizer, author_name, train, recipe.length),
        eval_dataset=_examples(tokenizer, author_name, validation, recipe.length) if validation.height else None,
        processing_class=tokenizer,
        callbacks=[_watch(progress, seconds)],
    )
    trainer.remove_callback(PrinterCallback)
    result = trainer.train(resume_from_checkpoint=_last_checkpoint(checkpoints))
    _save(tuned, tokenizer, base_name, folder / "adapter")
    metrics = {
        "training_loss": float(result.training_loss),
        "training_steps": float(result.global_step),
        "trained_parameters": float(sum(p.numel() for p in tuned.parameters() if p.requires_grad)),
    }
    for name, samples in (("validation", validation), ("held_out", dataset.split("test"))):
        metrics |= losses(tuned, tokenizer, author_name, samples, recipe.length, name)
    return metrics


def losses(
    tuned: Any, tokenizer: Any, author_name: str, samples: pl.DataFrame, length: int, name: str
) -> dict[str, float]:
    """Loss per token of a model with its adapter and without, on samples; {} where there are none."""
    if samples.is_empty():
        return {}
    with_adapter = answer_loss(tuned, tokenizer, author_name, samples, max_length=length)
    with tuned.disable_adapter():
        without = answer_loss(tuned, tokenizer, author_name, samples, max_length=length)
    return {f"{name}_loss": with_adapter.per_token, f"{name}_loss_base": without.per_token}


def _examples(tokenizer: Any, author_name: str, samples: pl.DataFrame, length: int) -> Any:
    from datasets import Dataset

    rows = []
    for row in samples.iter_rows(named=True):
        asked = messages(author_name, row["form"], row["instruction"], row["context"])
        ids, labels = encode_example(tokenizer, asked, row["target"], length)
        rows.append({"input_ids": ids, "labels": labels})
    return Dataset.from_list(rows)


def _arguments(recipe: Recipe, checkpoints: Path, device: str, has_validation: bool) -> Any:
    from trl.trainer.sft_config import SFTConfig

    on_gpu = device == "cuda"
    return SFTConfig(
        output_dir=str(checkpoints),
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.batch,
        per_device_eval_batch_size=recipe.batch,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=recipe.warmup,
        max_length=recipe.length,
        packing=False,
        seed=recipe.seed,
        data_seed=recipe.seed,
        bf16=on_gpu,
        use_cpu=not on_gpu,
        gradient_checkpointing=None,  # type: ignore[arg-type]  # the old name of the next
        activation_checkpointing=on_gpu,
        dataloader_pin_memory=on_gpu,
        eval_strategy="epoch" if has_validation else "no",
        save_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=has_validation,
        metric_for_best_model="eval_loss" if has_validation else None,
        logging_strategy="epoch",
        train_sampling_strategy="group_by_length",
        report_to="none",
        disable_tqdm=True,
        push_to_hub=False,
    )


def _watch(progress: Progress | None, seconds: float | None) -> Any:
    from transformers import TrainerCallback

    deadline = time.monotonic() + (float("inf") if seconds is None else seconds)

    class Watch(TrainerCallback):  # type: ignore[misc]
        """Tells how far the training is after every step, and ends it when its time is up."""

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            """Called by the trainer."""
            if progress is not None:
                progress("fine-tuning", state.global_step / max(1, state.max_steps))
            late = time.monotonic() > deadline and state.global_step >= MINIMUM_STEPS
            if late and state.global_step < state.max_steps:
                control.should_evaluate = args.eval_strategy != "no"
                control.should_save = control.should_training_stop = True

    return Watch()


def _save(tuned: Any, tokenizer: Any, base_name: str, folder: Path) -> None:
    tuned.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    # peft writes where the base lay on this machine; whoever loads the adapter wants its name.
    path = folder / "adapter_config.json"
    configuration = json.loads(path.read_text(encoding="utf-8"))
    configuration["base_model_name_or_path"] = base_name
    path.write_text(json.dumps(configuration, indent=2) + "\n", encoding="utf-8")
    (folder / "README.md").unlink(missing_ok=True)


def _last_checkpoint(folder: Path) -> str | None:
    from transformers.trainer_utils import get_last_checkpoint

    return get_last_checkpoint(str(folder)) if folder.is_dir() else None


def quiet() -> None:
    """No progress bars and notices of the libraries' own (progress is ours to show), and no telemetry (trl's)."""
    from datasets.utils.logging import disable_progress_bar
    from huggingface_hub import constants
    from huggingface_hub.utils.tqdm import disable_progress_bars
    from transformers.utils import logging as transformers_logging

    constants.HF_HUB_DISABLE_TELEMETRY = True
    disable_progress_bar()
    disable_progress_bars()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("trl").setLevel(logging.ERROR)
    # trl and transformers warn about each other's renamed options.
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers|trl")
