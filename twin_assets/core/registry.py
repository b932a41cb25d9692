"""Registry: model versions, who approved them and why, and where their files are; kept in MLflow.

The alias `approved` is the truth: setting it is one transaction and the last write of a promotion, so that a
killed promotion leaves the old version approved. Everything else (status tags, the stack of earlier
approvals) is written before it and read in its light.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from twin_assets.core.errors import GateError
from twin_assets.core.registry_versions import ALIAS, ModelVersion, Versions

__all__ = ["ModelVersion", "Registry"]


class Registry(Versions):
    """Model versions of all authors, and the decisions on them; see Versions for its arguments and errors."""

    def approve(self, author: str, version: str, reason: str, by: str) -> ModelVersion:
        """Make a version the one that is served; the decision is recorded with the version's figures.

        Raises GateError for one that was withdrawn.
        """
        found = self.get(author, version)
        current = self._approved_number(author)
        if current == version:
            return found
        if found.status == "withdrawn":
            raise GateError(
                f"Version {version} of {author!r} was withdrawn as it learned what was forgotten since; train anew."
            )
        self._decide(found, "approve", reason, by)
        history = [*self.history(author), version]
        self._client.set_registered_model_tag(self.experiment_name(author), "history", json.dumps(history[-200:]))
        self._retire(author, current)
        self._client.set_registered_model_alias(self.experiment_name(author), ALIAS, version)
        return self.get(author, version)

    def reject(self, author: str, version: str, reason: str, by: str) -> ModelVersion:
        """Mark a version as refused; raises GateError for the one that is served."""
        found = self.get(author, version)
        if found.status == "approved":
            raise GateError(f"Version {version} of {author!r} is being served; roll back first, then reject it.")
        self._decide(found, "reject", reason, by)
        self._client.set_model_version_tag(self.experiment_name(author), version, "status", "rejected")
        return self.get(author, version)

    def rollback(self, author: str, reason: str = "rolled back", by: str = "author") -> ModelVersion:
        """Serve again the version that was approved before this one; raises GateError where there is none."""
        history = self.history(author)
        earlier = self._fit_to_serve(author, history[:-1])
        if not earlier:
            raise GateError(f"There is no earlier approved model of {author!r} to roll back to.")
        current, target = history[-1], earlier[-1]
        self._decide(self.get(author, current), "rollback", reason, by)
        self._retire(author, current)
        self._client.set_registered_model_alias(self.experiment_name(author), ALIAS, target)
        self._client.set_registered_model_tag(self.experiment_name(author), "history", json.dumps(earlier))
        return self.get(author, target)

    def withdraw(self, author: str, version: str, reason: str, by: str) -> ModelVersion | None:
        """Take a version out of use for good: it can never be approved again; returns what is served from now on.

        Where it was served, the newest version approved before it that was not withdrawn itself takes its place, or
        none. A withdrawal that was killed is finished by the next.
        """
        found, history = self.get(author, version), self.history(author)
        name = self.experiment_name(author)
        if self._client.get_model_version(name, version).tags.get("status") != "withdrawn":
            self._decide(found, "withdraw", reason, by)
            self._client.set_model_version_tag(name, version, "status", "withdrawn")
        if found.status != "approved":
            return self.approved(author)
        earlier = self._fit_to_serve(author, history[:-1])
        if earlier:
            self._client.set_registered_model_alias(name, ALIAS, earlier[-1])
        else:
            self._client.delete_registered_model_alias(name, ALIAS)
        self._client.set_registered_model_tag(name, "history", json.dumps(earlier))
        return self.approved(author)

    def history(self, author: str) -> list[str]:
        """Version numbers in the order they were approved; the last is the one served."""
        current = self._approved_number(author)
        if current is None:
            return []
        stored = json.loads(self._client.get_registered_model(self.experiment_name(author)).tags.get("history", "[]"))
        while stored and stored[-1] != current:  # what a killed promotion or rollback left above the alias
            stored.pop()
        return stored or [current]

    def decisions(self, author: str, version: str) -> list[dict[str, Any]]:
        """What was decided about a version, oldest first: action, reason, by, at and the figures of that
        moment."""
        tags = self._client.get_model_version(self.experiment_name(author), version).tags
        return [json.loads(tags[name]) for name in sorted(tags) if name.startswith("decision.")]

    def _fit_to_serve(self, author: str, versions: Sequence[str]) -> list[str]:
        withdrawn = {v.version for v in self.versions(author) if v.status == "withdrawn"}
        return [version for version in versions if version not in withdrawn]

    def _decide(self, found: ModelVersion, action: str, reason: str, by: str) -> None:
        at = datetime.now(UTC).isoformat()
        decision = {"action": action, "reason": reason, "by": by, "at": at, "figures": dict(found.metrics)}
        key = f"decision.{at}"
        self._client.set_model_version_tag(
            self.experiment_name(found.author),
            found.version,
            key.replace(":", "-").replace("+", "-"),
            json.dumps(decision),
        )

    def _retire(self, author: str, version: str | None) -> None:
        if version is not None:
            self._client.set_model_version_tag(self.experiment_name(author), version, "status", "retired")
