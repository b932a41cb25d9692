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
TEXT_SUFFIXES = frozenset({".json", ".jsonl", ".txt", ".md", ".csv", ".html", ".yaml", ".yml"})
MODEL = "model"  # the folder of a run's weights
BUSY_SECONDS = 30  # that a database in use is waited for


def refuse_unsafe(folder: Path) -> Path:
    """The folder; raises ModelError where it holds weights in a format that can run code."""
    unsafe = sorted(p.name for p in folder.rglob("*") if p.suffix in UNSAFE_SUFFIXES)
    if unsafe:
        raise ModelError(f"{folder} holds {unsafe[0]}, a weights format that can run code; only safetensors is used.")
    return folder


class RunFiles:
    """The artifacts of one MLflow run, on this machine or on a server.

    name: of the experiment. A local run's files are looked for under models_folder first, where a home that was moved
    or copied has them, and then where the run says.
    """

    def __init__(self, client: "MlflowClient", models_folder: Path, name: str, run_id: str) -> None:
        self._client, self._run_id = client, run_id
        self._uri = str(client.get_run(run_id).info.artifact_uri)
        said, here = urlparse(self._uri), models_folder / "artifacts" / name / run_id / "artifacts"
        local = said.scheme in ("", "file")
        self.local = (here if here.is_dir() else Path(unquote(said.path))) if local else None

    def texts(self, folder: str = "") -> list[str]:
        """Paths of text artifacts below a folder, the model's own aside."""
        if self.local is not None:
            found = [path.relative_to(self.local) for path in (self.local / folder).rglob("*") if path.is_file()]
            names = [path.as_posix() for path in found]
        else:
            names = self._remote_names(folder)
        return sorted(n for n in names if Path(n).suffix in TEXT_SUFFIXES and not n.startswith(f"{MODEL}/"))

    def read(self, path: str) -> str | None:
        """A text artifact, None where there is none."""
        if self.local is not None:
            place = self.local / path
            return place.read_text(encoding="utf-8", errors="replace") if place.is_file() else None
        if path not in self.texts(path.rpartition("/")[0]):
            return None
        with tempfile.TemporaryDirectory() as scratch:
            fetched = self._client.download_artifacts(self._run_id, path, scratch)
            return Path(fetched).read_text(encoding="utf-8", errors="replace")

    def read_json(self, path: str) -> dict[str, Any] | None:
        """A JSON artifact, None where there is none."""
        text = self.read(path)
        return None if text is None else dict(json.loads(text))

    def write(self, path: str, content: str | bytes) -> None:
        """Put an artifact in place of what was there."""
        data = content.encode("utf-8") if isinstance(content, str) else content
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / Path(path).name
            file.write_bytes(data)
            if self.local is None:
                self._client.log_artifact(self._run_id, str(file), path.rpartition("/")[0] or None)
                return
        target = self.local / path
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.tmp")
        temporary.write_bytes(data)
        os.replace(temporary, target)

    def delete(self, path: str) -> None:
        """Delete an artifact or a folder of them, there or not; raises ModelError where the store refuses."""
        from mlflow.exceptions import MlflowException
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        if self.local is not None:
            place = self.local / path
            shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
            return
        try:
            get_artifact_repository(self._uri).delete_artifacts(path)
        except (MlflowException, NotImplementedError, OSError) as error:
            raise ModelError(
                f"{path} of run {self._run_id} could not be deleted from the MLflow server's store; "
                f"delete it there and run this again: {error}"
            ) from error

    def _remote_names(self, folder: str) -> list[str]:
        names: list[str] = []
        for entry in self._client.list_artifacts(self._run_id, folder or None):
            if not entry.is_dir:
                names.append(str(entry.path))
            elif entry.path != MODEL:
                names += self._remote_names(str(entry.path))
        return names


def model_folder(files: RunFiles, client: "MlflowClient", downloads: Path, found: "ModelVersion") -> Path:
    """Folder of a version's weights, fetched to `downloads` where the store is remote.

    Raises ModelError where they are gone or in a format that can run code.
    """
    if files.local is not None and (files.local / MODEL).is_dir():
        return refuse_unsafe(files.local / MODEL)
    if not downloads.is_dir():
        _download(client, found, downloads)
    return refuse_unsafe(downloads)


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
        runs = [run.info.run_id for run in all_runs(client, number)]
        if experiment.lifecycle_stage == "active":
            client.delete_experiment(number)
        if not tracking_uri.startswith(("http://", "https://")):
            for run in runs:
                store._hard_delete_run(run)
            store._hard_delete_experiment(number)


def all_runs(client: "MlflowClient", experiment: str) -> list[Any]:
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
