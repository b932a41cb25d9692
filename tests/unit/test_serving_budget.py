"""The token budget, against the tokenizer that transformers loads from the same folder."""

import shutil
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from tests.serving_models import CONTEXT, TEXT, make_base
from twin_assets.core.errors import ModelError
from twin_serving.composing.budget import TokenBudget, budget_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("model") / "base")


def test_counts_in_the_models_own_tokens(folder: Path) -> None:
    budget, tokenizer = TokenBudget(folder), AutoTokenizer.from_pretrained(folder)
    assert budget.context == CONTEXT
    for text in TEXT:
        assert budget.count(text) == len(tokenizer(text, add_special_tokens=False)["input_ids"])


def test_cuts_to_the_tokens_given_at_a_space(folder: Path) -> None:
    budget = TokenBudget(folder)
    text = " ".join(TEXT[1:] * 4)
    for tokens in (12, 20, 60):
        cut = budget.cut(text, tokens)
        assert text.startswith(cut)
        assert text[len(cut)] == " "
        assert 0 < budget.count(cut) <= tokens
    assert budget.cut(text, 10_000) == text
    assert budget.cut(text, 0) == ""


def test_notes_take_the_most_useful_first_and_stay_within_the_room(folder: Path) -> None:
    budget = TokenBudget(folder)
    passages = [f"{number} {TEXT[1]} {TEXT[2]}" for number in range(20)]
    notes = budget.notes(passages, 200)
    assert notes.startswith(passages[0])
    assert passages[1] in notes
    assert passages[19] not in notes
    assert budget.count(notes) <= 200
    assert budget.notes(passages, 3) == ""


def test_without_a_tokenizer_file_it_counts_too_much_rather_than_too_little(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    rough, exact = TokenBudget(tmp_path), TokenBudget(folder)
    ordinary = "Shipping small changes is a habit, and a test that cannot fail says nothing."
    assert rough.count(ordinary) >= exact.count(ordinary)
    assert rough.count(rough.cut(ordinary, 10)) <= 10


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json"])
def test_files_that_cannot_be_read_are_a_fault_of_the_model(folder: Path, tmp_path: Path, file: str) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    (broken / file).write_text('{"cut off')
    with pytest.raises(ModelError, match="broken"):
        budget_of(broken)
