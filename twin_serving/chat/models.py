"""ServedModels: which model version answers for which author, and the engines behind them.

Lives in the inference worker. A watcher asks the registry every few seconds; a newly approved version is loaded beside
the one that serves and takes over between two requests. A request keeps the version it began with to its end. So it is
when a version's export is ready: the next request is answered by it.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from twin_assets.core.errors import ModelError, UnknownModelError
from twin_assets.core.processes import give_memory_back
from twin_assets.core.workspace import Workspace
from twin_serving.chat.exporting import Exporter
from twin_serving.engines.endpoint_engine import GENERATOR, generator_name, generator_of
from twin_serving.engines.pool import Engine, EnginePool, engine_makers

if TYPE_CHECKING:
    from twin_assets.core.registry import ModelVersion

logger = logging.getLogger(__name__)

POLL_SECONDS = 2.0
# Authors whose models are loaded before anybody asks for them.
PRELOADED = 3


class NoApprovedModelError(ModelError):
    """No version is approved for this author."""


@dataclass(frozen=True, slots=True)
class Served:
    """A version that answers; `name` is what answers carry: author@version. The generator's version is
    generator:model."""

    name: str
    version: str
    make_engine: Callable[[], Engine]

    @property
    def engine(self) -> Engine:
        """The engine to answer one request with, loaded where it is not. Raises ModelError."""
        return self.make_engine()


def split_model_name(model: str) -> tuple[str, str | None]:
    """`author` or `author@version` as (author, version); version "base" is the base model without adapter, and
    "generator" the endpoint of TWIN_GENERATOR_URL."""
    author, _, version = model.partition("@")
    return author, version or None


class ServedModels:
    """The versions that serve; `candidate` (author, version) stands in for that author's approved one.

    `start` is optional: without it everything is loaded when first asked for and nothing is ever switched.
    """

    def __init__(self, workspace: Workspace, candidate: tuple[str, str] | None = None) -> None:
        self.workspace = workspace
        self.candidate = candidate
        self.pool = EnginePool(engine_makers(workspace.settings))
        self.generator = generator_of(workspace.settings)
        self._exporter = Exporter(workspace, self._exported)
        self._current: dict[str, Served] = {}
        self._stopped = threading.Event()

    def start(self) -> None:
        """Load what serves and watch the registry, in a thread of its own; export what is approved, in another."""
        if self.workspace.settings.engine == "auto":
            self._exporter.start()
        threading.Thread(target=self._watch, name="registry-watch", daemon=True).start()

    def stop(self) -> None:
        """End the watcher and a running export."""
        self._stopped.set()
        self._exporter.stop()

    def get(self, model: str) -> Served:
        """What answers for `author` or `author@version`.

        Raises UnknownAuthorError, NoApprovedModelError, UnknownModelError or ModelError.
        """
        author, version = split_model_name(model)
        self.workspace.authors.get(author)
        if version == GENERATOR or (version is None and self._generates(author)):
            return self._generated(author)
        if version is not None:
            return self._load(author, version)
        served = self._current.get(author)
        return served or self._refresh(author)

    def _generates(self, author: str) -> bool:
        """Whether the generator answers where no version is asked for."""
        if self.generator is None:
            return False
        always = self.workspace.settings.generator == "always"
        return always or (author not in self._current and self._wanted(author) is None)

    def _generated(self, author: str) -> Served:
        if self.generator is None:
            raise UnknownModelError("There is no generator; set TWIN_GENERATOR_URL to an OpenAI-compatible endpoint.")
        engine: Engine = self.generator
        version = generator_name(self.workspace.settings)
        return Served(f"{author}@{version}", version, lambda: engine)

    def _exported(self, author: str, version: str) -> None:
        """Load a version's export before the first request that it answers."""
        current = self._current.get(author)
        if current is not None and current.version == version:
            _ = current.engine

    def _refresh(self, author: str) -> Served:
        """Make what should serve this author serve it."""
        version = self._wanted(author)
        if version is None:
            self._current.pop(author, None)
            raise NoApprovedModelError(
                f"No model of {author} is approved; run `twin run {author}`, or approve a candidate with `twin approve "
                f"{author}`. The assembled draft of /v1/compose needs none."
            )
        current = self._current.get(author)
        if current is None or current.version != version:
            current = self._load(author, version)
            _ = current.engine  # loaded beside the one that serves, before any request goes to it
            self._current[author] = current
            logger.warning("serving %s", current.name)
            if self.candidate is None:
                self._exporter.offer(author, version)
        return current

    def _wanted(self, author: str) -> str | None:
        if self.candidate is not None and self.candidate[0] == author:
            return self.candidate[1]
        approved = self.workspace.registry.approved(author)
        return None if approved is None else approved.version

    def _load(self, author: str, version: str) -> Served:
        without_adapter = version == "base"
        if without_adapter:
            wanted = self._wanted(author)
            if wanted is None:
                raise UnknownModelError(f"No model of {author} is approved, so there is no base model to serve either.")
            model = self.workspace.registry.get(author, wanted)
        else:
            model = self.workspace.registry.get(author, version)
        base, adapter = model_folders(self.workspace, model)
        chosen = None if without_adapter else adapter
        return Served(f"{author}@{version}", version, lambda: self.pool.engine(base, chosen))

    def _watch(self) -> None:
        # The heavy imports begin now, not with the first request.
        import peft  # noqa: F401
        import transformers  # noqa: F401

        self._preload()
        while not self._stopped.wait(POLL_SECONDS):
            give_memory_back()
            for author in list(self._current):
                try:
                    self._refresh(author)
                except NoApprovedModelError:
                    logger.warning("no version of %s is approved any more", author)
                except Exception as error:  # the registry may be away: what serves goes on serving
                    logger.warning("the registry's choice for %s cannot be served: %s", author, error)

    def _preload(self) -> None:
        try:
            authors = [self.candidate[0]] if self.candidate else [author.id for author in self.workspace.authors.list()]
        except Exception as error:  # each is loaded when first asked for
            logger.warning("nothing is loaded ahead, as the authors cannot be read: %s", error)
            return
        for author in authors:
            if len(self._current) >= PRELOADED or self._stopped.is_set():
                return
            try:
                self._refresh(author)
            except NoApprovedModelError as error:
                logger.info("nothing to load for %s: %s", author, error)
            except Exception as error:  # whatever it is, the watch of the registry goes on
                logger.warning("the model of %s cannot be loaded ahead: %s", author, error)


def model_folders(workspace: Workspace, model: "ModelVersion") -> tuple[Path, Path]:
    """(base, adapter) folders of a version; a nano brings its own base, others share the one they were trained on.

    Raises ModelError where they are neither here nor to be fetched.
    """
    from twin_assets.core.training.loading import base_folder

    return base_folder(workspace, model), workspace.registry.folder(model.author, model.version) / "adapter"
