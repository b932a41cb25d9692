"""Faults around a training: the registry away before and after, two at once, a base model that is nowhere any more."""

import errno
import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from training_corpus import AUTHOR, fill
from training_models import one_thread, preference_pairs, tiny_base  # noqa: F401

from demo.hub import HubServer
from twin_assets.core import datasets
from twin_assets.core.errors import ModelError, UnknownModelError
from twin_assets.core.registry import Registry
from twin_assets.core.training import sft
from twin_assets.core.training.bases import base_of, fetch
from twin_assets.core.training.experiments import sweep
from twin_assets.core.training.train import only_training, train
from twin_assets.core.workspace import Workspace

SHORT = {"epochs": 1, "length": 64, "checkpoint_steps": 0, "rank": 4}
NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def filled(home, tiny_base, monkeypatch) -> Workspace:
    """An author with a dataset and a tiny base."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    settings = {"base_model": str(tiny_base), "training_recipe": SHORT, "hub_endpoint": NOBODY}
    workspace = Workspace(home.model_copy(update=settings))
    fill(workspace, count=40)
    datasets.update_samples(workspace, AUTHOR.id)
    return workspace


def dataset_of(workspace: Workspace) -> datasets.Dataset:
    """The dataset as it is now."""
    return datasets.load_dataset(workspace.lake, AUTHOR.id)


def test_a_registry_that_is_away_or_full_costs_no_training(filled, monkeypatch):
    dataset, here = dataset_of(filled), filled.registry
    away = Registry(NOBODY, filled.settings.models_folder)
    folder = filled.settings.home / "training" / AUTHOR.id
    filled.__dict__["registry"] = away
    with pytest.raises(ModelError, match=r"registry at 127\.0\.0\.1 cannot be used"):
        train(filled, AUTHOR, dataset)
    assert not folder.exists(), "it is asked before anything is trained"

    def goes_away(stage: str, _: float) -> None:
        if not stage.startswith("base model"):
            filled.__dict__["registry"] = away

    filled.__dict__["registry"] = here
    with pytest.raises(ModelError, match=r"registry at 127\.0\.0\.1 cannot be used"):
        train(filled, AUTHOR, dataset, goes_away)
    filled.__dict__["registry"] = here
    assert here.versions(AUTHOR.id) == []
    assert [path.parent.parent.name for path in folder.glob("*/trained/adapter")], "what was trained waits"
    monkeypatch.setattr(sft, "trainable", lambda *_: pytest.fail("it is trained again"))

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Registry, "register", full)
        with pytest.raises(ModelError, match="Storing the model found the disk full; nothing was registered"):
            train(filled, AUTHOR, dataset)
    assert here.versions(AUTHOR.id) == []
    assert train(filled, AUTHOR, dataset).version.version == "1"
    assert not list(folder.glob("*/trained"))


def test_a_version_says_which_pairs_it_was_tuned_on(filled):
    pairs = preference_pairs(4).with_columns(pair_id=pl.col("chosen"), author=pl.lit(AUTHOR.id))
    held_back = pairs.tail(1).with_columns(pair_id=pl.lit("held back"), split=pl.lit("test"))
    filled.lake.append("preferences", pl.concat([pairs, held_back]).to_dicts())
    author, dataset = AUTHOR, dataset_of(filled)
    version = train(filled, author, dataset, changes={"preference": "dpo", "preference_epochs": 1}).version
    tuned_on = datasets.load_preferences(filled.lake, author.id, version.preferences_delta_version)
    used = replace(tuned_on, pairs=tuned_on.pairs.filter(pl.col("split") == "train"))
    assert (version.preferences_version, used.pairs.height) == (used.version, 4)
    assert version.metrics["preference_pairs"] == 4
    assert train(filled, author, dataset, changes={"preference": "off"}).version.preferences_version == ""


def test_one_training_of_an_author_at_a_time(filled):
    dataset = dataset_of(filled)
    with only_training(filled, AUTHOR):
        for start in (train, lambda *args: sweep(*args, {"rank": [2]})):
            with pytest.raises(ModelError, match="'demo' is already running; wait"):
                start(filled, AUTHOR, dataset)
    assert filled.registry.versions(AUTHOR.id) == []


def test_a_base_that_is_gone_from_hub_and_disk_is_named(filled, tiny_base, tmp_path):
    moved = Path(shutil.copytree(tiny_base, tmp_path / "base"))
    with HubServer({"tiny/model": moved}) as hub:
        settings = filled.settings.model_copy(update={"base_model": "tiny/model", "hub_endpoint": hub.url})
        workspace = Workspace(settings)
        version = train(workspace, AUTHOR, dataset_of(workspace)).version
        shutil.rmtree(settings.models_folder / "hub")
    with HubServer({}) as hub:
        taken_down = settings.model_copy(update={"hub_endpoint": hub.url})
        with pytest.raises(UnknownModelError, match="tiny/model cannot be fetched from"):
            fetch(base_of(version.base_model, version.base_identity), taken_down)
        for gone, words in ((taken_down, "it was taken down"), (settings, "is not on this machine")):
            with pytest.raises(UnknownModelError, match=words):
                train(Workspace(gone), AUTHOR, dataset_of(workspace))
    assert [each.version for each in workspace.registry.versions(AUTHOR.id)] == ["1"]
