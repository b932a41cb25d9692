"""The run-failure sensor and its webhook: who is told what, and that a dead webhook breaks nothing."""

import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import dagster as dg
import pytest
from dagster._core.definitions.run_status_sensor_definition import RunStatusSensorCursor

from tests.graph.ticks import empty_instance, instance, resource  # noqa: F401  fixtures
from twin_assets.core.alerts import Alert, send, undelivered
from twin_assets.core.errors import LakeError
from twin_assets.core.workspace import Workspace
from twin_assets.defs.alerts import CALM, run_failed, twin_does_worse
from twin_assets.defs.partitions import AUTHOR_PARTITION, authors
from twin_assets.settings import Settings
from twin_serving.server import free_port

TOKEN = "T0K3N-in-the-path"
DOCUMENT = "what the author wrote in private"
ALERT = Alert("run failed", "ada", "The disk is full.", job="collect", step="chunks", run_id="r1")


class Webhook:
    """A loopback webhook that remembers what it was sent and answers what the test says, then 200."""

    def __init__(self) -> None:
        self.received: list[dict] = []
        self.answers: list[int] = []
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = webhook.answers.pop(0) if webhook.answers else 200
                if status == 200:
                    webhook.received.append(json.loads(body))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hooks/{TOKEN}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def webhook():
    webhook = Webhook()
    yield webhook
    webhook.server.shutdown()
    webhook.server.server_close()


@pytest.fixture
def told(home: Settings, webhook: Webhook, monkeypatch) -> Settings:
    """A deployment that tells this webhook; no test waits between two attempts."""
    monkeypatch.setattr("twin_assets.core.alerts.LONGEST_PAUSE", 0)
    monkeypatch.setenv("TWIN_ALERT_WEBHOOK", webhook.url)
    return Settings(home=home.home, github_token="ghp_secret")


def test_an_alert_is_posted_as_json_with_a_line_to_read(told, webhook):
    assert send(ALERT, told) is None
    (body,) = webhook.received
    assert body.pop("at")
    assert body == {
        "text": "run failed: ada, collect / chunks: The disk is full.",
        "kind": "run failed", "author": "ada", "job": "collect", "step": "chunks", "run_id": "r1",
        "error": "The disk is full.",
    }  # fmt: skip


def test_no_secret_and_no_novel_is_posted(told, webhook):
    send(Alert("run failed", "ada", f"401 for ghp_secret at {webhook.url}\n" + "x" * 1000), told)
    (body,) = webhook.received
    assert "ghp_secret" not in str(body)
    assert TOKEN not in str(body)
    assert len(body["error"]) == 300
    assert "\n" not in body["text"]


def test_a_webhook_in_trouble_is_asked_again(told, webhook):
    webhook.answers = [503, 429]
    assert send(ALERT, told) is None
    assert len(webhook.received) == 1


@pytest.mark.parametrize("status", [500, 404, 302])
def test_a_webhook_that_refuses_is_reported_and_kept_until_one_arrives(told, webhook, status, caplog):
    caplog.set_level(logging.DEBUG)
    webhook.answers = [status] * 3
    problem = send(ALERT, told)
    assert f"answered {status}" in problem
    assert undelivered(told)["problem"] == problem
    webhook.answers = []
    assert send(ALERT, told) is None
    assert undelivered(told) is None
    assert TOKEN not in problem + caplog.text, "the address may hold a token"


@pytest.mark.parametrize("address", ["http://127.0.0.1:{port}/" + TOKEN, "hooks.example/" + TOKEN, "http://[" + TOKEN])
def test_a_webhook_that_is_not_there_raises_nothing(told, monkeypatch, address):
    monkeypatch.setenv("TWIN_ALERT_WEBHOOK", address.format(port=free_port()))
    problem = send(ALERT, Settings(home=told.home))
    assert "could not be reached" in problem
    assert "TWIN_ALERT_WEBHOOK" in problem
    assert TOKEN not in problem + (told.home / "alerts" / "undelivered.json").read_text()


class Failing:
    """A deployment whose runs fail, and the sensor that looks at them as the daemon does."""

    def __init__(self, instance, resource) -> None:
        self.instance, self.resource, self.cursor = instance, resource, None
        instance.add_dynamic_partitions(AUTHOR_PARTITION, ["ada", "ben"])

    def run(self, author: str, error: Exception | None) -> str:
        @dg.asset(partitions_def=authors)
        def chunks() -> None:
            if error is not None:
                raise error

        return dg.materialize([chunks], instance=self.instance, partition_key=author, raise_on_error=False).run_id

    def tick(self):
        with dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, resources={"workspace": self.resource}
        ) as context:
            result = run_failed.evaluate_tick(context)
        self.cursor = result.cursor
        assert RunStatusSensorCursor.is_valid(self.cursor)
        return result


