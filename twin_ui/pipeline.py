"""A thin client of Dagster's GraphQL: start a job for one author, follow its run.

(Not named dagster.py: Streamlit puts this folder on the import path, where it would hide the library.)
Schema: https://docs.dagster.io/api/graphql, checked against dagster-webserver 1.13.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from twin_serving.client import ServingError

PARTITION_TAG = "dagster/partition"
PARTITIONS_DEFINITION = "author"
ACTIVE = frozenset({"QUEUED", "NOT_STARTED", "MANAGED", "STARTING", "STARTED", "CANCELING"})

_REPOSITORIES = """{repositoriesOrError{__typename
  ... on RepositoryConnection{nodes{name location{name} jobs{name}}} ... on PythonError{message}}
  workspaceOrError{... on Workspace{locationEntries{locationOrLoadError{__typename ... on PythonError{message}}}}}}"""
_ADD_PARTITION = """mutation($key:String!,$name:String!,$repository:RepositorySelector!){
  addDynamicPartition(partitionKey:$key,partitionsDefName:$name,repositorySelector:$repository){
    __typename ... on PythonError{message} ... on UnauthorizedError{message}}}"""
_LAUNCH = """mutation($parameters:ExecutionParams!){launchRun(executionParams:$parameters){
  __typename ... on LaunchRunSuccess{run{runId}} ... on Error{message}
  ... on RunConfigValidationInvalid{errors{message}}}}"""
_RUN = """query($run:ID!,$cursor:String){
  runOrError(runId:$run){__typename ... on Error{message} ... on Run{
    runId jobName status creationTime startTime endTime stepKeysToExecute
    stepStats{stepKey status startTime endTime}}}
  logsForRun(runId:$run,afterCursor:$cursor,limit:500){... on EventConnection{cursor hasMore events{
    __typename ... on MessageEvent{message stepKey level timestamp}
    ... on ExecutionStepFailureEvent{error{message cause{message} causes{message}}}
    ... on RunFailureEvent{error{message causes{message}}}
    ... on MaterializationEvent{assetKey{path} metadataEntries{label
      ... on IntMetadataEntry{intValue} ... on FloatMetadataEntry{floatValue}
      ... on TextMetadataEntry{text} ... on BoolMetadataEntry{boolValue}}}
    ... on AssetCheckEvaluationEvent{evaluation{checkName success severity description}}}}}}"""
_LATEST = """query($filter:RunsFilter!){runsOrError(filter:$filter,limit:25){
  __typename ... on Runs{results{runId jobName status}} ... on Error{message}}}"""
_TERMINATE = """mutation($run:String!){terminateRun(runId:$run){
  __typename ... on Error{message} ... on TerminateRunFailure{message}}}"""


@dataclass
class Step:
    """One step of a run. status: waiting, running, done, failed or skipped; times in epoch seconds."""

    key: str
    status: str = "waiting"
    started: float | None = None
    ended: float | None = None
    message: str = ""
    error: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    failed_checks: list[str] = field(default_factory=list)


@dataclass
class Run:
    """A run followed so far; `cursor` is how far its events were read, so that following it again reads only news."""

    run_id: str
    job: str = ""
    status: str = "NOT_STARTED"
    created: float | None = None
    started: float | None = None
    ended: float | None = None
    error: str = ""
    steps: dict[str, Step] = field(default_factory=dict)
    cursor: str | None = None

    @property
    def active(self) -> bool:
        """Whether there is more to come."""
        return self.status in ACTIVE

    @property
    def waiting_seconds(self) -> float:
        """How long the run has been queued without starting; 0 once it has."""
        waits = self.active and self.started is None and self.created is not None
        return max(0.0, time.time() - self.created) if waits and self.created is not None else 0.0

    @property
    def succeeded(self) -> bool:
        """Whether the run ended well."""
        return self.status == "SUCCESS"


class PipelineClient:
    """Dagster's GraphQL over HTTP. Every method raises ServingError with a sentence that says what to do."""

    def __init__(self, base_url: str, timeout: float = 30.0) -> None:
        self.base_url = base_url.rstrip("/")
        self._http = httpx.Client(timeout=timeout, trust_env=False)

    def launch(self, job: str, author: str) -> str:
        """Start a job for one author and return the run's id; the author becomes a partition if it is none yet."""
        repository = self._repository_of(job)
        self._query(_ADD_PARTITION, key=author, name=PARTITIONS_DEFINITION, repository=repository)
        parameters = {
            "selector": {**repository, "jobName": job},
            "runConfigData": "{}",
            "executionMetadata": {
                "tags": [{"key": PARTITION_TAG, "value": author}, {"key": "twin/started_by", "value": "page"}]
            },
        }
        answer = self._query(_LAUNCH, parameters=parameters)["launchRun"]
        if answer["__typename"] != "LaunchRunSuccess":
            reasons = answer.get("message") or "; ".join(e["message"] for e in answer.get("errors", []))
            raise ServingError(
                f"Dagster did not start the job {job!r} for {author!r}: {reasons or answer['__typename']}."
            )
        return str(answer["run"]["runId"])

    def recent(self, author: str) -> list[Run]:
        """The author's last runs, newest first, not followed yet."""
        answer = self._query(_LATEST, filter={"tags": [{"key": PARTITION_TAG, "value": author}]})["runsOrError"]
        results = _checked(answer, "Runs", "list the runs")["results"]
        return [Run(str(run["runId"]), job=run["jobName"], status=run["status"]) for run in results]

    def follow(self, run: Run) -> Run:
        """Read what happened since the run was followed last, into the same Run."""
        while True:
            answer = self._query(_RUN, run=run.run_id, cursor=run.cursor)
            _apply_state(run, _checked(answer["runOrError"], "Run", f"show run {run.run_id}"))
            log = answer["logsForRun"]
            for event in log.get("events", ()):
                _apply_event(run, event)
            run.cursor = log.get("cursor", run.cursor)
            if not log.get("hasMore"):
                return run

    def terminate(self, run_id: str) -> None:
        """Ask a run to stop."""
        answer = self._query(_TERMINATE, run=run_id)["terminateRun"]
        _checked(answer, "TerminateRunSuccess", f"stop run {run_id}")

    def _repository_of(self, job: str) -> dict[str, str]:
        answer = self._query(_REPOSITORIES)
        nodes = _checked(answer["repositoriesOrError"], "RepositoryConnection", "list its jobs")["nodes"]
        for node in nodes:
            if any(found["name"] == job for found in node["jobs"]):
                return {"repositoryName": node["name"], "repositoryLocationName": node["location"]["name"]}
        entries = answer["workspaceOrError"].get("locationEntries", ())
        loaded = (
            entry["locationOrLoadError"] or {"__typename": "", "message": "it is still loading"} for entry in entries
        )
        reasons = [str(state["message"]).strip().splitlines()[0] for state in loaded if "message" in state]
        reason = "; ".join(reasons) or "the project is not loaded there"
        raise ServingError(
            f"Dagster at {self.base_url} has no job {job!r}: {reason}. "
            "Its Deployment page says more; try again once that is mended."
        )

    def _query(self, query: str, **variables: Any) -> dict[str, Any]:
        try:
            response = self._http.post(f"{self.base_url}/graphql", json={"query": query, "variables": variables})
            answer = response.json()
        except httpx.HTTPError as error:
            raise ServingError(
                f"Dagster does not answer at {self.base_url} ({type(error).__name__}); start it with `make up`."
            ) from error
        except json.JSONDecodeError as error:
            raise ServingError(
                f"{self.base_url} answered HTTP {response.status_code} but is not Dagster; check TWIN_DAGSTER_URL."
            ) from error
        if answer.get("errors"):
            raise ServingError(f"Dagster refused the question: {answer['errors'][0].get('message')}")
        return dict(answer["data"])


