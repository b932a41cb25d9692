"""What lies behind the registry: a version's files in MLflow's artifact store, and what deleting takes there."""

import json
import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

from twin_assets.core.errors import ModelError

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from twin_assets.core.registry_versions import ModelVersion

# Weights come and go as safetensors only: the other formats run code when they are opened.
UNSAFE_SUFFIXES = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"})
BUSY_SECONDS = 30  # that a database in use is waited for


def refuse_unsafe(folder: Path) -> Path:
    """The folder; raises ModelError where it holds weights in a format that can run code."""
    unsafe = sorted(p.name for p in folder.rglob("*") if p.suffix in UNSAFE_SUFFIXES)
    if unsafe:
        raise ModelError(f"{folder} holds {unsafe[0]}, a weights format that can run code; only safetensors is used.")
    return folder


def model_folder(client: "MlflowClient", models_folder: Path, name: str, found: "ModelVersion") -> Path:
    """Folder of a version's weights, fetched to models_folder/downloads where the store is remote.

    Raises ModelError where they are gone or in a format that can run code.
    """
    for place in _local_artifacts(client, models_folder, name, found):
        if (place / "model").is_dir():
            return refuse_unsafe(place / "model")
    target = models_folder / "downloads" / name / found.version
    if not target.is_dir():
        _download(client, found, target)
    return refuse_unsafe(target)


def delete_model(client: "MlflowClient", models_folder: Path, name: str, found: "ModelVersion") -> None:
    """Delete a version's weights here and in the store; raises ModelError where the store refuses."""
    from mlflow.exceptions import MlflowException
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    shutil.rmtree(models_folder / "downloads" / name / found.version, ignore_errors=True)
    local = _local_artifacts(client, models_folder, name, found)
    for place in local:
        shutil.rmtree(place / "model", ignore_errors=True)
    if not local:
        try:
            get_artifact_repository(str(client.get_run(found.run_id).info.artifact_uri)).delete_artifacts("model")
        except (MlflowException, NotImplementedError, OSError) as error:
            raise ModelError(
                f"The weights of version {found.version} of {found.author!r} could not be deleted from the MLflow "
                f"server's store; delete them there and run this again: {error}"
            ) from error


def read_json(client: "MlflowClient", run_id: str, path: str) -> dict[str, Any] | None:
    """A JSON artifact of a run, None where there is none."""
    if not any(entry.path == path for entry in client.list_artifacts(run_id, path.rpartition("/")[0])):
        return None
    with tempfile.TemporaryDirectory() as scratch:
        fetched = client.download_artifacts(run_id, path, scratch)
        return dict(json.loads(Path(fetched).read_text(encoding="utf-8")))


def read_jsons(client: "MlflowClient", run_id: str, folder: str) -> dict[str, dict[str, Any]]:
    """The JSON artifacts in a folder of a run, by name."""
    paths = [str(entry.path) for entry in client.list_artifacts(run_id, folder)]
    found = {Path(path).stem: read_json(client, run_id, path) for path in paths if path.endswith(".json")}
    return {name: value for name, value in found.items() if value is not None}


def remove_experiment(client: "MlflowClient", tracking_uri: str, name: str) -> None:
    """Delete a registered model and an experiment with its runs and traces.

    In a database they are deleted for good, as `mlflow gc` does; a server keeps runs as deleted until its operator
    runs that.
    """
    from mlflow.entities import ViewType
    from mlflow.exceptions import MlflowException

    try:
        client.delete_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
    experiments = client.search_experiments(view_type=ViewType.ALL, filter_string=f"name = '{name}'")
    store = client._tracking_client.store
    for experiment in experiments:
        number = str(experiment.experiment_id)
        client.delete_traces(number, max_timestamp_millis=2**62)
        runs = [run.info.run_id for run in _all_runs(client, number)]
        if experiment.lifecycle_stage == "active":
            client.delete_experiment(number)
        if not tracking_uri.startswith(("http://", "https://")):
            for run in runs:
                store._hard_delete_run(run)
            store._hard_delete_experiment(number)


def _all_runs(client: "MlflowClient", experiment: str) -> list[Any]:
    from mlflow.entities import ViewType

    runs: list[Any] = []
    page = client.search_runs([experiment], run_view_type=ViewType.ALL)
    runs += page
    while page.token:
        page = client.search_runs([experiment], run_view_type=ViewType.ALL, page_token=page.token)
        runs += page
    return runs


def vacuum(database: Path) -> None:
    """Rewrite a SQLite database without the pages of deleted rows; raises ModelError where it stays busy."""
    with closing(sqlite3.connect(database, timeout=BUSY_SECONDS)) as connection:
        try:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.OperationalError as error:
            raise ModelError(f"{database} is in use and keeps deleted bytes; run this again later: {error}") from error


def _local_artifacts(client: "MlflowClient", models_folder: Path, name: str, found: "ModelVersion") -> list[Path]:
    """Where the artifacts of a version's run lie on this machine, none where the store is remote."""
    uri = urlparse(str(client.get_run(found.run_id).info.artifact_uri))
    if uri.scheme not in ("", "file"):
        return []
    # The second is where a home that was moved has its artifacts now.
    return [Path(unquote(uri.path)), models_folder / "artifacts" / name / found.run_id / "artifacts"]


def _download(client: "MlflowClient", found: "ModelVersion", target: Path) -> None:
    from mlflow.exceptions import MlflowException

    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=target.parent))
    try:
        os.replace(client.download_artifacts(found.run_id, "model", str(scratch)), target)
    except (MlflowException, OSError) as error:
        raise ModelError(
            f"The files of model version {found.version} of {found.author!r} cannot be found; train it again: {error}"
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
