"""Model versions of all authors in MLflow: runs, versions with what they were made from, their files and reports."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

from twin_assets.core.errors import ModelError, UnknownModelError
from twin_assets.core.lake import json_text
from twin_assets.core.registry_client import open_client
from twin_assets.core.registry_files import (
    MODEL,
    RunFiles,
    all_runs,
    model_folder,
    refuse_unsafe,
    remove_experiment,
    vacuum,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

ALIAS = "approved"
LINEAGE = "lineage/documents.json"


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One trained model of an author.

    version: number within the author's models; base_model: "nano", a hub id or a folder, and base_identity its
    revision; preferences_version: of the pairs it was tuned on, "" for none; fingerprint: hash of all that decides
    the training's result; status: candidate, approved, rejected, retired (approved once) or withdrawn (never to be
    served again, its weights may be gone); metrics: the figures of its training and evaluation.
    """

    author: str
    version: str
    run_id: str
    base_model: str
    is_nano: bool
    dataset_version: str
    corpus_version: str
    code_version: str
    fingerprint: str
    status: str
    created_at: datetime
    base_identity: str = ""
    dataset_delta_version: int | None = None
    preferences_version: str = ""
    preferences_delta_version: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


class Versions:
    """What the registry holds, without who decides on it (see registry.Registry).

    tracking_uri: sqlite:///… (served without an MLflow server) or http(s)://… of one; models_folder: where
    artifacts of a local registry lie, and where those of a remote one are fetched to. Methods raise
    ModelError where MLflow cannot be reached and UnknownModelError for a version that is not there.
    """

    def __init__(self, tracking_uri: str, models_folder: Path) -> None:
        self.tracking_uri = tracking_uri
        self.models_folder = models_folder

    def experiment(self, author: str) -> str:
        """Id of the author's MLflow experiment (made on first use, with its artifacts under models_folder)."""
        name = self.experiment_name(author)
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        location = (self.models_folder / "artifacts" / name).absolute().as_uri() if self._database else None
        return str(self._client.create_experiment(name, artifact_location=location))

    def start_run(self, author: str, name: str, params: Mapping[str, Any], run_id: str | None = None) -> str:
        """Open an MLflow run (or go on in `run_id`) with these parameters and return its id."""
        from mlflow.entities import Param

        if run_id is None:
            run = self._client.create_run(self.experiment(author), run_name=name, tags={"author": author})
            run_id = str(run.info.run_id)
        entries = [Param(key, str(value)[:500]) for key, value in params.items()]
        self._client.log_batch(run_id, params=entries)
        return run_id

    def log_metrics(self, run_id: str, metrics: Mapping[str, float], step: int = 0) -> None:
        """Record figures of a run at a step."""
        from mlflow.entities import Metric

        now = int(datetime.now(UTC).timestamp() * 1000)
        self._client.log_batch(run_id, metrics=[Metric(k, float(v), now, step) for k, v in metrics.items()])

    def end_run(self, run_id: str, failed: bool = False) -> None:
        """Close a run."""
        self._client.set_terminated(run_id, "FAILED" if failed else "FINISHED")

    def tag_run(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run."""
        from mlflow.entities import RunTag

        self._client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])

    def runs(self, author: str, kind: str) -> list[Any]:
        """MLflow's runs of an author with this value of tag `twin.kind` that ended well, newest first."""
        if not self._exists:
            return []
        wanted = f"tags.`twin.kind` = '{kind}' and attributes.status = 'FINISHED'"
        return list(self._client.search_runs([self.experiment(author)], wanted, max_results=1000))

    def register(
        self,
        author: str,
        *,
        run_id: str,
        folder: Path,
        base_model: str,
        is_nano: bool,
        base_identity: str,
        dataset_version: str,
        dataset_delta_version: int | None,
        corpus_version: str,
        code_version: str,
        fingerprint: str,
        metrics: Mapping[str, float],
        preferences_version: str = "",
        preferences_delta_version: int | None = None,
    ) -> ModelVersion:
        """Store a trained model's folder (`adapter/`, and `base/` where it has its own) as a new candidate
        version.

        The version is made last: a kill before that leaves a run and no version.
        """
        from mlflow.exceptions import MlflowException

        refuse_unsafe(folder)
        self._client.log_artifacts(run_id, str(folder), MODEL)
        self.log_metrics(run_id, metrics)
        name = self.experiment_name(author)
        try:
            self._client.get_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            self._client.create_registered_model(name, tags={"author": author})
        tags = {
            "base_model": base_model,
            "base_identity": base_identity,
            "is_nano": str(is_nano).lower(),
            "dataset_version": dataset_version,
            "dataset_delta_version": json.dumps(dataset_delta_version),
            "preferences_version": preferences_version,
            "preferences_delta_version": json.dumps(preferences_delta_version),
            "corpus_version": corpus_version,
            "code_version": code_version,
            "fingerprint": fingerprint,
            "metrics": json.dumps(dict(metrics)),
        }
        source = f"{self._client.get_run(run_id).info.artifact_uri}/{MODEL}"
        made = self._client.create_model_version(name, source, run_id, tags=tags)
        return self.get(author, str(made.version))

    def versions(self, author: str) -> list[ModelVersion]:
        """All versions of an author, newest first."""
        if not self._exists:
            return []
        approved = self._approved_number(author)
        found = self._client.search_model_versions(f"name = '{self.experiment_name(author)}'", max_results=1000)
        return sorted(
            (self._version(author, entry, approved) for entry in found),
            key=lambda v: int(v.version),
            reverse=True,
        )

    def get(self, author: str, version: str) -> ModelVersion:
        """One version; raises UnknownModelError."""
        from mlflow.exceptions import MlflowException

        try:
            entry = self._client.get_model_version(self.experiment_name(author), version)
        except MlflowException as error:
            known = ", ".join(v.version for v in self.versions(author)) or "none yet"
            raise UnknownModelError(
                f"{author!r} has no model version {version!r} (known: {known}); see `twin status`."
            ) from error
        return self._version(author, entry, self._approved_number(author))

    def approved(self, author: str) -> ModelVersion | None:
        """The version that is served, None where none was approved; a few milliseconds, made to be polled."""
        from_alias = self._by_alias(author)
        return None if from_alias is None else self._version(author, from_alias, str(from_alias.version))

    def find(self, author: str, fingerprint: str) -> ModelVersion | None:
        """The newest version that was trained with this fingerprint and not withdrawn, None where there is none."""
        usable = (v for v in self.versions(author) if v.status != "withdrawn")
        return next((v for v in usable if v.fingerprint == fingerprint), None)

    def record_report(
        self,
        author: str,
        version: str,
        report: Mapping[str, Any],
        metrics: Mapping[str, float] | None = None,
        files: Mapping[str, bytes] | None = None,
        name: str = "report",
    ) -> None:
        """Keep an evaluation with its version: the report as JSON under a name, headline figures, files (plots)."""
        found = self.get(author, version)
        artifacts = self._files(author, found.run_id)
        for file, content in (files or {}).items():
            artifacts.write(f"evaluation/{file}", content)
        artifacts.write(f"evaluation/{name}.json", json_text(report))
        if metrics:
            merged = {**found.metrics, **metrics}
            self.log_metrics(found.run_id, metrics)
            self._client.set_model_version_tag(self.experiment_name(author), version, "metrics", json.dumps(merged))

    def report(self, author: str, version: str, name: str = "report") -> dict[str, Any] | None:
        """The version's evaluation of that name, None where it has none."""
        return self._files(author, self.get(author, version).run_id).read_json(f"evaluation/{name}.json")

    def reports(self, author: str, version: str) -> dict[str, dict[str, Any]]:
        """All evaluations of a version by name."""
        files = self._files(author, self.get(author, version).run_id)
        paths = [path for path in files.texts("evaluation") if path.endswith(".json")]
        return {Path(path).stem: value for path in paths if (value := files.read_json(path)) is not None}

    def record_lineage(self, author: str, version: str, value: Mapping[str, Any]) -> None:
        """Keep with a version what it was made from, for when its dataset cannot be read any more."""
        self._files(author, self.get(author, version).run_id).write(LINEAGE, json_text(value))

    def recorded_lineage(self, author: str, version: str) -> dict[str, Any] | None:
        """What record_lineage() kept, None where nothing."""
        return self._files(author, self.get(author, version).run_id).read_json(LINEAGE)

    def folder(self, author: str, version: str) -> Path:
        """Folder of a version's files: `adapter/`, and `base/` for a nano; safetensors only, checked.

        A remote registry's files are fetched once, into models_folder/downloads.
        """
        found = self.get(author, version)
        return model_folder(self._files(author, found.run_id), self._client, self._downloads(found), found)

    def delete_files(self, author: str, version: str) -> None:
        """Delete a version's weights; the version stays in the registry and says what it was."""
        found = self.get(author, version)
        shutil.rmtree(self._downloads(found), ignore_errors=True)
        self._files(author, found.run_id).delete(MODEL)

    def scrub(self, author: str, clean: Callable[[str], str | None]) -> None:
        """Put every text artifact of the author's runs, models aside, through `clean`: what it gives is kept instead,
        and where it gives None the artifact is deleted."""
        experiment = self._client.get_experiment_by_name(self.experiment_name(author)) if self._exists else None
        for run in all_runs(self._client, str(experiment.experiment_id)) if experiment is not None else ():
            files = self._files(author, run.info.run_id)
            for path in files.texts():
                before = files.read(path) or ""
                after = clean(before)
                if after is None:
                    files.delete(path)
                elif after != before:
                    files.write(path, after)

    def remove_author(self, author: str) -> None:
        """Delete everything of an author: versions, runs, traces and their files; nothing happens where nothing is."""
        if self._exists:
            remove_experiment(self._client, self.tracking_uri, self.experiment_name(author))
        for folder in ("artifacts", "downloads"):
            shutil.rmtree(self.models_folder / folder / self.experiment_name(author), ignore_errors=True)

    def compact(self) -> None:
        """Have a local database give up the bytes of what was deleted from it."""
        if self._database is not None and self._database.is_file():
            vacuum(self._database)

    def _approved_number(self, author: str) -> str | None:
        entry = self._by_alias(author)
        return None if entry is None else str(entry.version)

    def _by_alias(self, author: str) -> Any:
        if not self._exists:
            return None
        from mlflow.exceptions import MlflowException

        try:
            return self._client.get_model_version_by_alias(self.experiment_name(author), ALIAS)
        except MlflowException as error:
            # SQLite's store calls a missing alias INVALID_PARAMETER_VALUE and a missing model
            # RESOURCE_DOES_NOT_EXIST.
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise ModelError(f"The model registry at {self._place} cannot be read: {error}") from error

    def _version(self, author: str, entry: Any, approved: str | None) -> ModelVersion:
        tags, number = entry.tags, str(entry.version)
        return ModelVersion(
            author=author,
            version=number,
            run_id=str(entry.run_id),
            base_model=tags["base_model"],
            is_nano=tags["is_nano"] == "true",
            dataset_version=tags["dataset_version"],
            corpus_version=tags["corpus_version"],
            code_version=tags["code_version"],
            fingerprint=tags["fingerprint"],
            base_identity=tags["base_identity"],
            dataset_delta_version=json.loads(tags["dataset_delta_version"]),
            preferences_version=tags.get("preferences_version", ""),
            preferences_delta_version=json.loads(tags.get("preferences_delta_version", "null")),
            status="approved" if number == approved else tags.get("status", "candidate"),
            created_at=datetime.fromtimestamp(entry.creation_timestamp / 1000, UTC),
            metrics=json.loads(tags.get("metrics", "{}")),
        )

    def _files(self, author: str, run_id: str) -> RunFiles:
        return RunFiles(self._client, self.models_folder, self.experiment_name(author), run_id)

    def _downloads(self, found: ModelVersion) -> Path:
        return self.models_folder / "downloads" / self.experiment_name(found.author) / found.version

    @staticmethod
    def experiment_name(author: str) -> str:
        """Name of the author's MLflow experiment and registered model."""
        return f"twin-{author}"

    @property
    def _database(self) -> Path | None:
        prefix = "sqlite:///"
        return Path(self.tracking_uri.removeprefix(prefix)) if self.tracking_uri.startswith(prefix) else None

    @property
    def _exists(self) -> bool:
        # Making a database only to find nothing in it takes seconds, and `twin status` on a fresh home asks.
        return self._database is None or self._database.is_file()

    @property
    def _place(self) -> str:
        return str(self._database or urlparse(self.tracking_uri).hostname)

    @cached_property
    def _client(self) -> "MlflowClient":
        if self._database is not None:
            self._database.parent.mkdir(parents=True, exist_ok=True)
        return open_client(self.tracking_uri, self._place)