def _checked(answer: Mapping[str, Any], wanted: str, action: str) -> Mapping[str, Any]:
    if answer["__typename"] != wanted:
        raise ServingError(f"Dagster could not {action}: {answer.get('message') or answer['__typename']}")
    return answer


_STEP_STATUS = {"IN_PROGRESS": "running", "SUCCESS": "done", "FAILURE": "failed", "SKIPPED": "skipped"}


def _apply_state(run: Run, state: Mapping[str, Any]) -> None:
    run.job, run.status = state["jobName"], state["status"]
    run.created, run.started, run.ended = state["creationTime"], state["startTime"], state["endTime"]
    for key in state["stepKeysToExecute"] or ():
        run.steps.setdefault(key, Step(key))
    for statistics in state["stepStats"]:
        step = run.steps.setdefault(statistics["stepKey"], Step(statistics["stepKey"]))
        step.status = _STEP_STATUS.get(statistics["status"], step.status)
        step.started, step.ended = statistics["startTime"], statistics["endTime"]


def _apply_event(run: Run, event: Mapping[str, Any]) -> None:
    kind, step = event["__typename"], run.steps.get(event.get("stepKey") or "")
    if kind in ("ExecutionStepFailureEvent", "RunFailureEvent"):
        message = _innermost(event.get("error"))
        if step is not None:
            step.error = message
        elif message:
            run.error = message
    elif step is None:
        return
    elif kind == "LogMessageEvent":
        step.message = event["message"]
    elif kind == "MaterializationEvent":
        step.metadata |= {e["label"]: _value(e) for e in event["metadataEntries"] if len(e) > 1}
    elif kind == "AssetCheckEvaluationEvent" and not event["evaluation"]["success"]:
        evaluation = event["evaluation"]
        step.failed_checks.append(evaluation["description"] or evaluation["checkName"])


def _value(entry: Mapping[str, Any]) -> Any:
    return next(value for name, value in entry.items() if name != "label")


def _innermost(error: Mapping[str, Any] | None) -> str:
    """The cause a person can act on: Dagster wraps what an asset raised; "pkg.Error: sentence" loses its class."""
    if not error:
        return ""
    chain = [error, *error.get("causes", ())]
    message = str(chain[-1]["message"]).strip()
    head, separator, rest = message.partition(": ")
    return rest if separator and " " not in head else message