@pytest.fixture
def failing(told, instance, resource) -> Failing:
    failing = Failing(instance, resource)
    failing.tick()
    return failing


def test_a_failed_run_is_told_once_with_its_sentence(failing, webhook):
    run_id = failing.run("ada", LakeError("Table chunks cannot be written; free some disk."))
    failing.run("ben", None)
    failing.tick()
    failing.tick()
    (body,) = webhook.received
    assert (body["author"], body["step"], body["run_id"]) == ("ada", "chunks", run_id)
    assert body["error"] == "Table chunks cannot be written; free some disk."


def test_the_sentence_of_a_stranger_may_hold_text_and_stays_at_home(failing, webhook):
    failing.run("ada", ValueError(f"cannot parse {DOCUMENT}"))
    failing.tick()
    (body,) = webhook.received
    assert body["error"] == "ValueError; the run's log says more."
    assert DOCUMENT not in str(body)


def test_a_failure_says_its_own_description(failing, webhook):
    failing.run("ada", dg.Failure("There is too little text; add a source."))
    failing.tick()
    assert webhook.received[0]["error"] == "There is too little text; add a source."


def test_a_gate_that_holds_back_is_named(failing, webhook):
    @dg.asset(partitions_def=authors)
    def chunks() -> None: ...

    @dg.asset_check(asset=chunks, blocking=True, partitions_def=authors)
    def spans_are_exact() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=False, description=DOCUMENT)

    assets = [chunks, spans_are_exact]
    dg.materialize(assets, instance=failing.instance, partition_key="ada", raise_on_error=False)
    failing.tick()
    (body,) = webhook.received
    assert "chunks: spans_are_exact" in body["error"]
    assert DOCUMENT not in str(body)


def test_a_dead_webhook_is_in_the_tick_and_the_run_and_the_next_failure_is_told(failing, webhook, resource, home):
    webhook.answers = [500] * 3
    run_id = failing.run("ada", LakeError("broken"))
    result = failing.tick()
    assert "answered 500" in result.skip_message
    messages = [entry.message for entry in failing.instance.all_logs(run_id)]
    assert any("answered 500" in message for message in messages)
    assert not any(TOKEN in message for message in messages)
    assert undelivered(Workspace(home).settings)["text"].startswith("run failed: ada")
    failing.run("ben", LakeError("broken as well"))
    failing.tick()
    assert [body["author"] for body in webhook.received] == ["ben"]


def test_without_a_webhook_nothing_is_sent(failing, webhook, monkeypatch, home):
    monkeypatch.delenv("TWIN_ALERT_WEBHOOK")
    failing.run("ada", LakeError("broken"))
    assert failing.tick().skip_message is None
    assert webhook.received == []
    assert undelivered(home) is None


def test_a_twin_that_does_worse_is_told_of_once_in_an_episode(told, webhook, instance, resource, workspace):
    from datetime import UTC, datetime

    from twin_assets.core.authors import Author

    def fail(count: int) -> None:
        row = {"author": "ada", "kind": "compose", "error": "LakeError", "created_at": datetime.now(UTC)}
        workspace.lake.append("usage", [row] * count)

    def tick(cursor: str | None) -> str:
        with dg.build_sensor_context(instance=instance, cursor=cursor, resources={"workspace": resource}) as context:
            return twin_does_worse(context).cursor

    workspace.authors.save(Author(id="ada", name="Ada"))
    fail(2)
    cursor = tick(None)
    assert webhook.received == []
    fail(8)
    webhook.answers = [503] * 3
    cursor = tick(cursor)
    assert json.loads(cursor) == {}, "who could not be told is told by the next tick"
    for _ in range(2):
        cursor = tick(cursor)
    (alert,) = webhook.received
    assert alert["text"] == "twin does worse: ada: 10 of 10 requests failed in the last 24 hours."
    ended = {name: (datetime.fromisoformat(at) - CALM).isoformat() for name, at in json.loads(cursor).items()}
    tick(json.dumps(ended))
    assert len(webhook.received) == 2, "a new episode"
