"""Preference tuning on top of supervised fine-tuning: the author's choices against what they would not have written.

dpo: direct preference optimisation against the supervised adapter as the reference (arXiv 2305.18290); orpo: odds ratio
preference optimisation, which takes no reference (arXiv 2403.07691).
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from twin_assets.core.prompts import encode_example, messages
from twin_assets.core.training.checkpoints import last_whole_checkpoint
from twin_assets.core.training.recipes import MINIMUM_PAIRS, Recipe
from twin_assets.core.training.trainer_options import Progress, callbacks, shared_options

OWN = ("edit", "choice")  # sources of pairs that the author made


def pairs_to_train(pairs: pl.DataFrame, recipe: Recipe) -> tuple[pl.DataFrame, str]:
    """The pairs a recipe tunes on (none: the stage is left out), and why; rows of table `preferences`."""
    usable = pairs.filter(pl.col("split") == "train")
    if recipe.preference == "off" or usable.is_empty():
        return usable.clear(), "off in the recipe" if recipe.preference == "off" else "there are no pairs yet"
    own = usable.filter(pl.col("source").is_in(OWN)).height
    if recipe.preference == "auto" and own < MINIMUM_PAIRS:
        return usable.clear(), f"{own} pairs of the author's own, {MINIMUM_PAIRS} switch it on"
    return usable, f"{usable.height} pairs, {own} of them the author's own"


def tune_preferences(
    tuned: Any,
    tokenizer: Any,
    author_name: str,
    pairs: pl.DataFrame,
    recipe: Recipe,
    folder: Path,
    progress: Progress | None = None,
) -> dict[str, float]:
    """Tune a peft model in place on pairs (columns form, prompt, context, chosen, rejected).

    Returns the mean margin (log-probability of a token of the chosen text above one of the rejected, in nats) and the
    share of pairs with a positive one, before and after. Checkpoints lie in `folder/preference_checkpoints`.
    """
    rows = [encode_pair(tokenizer, author_name, row, recipe.length) for row in pairs.iter_rows(named=True)]
    before = margins(tuned, rows)
    trainer = _trainer(tuned, tokenizer, rows, recipe, folder, progress)
    whole = last_whole_checkpoint(folder / "preference_checkpoints")
    trainer.train(resume_from_checkpoint=str(whole) if whole else None)
    if "ref" in tuned.peft_config:
        tuned.delete_adapter("ref")
        tuned.set_adapter("default")  # deleting has switched whole layers back to the base's
    after = margins(tuned, rows)
    return {
        "preference_pairs": float(len(rows)),
        "preference_steps": float(trainer.state.global_step),
        "preference_margin_before": sum(before) / len(before),
        "preference_margin": sum(after) / len(after),
        "preference_accuracy_before": sum(m > 0 for m in before) / len(before),
        "preference_accuracy": sum(m > 0 for m in after) / len(after),
    }


def encode_pair(tokenizer: Any, author_name: str, row: Mapping[str, Any], length: int) -> dict[str, list[int]]:
    """Token ids of a pair: the prompt as serving gives it, cut alike for both, and the two answers."""
    asked = messages(author_name, row["form"], row["prompt"], row["context"] or "")
    halves = []
    for name in ("chosen", "rejected"):
        ids, labels = encode_example(tokenizer, asked, row[name], length)
        start = next((i for i, label in enumerate(labels) if label >= 0), len(ids))
        halves.append((ids[:start], ids[start:]))
    prompt = min((half[0] for half in halves), key=len)
    return {"prompt_ids": prompt, "chosen_ids": halves[0][1], "rejected_ids": halves[1][1]}


def margins(model: Any, rows: list[dict[str, list[int]]]) -> list[float]:
    """Mean log-probability of a token of the chosen answer less that of the rejected one, per pair, in nats."""
    import torch

    def mean(prompt: list[int], answer: list[int]) -> float:
        ids = torch.tensor([[*prompt, *answer]], device=model.device)
        labels = ids.clone()
        labels[:, : len(prompt)] = -100
        with torch.inference_mode():
            return -float(model(input_ids=ids, labels=labels).loss)

    model.eval()
    return [mean(r["prompt_ids"], r["chosen_ids"]) - mean(r["prompt_ids"], r["rejected_ids"]) for r in rows]


def _options(recipe: Recipe, folder: Path) -> dict[str, Any]:
    return {
        **shared_options(recipe, folder / "preference_checkpoints", has_validation=False),
        "num_train_epochs": recipe.preference_epochs,
        "learning_rate": recipe.preference_learning_rate,
        "beta": recipe.preference_beta,
    }


def _trainer(
    tuned: Any, tokenizer: Any, rows: list[dict[str, list[int]]], recipe: Recipe, folder: Path, progress: Any
) -> Any:
    from datasets import Dataset
    from transformers import PrinterCallback

    if recipe.preference == "orpo":
        trainer_class, configuration = _orpo()
        rows = [{**row, "prompt": "", "chosen": "", "rejected": ""} for row in rows]  # type: ignore[dict-item]
    else:
        trainer_class, configuration = _dpo()
    trainer = trainer_class(
        model=tuned,
        args=configuration(**_options(recipe, folder)),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        callbacks=callbacks(recipe, "tuning on preferences", progress, None, has_validation=False),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _dpo() -> tuple[Any, Any]:
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer

    class Trainer(DPOTrainer):  # type: ignore[misc]
        """DPOTrainer on rows that are tokens already, as serving makes them."""

        def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
            return dataset

    return Trainer, DPOConfig


def _orpo() -> tuple[Any, Any]:
    with warnings.catch_warnings():  # it says on import that it may change: the version is pinned
        warnings.simplefilter("ignore")
        from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    class Trainer(ORPOTrainer):  # type: ignore[misc]
        """ORPOTrainer on rows that are tokens already, as serving makes them."""

        def tokenize_row(self, feature: dict[str, Any], model: Any = None) -> dict[str, Any]:
            prompt = feature["prompt_ids"]
            row: dict[str, Any] = {"prompt_input_ids": prompt, "prompt_attention_mask": [1] * len(prompt)}
            for name in ("chosen", "rejected"):
                answer = feature[f"{name}_ids"]
                row[f"{name}_input_ids"] = [*prompt, *answer]
                row[f"{name}_attention_mask"] = [1] * (len(prompt) + len(answer))
                row[f"{name}_labels"] = [-100] * len(prompt) + list(answer)
            return row

    return Trainer, ORPOConfig
