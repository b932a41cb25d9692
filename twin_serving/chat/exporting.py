"""Exporter: has approved versions exported for the fast engine, one after the other, off the path of every request.

It runs where they are served, whoever approved them and from wherever; the worker's watch tells it of a switch.
Until an export is there, and for good where it must not serve, the reference answers.
"""

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue

from twin_assets.core.serving_export import drop_export, export_version
from twin_assets.core.workspace import Workspace

logger = logging.getLogger(__name__)

# Exports are as large as the base: that which serves is kept, and that which a rollback would serve again.
KEPT = 2
LOOKED_AT = 6  # decisions back, for exports that are not needed any more


class Exporter:
    """exported(author, version) is called, in the exporter's thread, when an export that serves is there."""

    def __init__(self, workspace: Workspace, exported: Callable[[str, str], None]) -> None:
        self.workspace = workspace
        self._exported = exported
        self._offered: SimpleQueue[tuple[str, str] | None] = SimpleQueue()
        self._started = False
        self._stopped = threading.Event()

    def start(self) -> None:
        """Work on what is offered from now on, in a thread of its own."""
        self._started = True
        threading.Thread(target=self._run, name="exporter", daemon=True).start()

    def stop(self) -> None:
        """End, together with an export that runs."""
        self._stopped.set()
        self._offered.put(None)

    def offer(self, author: str, version: str) -> None:
        """Have a version exported where it is not yet; nothing happens in an exporter that was not started."""
        if self._started:
            self._offered.put((author, version))

    def _run(self) -> None:
        while (offered := self._offered.get()) is not None and not self._stopped.is_set():
            author, number = offered
            try:
                approved = self.workspace.registry.approved(author)
                if approved is None or approved.version != number:
                    continue  # another is served by now
                found = export_version(self.workspace, approved, self._stopped.is_set)
                if found is not None:
                    logger.warning("%s@%s is served by the %s engine: %s", author, number, found.engine, found.reason)
                if found is not None and found.engine == "onnx":
                    self._exported(author, number)
                self._drop_earlier(author)
            except Exception as error:  # the reference goes on serving
                logger.warning("%s@%s is served by the reference engine: %s", author, number, error)

    def _drop_earlier(self, author: str) -> None:
        history = self.workspace.registry.history(author)
        for version in set(history[-LOOKED_AT:]) - set(history[-KEPT:]):
            drop_export(self.workspace, author, version)
