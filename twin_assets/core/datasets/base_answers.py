"""base_answers(): what the base model writes to the author's own instructions, for pairs in which their words win.

Kept in table `base_answers` by model and conversation: a model answers the same request once.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from twin_assets.core.datasets.dataset import Dataset
from twin_assets.core.documents import content_hash
from twin_assets.core.errors import ModelError, TwinError
from twin_assets.core.lake import Lake
from twin_assets.core.prompts import PROMPTS_VERSION, Message, encode_prompt, messages

if TYPE_CHECKING:
    from twin_assets.core.training.bases import BaseModel
    from twin_assets.core.workspace import Workspace

Progress = Callable[[int, int], None]
BATCH = 4  # answers at risk when a run is killed
LONGEST_PROMPT, LONGEST_ANSWER = 1_500, 300  # tokens
CHARACTERS_PER_TOKEN = 3
SECONDS = 600.0  # of one run; what is missing then is made by the next ones


@dataclass(frozen=True, slots=True)
class BaseAnswers:
    """Pairs with the base's answer as the rejected one, and why there are none or not all."""

    rows: list[dict[str, object]] = field(default_factory=list)
    notes: tuple[str, ...] = ()


def base_answers(
    workspace: "Workspace", author: str, dataset: Dataset, count: int, progress: Progress | None = None
) -> BaseAnswers:
    """Pairs of the author's words and the base's answer to the same request, for `count` samples.

    Loads the model only where an answer is missing. progress: told answers done, to do.
    """
    from twin_assets.core.training.bases import resolve_base

    settings = workspace.settings
    drawn = _drawn(dataset, count)
    if drawn.is_empty():
        return BaseAnswers()
    found = workspace.authors.get(author)
    try:
        base = resolve_base(found.base_model or settings.base_model, settings)
        if base.kind == "nano":
            return BaseAnswers(notes=("nano is never set against the author: it strings their syllables together",))
        asked = {
            row["sample_id"]: messages(found.name, row["form"], row["instruction"], row["context"])
            for row in drawn.iter_rows(named=True)
        }
        answers = _answers(workspace, author, base, drawn, asked, progress)
        missing = drawn.height - len(answers)
    except TwinError as error:
        return BaseAnswers(notes=(f"the base model could not be asked: {error}",))
    rows: list[dict[str, object]] = [
        {
            "pair_id": content_hash("base", base.identity, row["sample_id"], row["instruction"], row["context"]),
            "source": "base", "form": row["form"], "prompt": row["instruction"], "context": row["context"],
            "chosen": row["target"], "rejected": answers.get(row["sample_id"], ""), "draft_id": None,
            "document_id": row["document_id"], "split": row["split"],
        }
        for row in drawn.iter_rows(named=True)
        # Nothing is learned from a blank, nor from an answer that is the author's text.
        if answers.get(row["sample_id"], "").strip() not in ("", row["target"].strip())
    ]  # fmt: skip
    notes = (f"{missing} answers of the base are missing yet; the next run goes on",) if missing else ()
    return BaseAnswers(rows, notes)


def _drawn(dataset: Dataset, count: int) -> pl.DataFrame:
    """The samples that are asked about: of training and validation, by hash, the same for every version."""
    used = pl.concat([dataset.split("train"), dataset.split("validation")]).filter(pl.col("form") != "code")
    places = pl.Series([content_hash("base answer", sample) for sample in used["sample_id"]], dtype=pl.String)
    return used.with_columns(drawn_by=places).sort("drawn_by").head(count)


def _answers(
    workspace: "Workspace",
    author: str,
    base: "BaseModel",
    samples: pl.DataFrame,
    asked: dict[str, list[Message]],
    progress: Progress | None,
) -> dict[str, str]:
    """The base's answers by sample, as far as time allows; those that are missing are made and kept."""
    lake = workspace.lake
    owners = dict(samples.select("sample_id", "document_id").iter_rows())
    keys = {sample: content_hash(PROMPTS_VERSION, base.identity, asked[sample]) for sample in asked}
    with lake.exclusive("base_answers", author):
        known = _known(lake, author)
        missing = [row for row in samples.iter_rows(named=True) if keys[row["sample_id"]] not in known]
        done = 0
        for answers in _written(workspace, base, missing, asked) if missing else ():
            rows = [
                {
                    "author": author, "request": keys[sample], "document_id": owners[sample], "base": base.name,
                    "answer": text, "written_at": datetime.now(UTC),
                }
                for sample, text in answers
            ]  # fmt: skip
            lake.append("base_answers", rows)
            known |= {keys[sample]: text for sample, text in answers}
            done += len(rows)
            if progress is not None:
                progress(done, len(missing))
    return {sample: known[key] for sample, key in keys.items() if key in known}


def _known(lake: Lake, author: str) -> dict[str, str]:
    return dict(lake.read("base_answers", author, columns=["request", "answer"]).iter_rows())


def _written(
    workspace: "Workspace",
    base: "BaseModel",
    samples: Sequence[dict[str, Any]],
    asked: dict[str, list[Message]],
) -> Iterator[list[tuple[str, str]]]:
    """(sample, answer) in batches, greedily, each about as long as the author's own; ends after SECONDS.

    Raises ModelError where the model does not fit into memory.
    """
    import torch

    from twin_assets.core.training.bases import fetch
    from twin_assets.core.training.preflight import Machine
    from twin_assets.core.training.sft import load_base, quiet

    quiet()
    folder = fetch(base, workspace.settings)
    machine = Machine.measure(folder)
    # Kept in 16 bits and computed in 32 on a CPU.
    needed = sum(path.stat().st_size for path in folder.glob("*.safetensors")) * (2 if machine.device == "cpu" else 1)
    if needed > machine.memory:
        raise ModelError(
            f"{base.name} takes {needed / 1e9:.1f} GB of memory and {machine.memory / 1e9:.1f} GB are free"
        )
    model, tokenizer = load_base(folder)
    model.eval()
    end = time.monotonic() + SECONDS
    for start in range(0, len(samples), BATCH):
        if time.monotonic() > end:
            return
        answers = []
        for row in samples[start : start + BATCH]:
            prompt = encode_prompt(tokenizer, asked[row["sample_id"]])[-LONGEST_PROMPT:]
            tokens = min(LONGEST_ANSWER, 32 + len(row["target"]) // CHARACTERS_PER_TOKEN)
            ids = torch.tensor([prompt], device=model.device)
            with torch.inference_mode():
                made = model.generate(
                    input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, do_sample=False,
                    pad_token_id=tokenizer.pad_token_id,
                )  # fmt: skip
            answers.append((row["sample_id"], tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True)))
        yield answers
