"""TwinClient: the serving API over HTTP. The page and the command line use it; it needs httpx and nothing else."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from twin_assets.core.errors import ServingError
from twin_assets.core.event_stream import events

__all__ = ["ServingError", "TwinClient"]

# Two drafts of a model on a slow machine take this long at most.
DEFAULT_TIMEOUT = 300.0


class TwinClient:
    """One serving API. Answers are the API's JSON; every method raises ServingError with the server's sentence."""

    def __init__(self, base_url: str, api_key: str | None = None, timeout: float = DEFAULT_TIMEOUT) -> None:
        self.base_url = base_url.rstrip("/")
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx.Client(
            base_url=self.base_url, headers=headers, timeout=httpx.Timeout(timeout, connect=5.0), trust_env=False
        )

    def __enter__(self) -> "TwinClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def health(self) -> dict[str, Any]:
        """{"status": "ok"} while the server lives."""
        return self._request("GET", "/health")

    def platforms(self) -> list[dict[str, Any]]:
        """The platforms an author can publish on: name, title, hint, reads, archive."""
        return list(self._request("GET", "/v1/platforms")["platforms"])

    def twins(self) -> list[dict[str, Any]]:
        """Every author with counts and what serves them."""
        return list(self._request("GET", "/v1/twins")["twins"])

    def twin(self, author: str) -> dict[str, Any]:
        """One author, with the state of their sources, quarantine and model versions."""
        return self._request("GET", _twin(author))

    def add_twin(self, author: str, name: str, sources: list[dict[str, str]] | None = None) -> dict[str, Any]:
        """Add an author; sources are {"platform", "location"}."""
        return self._request("POST", "/v1/twins", json={"id": author, "name": name, "sources": sources or []})

    def add_source(self, author: str, platform: str, location: str) -> dict[str, Any]:
        """Add a place the author publishes and return it as it was understood."""
        body = {"platform": platform, "location": location}
        return self._request("POST", f"{_twin(author)}/sources", json=body)

    def remove_source(self, author: str, source: str, *, dry_run: bool = False) -> dict[str, Any]:
        """Take a source ("platform:location") away, or only say what that would do: documents, kept, sentence …"""
        parameters = {"source": source, "dry_run": dry_run}
        return self._request("DELETE", f"{_twin(author)}/sources", params=parameters)

    def set_schedule(self, author: str, schedule: str | None) -> dict[str, Any]:
        """Set the author's timetable (None: off); returns schedule, time_zone, next_run."""
        return self._request("PUT", f"{_twin(author)}/schedule", json={"schedule": schedule})

    def set_names(self, author: str, names: list[str]) -> dict[str, Any]:
        """Set the other names the author signs with; returns them as names."""
        return self._request("PUT", f"{_twin(author)}/names", json={"names": names})

    def upload(self, author: str, content: Path | bytes, filename: str | None = None) -> dict[str, Any]:
        """Hand in an export (path or bytes); returns the platform and location it became a source as."""
        path = f"{_twin(author)}/imports"
        if isinstance(content, bytes):
            return self._request("POST", path, files={"file": (filename or "export.zip", content)})
        with content.open("rb") as file:
            return self._request("POST", path, files={"file": (filename or content.name, file)})

    def voice(self, author: str) -> dict[str, Any]:
        """How the author sounds: measured, others, edits, fields (of the edits) and guides by category."""
        return self._request("GET", f"{_twin(author)}/voice")

    def edit_voice(self, author: str, edits: dict[str, Any]) -> dict[str, Any]:
        """Put these edits of the voice in the place of those before ({}: none); answers as voice()."""
        return self._request("PUT", f"{_twin(author)}/voice", json=edits)

    def documents(self, author: str, limit: int = 20, offset: int = 0, **restrictions: Any) -> dict[str, Any]:
        """The author's documents, newest first: total and documents; restrictions: platform, category, text, …"""
        given = {name: value for name, value in restrictions.items() if value is not None}
        return self._request("GET", f"{_twin(author)}/documents", params={"limit": limit, "offset": offset, **given})

    def document(self, author: str, document_id: str) -> dict[str, Any]:
        """One document in full, with the versions that learned it."""
        return self._request("GET", f"{_twin(author)}/documents/{quote(document_id, safe='')}")

    def exclude_document(self, author: str, document_id: str, *, excluded: bool, note: str = "") -> dict[str, Any]:
        """Leave a document out of every next dataset, or let it in again."""
        path = f"{_twin(author)}/documents/{quote(document_id, safe='')}/excluded"
        return self._request("PUT", path, json={"excluded": excluded, "note": note})

    def forget_document(self, author: str, document_id: str, *, dry_run: bool = False) -> dict[str, Any]:
        """Forget a document everywhere, or only say what that would take away."""
        path = f"{_twin(author)}/documents/{quote(document_id, safe='')}"
        return self._request("DELETE", path, params={"dry_run": dry_run})

    def statistics(self, author: str) -> dict[str, Any]:
        """What was collected, in figures: documents, words, months, lengths, vocabulary."""
        return self._request("GET", f"{_twin(author)}/statistics")

    def experiments(self, author: str) -> dict[str, Any]:
        """The author's trainings with their parameters, figures and losses."""
        return self._request("GET", f"{_twin(author)}/experiments")

    def preflight(self, author: str, base: str | None = None, settings: dict[str, Any] | None = None) -> dict[str, Any]:
        """What a training takes here: machine and estimates (base, method, memory_gib, minutes, disk_gib, fits, reason,
        nearest), for one base (a size such as "7B", a hub id …) or every size."""
        return self._request("POST", f"{_twin(author)}/preflight", json={"base": base, "settings": settings or {}})

    def dataset(self, author: str, limit: int = 20) -> dict[str, Any]:
        """What is learned from now: version, samples, by_split, by_form, left_out, preferences; and its versions."""
        return self._request("GET", f"{_twin(author)}/dataset", params={"limit": limit})

    def exclusions(self, author: str) -> list[dict[str, Any]]:
        """What is kept out of datasets: kind ("document" or "target"), value, note, excluded_at."""
        return list(self._request("GET", f"{_twin(author)}/dataset/exclusions")["exclusions"])

    def exclude(self, author: str, document_id: str, note: str = "") -> list[dict[str, Any]]:
        """Keep a document or sample (by id or address) out of datasets; returns the new exclusions."""
        body = {"document_id": document_id, "note": note}
        return list(self._request("POST", f"{_twin(author)}/dataset/exclusions", json=body)["excluded"])

    def include(self, author: str, document_id: str) -> int:
        """Take an exclusion back; returns how many were."""
        parameters = {"document_id": document_id}
        return int(self._request("DELETE", f"{_twin(author)}/dataset/exclusions", params=parameters)["included"])

    def monitoring(self, author: str, days: int = 30) -> dict[str, Any]:
        """Traffic, latency, drift and the last traces of the last days."""
        return self._request("GET", f"{_twin(author)}/monitoring", params={"days": days})

    def search(
        self, author: str, query: str, limit: int = 8, category: str | None = None, **restrictions: Any
    ) -> dict[str, Any]:
        """Passages of the author's writing that answer the query, and how it was read (understood, notices).

        restrictions: platforms, languages, published_from, published_until, options (fields of SearchOptions).
        """
        body = {"author": author, "query": query, "limit": limit, "category": category, **restrictions}
        return self._request("POST", "/v1/search", json=body)

    def compose(
        self,
        author: str,
        prompt: str,
        links: list[str] | None = None,
        format: str = "linkedin_post",
        max_tokens: int | None = None,
        **wishes: Any,
    ) -> dict[str, Any]:
        """Drafts with their evidence and scores; wishes: the other fields of ComposeRequest (length, tone, …)."""
        body = {"author": author, "prompt": prompt, "links": links or [], "format": format, "max_tokens": max_tokens}
        return self._request("POST", "/v1/compose", json={**body, **wishes})

    def compose_stream(self, author: str, prompt: str, **wishes: Any) -> Iterator[tuple[str, dict[str, Any]]]:
        """The same while it is made: (event, data) pairs, the last one ("done", the whole answer).

        Events: step, link, sources, start, text, draft, done (docs/architecture.md). Leaving the iterator early
        cancels the composing. Raises ServingError, also for an answer that breaks off.
        """
        body = {"author": author, "prompt": prompt, **wishes, "stream": True}
        finished = False
        with self._errors("/v1/compose"), self._http.stream("POST", "/v1/compose", json=body) as response:
            if not response.is_success:
                response.read()
                self._answer(response, "/v1/compose")
            for event, said in events(response.iter_bytes()):
                try:
                    data = json.loads(said)
                except ValueError:  # cut within an event
                    break
                if event == "error":
                    raise ServingError(str(data["error"].get("message")))
                finished = event == "done"
                yield event, data
        if not finished:
            raise ServingError("The composing broke off before its end; compose again.")

    def compositions(self, author: str, limit: int = 20, before: str | None = None) -> list[dict[str, Any]]:
        """What was composed before, newest first: trace_id, created_at, format, prompt, drafts, beginning."""
        parameters = {"limit": limit} | ({"before": before} if before else {})
        return list(self._request("GET", f"{_twin(author)}/compositions", params=parameters)["compositions"])

    def composition(self, author: str, trace_id: str) -> dict[str, Any]:
        """One of them as compose() answered it, each draft with its latest feedback or None."""
        return self._request("GET", f"{_twin(author)}/compositions/{quote(trace_id, safe='')}")

    def feedback(
        self,
        author: str,
        draft_id: str,
        rating: int | None = None,
        edited_text: str | None = None,
        comment: str | None = None,
        chosen: bool | None = None,
    ) -> str:
        """Say what a draft was worth, what it became, or that it was taken; returns the feedback's id."""
        body = {
            "author": author,
            "draft_id": draft_id,
            "rating": rating,
            "edited_text": edited_text,
            "comment": comment,
            "chosen": chosen,
        }
        return str(self._request("POST", "/v1/feedback", json=body)["feedback_id"])

    def chat(self, model: str, messages: list[dict[str, str]], **options: Any) -> dict[str, Any]:
        """One chat completion (OpenAI's answer); model is author, author@version or author@base."""
        return self._request("POST", "/v1/chat/completions", json={"model": model, "messages": messages, **options})

    def report(self, author: str, version: str) -> dict[str, Any]:
        """A version's evaluation, with the gate's reasons and what was decided."""
        return self._request("GET", f"{_twin(author)}/models/{quote(version, safe='')}/report")

    def lineage(self, author: str, version: str) -> dict[str, Any]:
        """What a version was made from: base, dataset, documents and their addresses."""
        return self._request("GET", f"{_twin(author)}/lineage/models/{quote(version, safe='')}")

    def training(self, author: str) -> dict[str, Any]:
        """Whether a training would start by itself now (wanted, reason), and the rules of it and of the gate."""
        return self._request("GET", f"{_twin(author)}/training")

    def set_rules(self, author: str, kind: str, values: dict[str, Any]) -> dict[str, Any]:
        """Set the author's own rules of kind "gate" or "training" ({}: the deployment's); answers as training()."""
        return self._request("PUT", f"{_twin(author)}/rules/{kind}", json=values)

    def approve(self, author: str, version: str, reason: str = "approved by hand") -> dict[str, Any]:
        """Serve this version from now on."""
        return self._decide(author, f"models/{quote(version, safe='')}/approve", reason)

    def reject(self, author: str, version: str, reason: str = "rejected by hand") -> dict[str, Any]:
        """Mark this version as refused."""
        return self._decide(author, f"models/{quote(version, safe='')}/reject", reason)

    def rollback(self, author: str, reason: str = "rolled back by hand") -> dict[str, Any]:
        """Serve the version that was approved before the present one."""
        return self._decide(author, "rollback", reason)

    def _decide(self, author: str, action: str, reason: str) -> dict[str, Any]:
        return self._request("POST", f"{_twin(author)}/{action}", json={"reason": reason})

    def _request(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        with self._errors(path):
            response = self._http.request(method, path, **options)
        return self._answer(response, path)

    @contextmanager
    def _errors(self, path: str) -> Iterator[None]:
        """Say in a sentence what kept the API from answering."""
        try:
            yield
        except httpx.TimeoutException as error:
            raise ServingError(
                f"The serving API at {self.base_url} did not answer {path} in time; try again."
            ) from error
        except httpx.TransportError as error:
            raise ServingError(
                f"The serving API at {self.base_url} cannot be reached ({error}); start it with `twin serve`."
            ) from error

    def _answer(self, response: httpx.Response, path: str) -> dict[str, Any]:
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if response.is_success and isinstance(answer, dict):
            return answer
        if isinstance(answer, dict) and isinstance(answer.get("error"), dict):
            raise ServingError(str(answer["error"].get("message")))
        raise ServingError(
            f"{self.base_url}{path} answered {response.status_code}, not as a serving API does; check its address."
        )


def _twin(author: str) -> str:
    return f"/v1/twins/{quote(author, safe='')}"
