"""Workspace: a deployment's stores, opened from its settings on first use; what the CLI, serving and Dagster share."""

from functools import cached_property
from typing import TYPE_CHECKING

from twin_assets.core.authors import AuthorStore
from twin_assets.settings import Settings, get_settings

if TYPE_CHECKING:
    from twin_assets.core.embedding import Embedder
    from twin_assets.core.index import Index
    from twin_assets.core.lake import Lake
    from twin_assets.core.registry import Registry
    from twin_assets.core.retrieval import Retriever
    from twin_assets.core.retrieval.assistant import QuestionModel
    from twin_assets.core.web import WebClient


class Workspace:
    """Lazily opened stores of one deployment: heavy libraries are imported by what uses them, not by opening this."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or get_settings()
        self._embedders: dict[str, Embedder] = {}

    @cached_property
    def authors(self) -> AuthorStore:
        """The author files."""
        return AuthorStore(self.settings.authors_folder)

    @cached_property
    def lake(self) -> "Lake":
        """The Delta tables."""
        from twin_assets.core.lake import Lake

        return Lake(self.settings.lake_location, self.settings.storage_options)

    @cached_property
    def embedder(self) -> "Embedder":
        """The sentence embedder that is set (its model is made or fetched on first use)."""
        from twin_assets.core.embedding import Embedder

        settings = self.settings
        return Embedder(
            settings.models_folder / "embedder", model=settings.embedding_model, endpoint=settings.hub_endpoint
        )

    def embedder_of(self, model_id: str) -> "Embedder":
        """The embedder that a publication names: it serves until the one of the model that is set is complete."""
        from twin_assets.core.embedding import Embedder

        if model_id not in self._embedders:
            self._embedders[model_id] = Embedder.of_publication(self.embedder.folder, model_id)
        return self._embedders[model_id]

    @cached_property
    def index(self) -> "Index":
        """The vector index: a Qdrant server where one is set, else embedded Qdrant Edge."""
        from twin_assets.core.index import open_index

        key = self.settings.qdrant_api_key
        return open_index(
            self.settings.index_folder, self.settings.qdrant_url, key.get_secret_value() if key else None,
            self.settings.index_quantization,
        )  # fmt: skip

    @cached_property
    def retriever(self) -> "Retriever":
        """Search over the index, with the reranker and the question model that are set."""
        from twin_assets.core.retrieval import Retriever

        return Retriever(
            self.index, self.embedder, embedders=self.embedder_of, reranker_folder=self.settings.reranker_folder,
            assistant=self._question_model(),
        )  # fmt: skip

    def _question_model(self) -> "QuestionModel | None":
        from twin_assets.core.retrieval.assistant import QuestionModel
        from twin_assets.core.sources import PLATFORMS

        if self.settings.question_model_url is None:
            return None
        key = self.settings.question_model_key
        return QuestionModel(
            self.settings.question_model_url, self.settings.question_model, key.get_secret_value() if key else None,
            list(PLATFORMS),
        )  # fmt: skip

    @cached_property
    def registry(self) -> "Registry":
        """The model registry (MLflow)."""
        from twin_assets.core.registry import Registry

        return Registry(self.settings.tracking_uri, self.settings.models_folder)

    def web(self) -> "WebClient":
        """A new polite, guarded HTTP client; the caller closes it."""
        from twin_assets.core.web import WebClient

        return WebClient(allowed_hosts=self.settings.allowed_host_names, timeout=self.settings.request_timeout)
