"""Alerts: telling a person, through the webhook they set, that something needs them.

An alert says who, where and what in one sentence; no text of a document and no secret is in it. The webhook's address
may hold a token, so it never appears in what is said about it. A webhook that does not answer breaks nothing: it is
reported to the caller and kept, so that `twin status` shows it until the next alert arrives.
"""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from twin_assets.core.errors import TwinError
from twin_assets.core.whole_files import write_whole
from twin_assets.settings import Settings

TIMEOUT = 5.0  # seconds of one attempt; a sensor's tick has a minute
LONGEST_PAUSE = 2.0  # seconds between two attempts, whatever the webhook asks for
SENTENCE_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing a person should know.

    kind: what happened, such as "run failed"; error: one sentence; job, step, run_id: where, "" for nowhere.
    """

    kind: str
    author: str
    error: str
    job: str = ""
    step: str = ""
    run_id: str = ""
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @property
    def text(self) -> str:
        """The alert as a line to read; what chat systems show of a webhook's message."""
        where = " / ".join(filter(None, (self.job, self.step)))
        return f"{self.kind}: {self.author}{f', {where}' if where else ''}: {self.error}"


def send(alert: Alert, settings: Settings) -> str | None:
    """Post the alert as JSON to TWIN_ALERT_WEBHOOK; returns None when it was taken, else a sentence why it was not.

    At most three attempts of five seconds. No redirect is followed; the webhook's own host is allowed to be private,
    as the operator named it. Without a webhook nothing is sent and the sentence says so. Raises nothing of the network.
    """
    from twin_assets.core.errors import FetchError
    from twin_assets.core.web import WebClient

    if settings.alert_webhook is None:
        return "No webhook is set (TWIN_ALERT_WEBHOOK), so nobody was told."
    url = settings.alert_webhook.get_secret_value()
    body = json.dumps({"text": _clean(alert.text, settings), **_values(alert, settings)}, ensure_ascii=False)
    problem = None
    web = WebClient(
        allowed_hosts=frozenset({_host(url)}), timeout=TIMEOUT,
        sleep=lambda pause: time.sleep(min(pause, LONGEST_PAUSE)),
    )  # fmt: skip
    try:
        with web, _unlogged(url):
            web.post(url, body.encode(), headers={"Content-Type": "application/json"})
    except FetchError as error:
        # Not the error's own sentence: it names the address, and some webhooks have their token in the path.
        answered = f"answered {error.status}" if error.status else "could not be reached"
        problem = (
            f"The webhook at {_host(url) or 'TWIN_ALERT_WEBHOOK'} {answered} when it was told of {alert.kind} for "
            f"{alert.author}; check TWIN_ALERT_WEBHOOK."
        )
    _remember(settings, alert, problem)
    return problem


def undelivered(settings: Settings) -> dict[str, str] | None:
    """The alert that was not delivered, {"problem", "text", "at"}; None where the last one was."""
    path = _record(settings)
    try:
        found: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise TwinError(f"The record of undelivered alerts {path} cannot be read ({error}); remove it.") from error
    return found


def _values(alert: Alert, settings: Settings) -> dict[str, Any]:
    return {name: _clean(value, settings) for name, value in asdict(alert).items()}


def _clean(text: str, settings: Settings) -> str:
    """One line of bounded length in which no secret of the settings occurs, whoever wrote it in."""
    line = " ".join(text.split())
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr) and value.get_secret_value():
            line = line.replace(value.get_secret_value(), "***")
    return line if len(line) <= SENTENCE_CHARACTERS else line[: SENTENCE_CHARACTERS - 1] + "…"


@contextmanager
def _unlogged(url: str) -> Iterator[None]:
    """httpx logs the address of every request; not this one."""
    logger = logging.getLogger("httpx")

    def silent(record: logging.LogRecord) -> bool:
        return url not in record.getMessage()

    logger.addFilter(silent)
    try:
        yield
    finally:
        logger.removeFilter(silent)


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc.rpartition("@")[2].lower()
    except ValueError:
        return ""


def _record(settings: Settings) -> Path:
    return settings.home / "alerts" / "undelivered.json"


def _remember(settings: Settings, alert: Alert, problem: str | None) -> None:
    path = _record(settings)
    if problem is None:
        path.unlink(missing_ok=True)
        return
    kept = {"problem": problem, "text": _clean(alert.text, settings), "at": alert.at}
    write_whole(path, json.dumps(kept, ensure_ascii=False))
