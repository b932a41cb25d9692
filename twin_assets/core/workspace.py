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
    from twin_assets.core.web import WebClient


class Workspace:
    """Lazily opened stores of one deployment: heavy libraries are imported by what uses them, not by opening this."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or get_settings()

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
        """The sentence embedder (its ONNX export is made on first use)."""
        from twin_assets.core.embedding import Embedder

        return Embedder(self.settings.models_folder / "embedder")

    @cached_property
    def index(self) -> "Index":
        """The vector index: a Qdrant server where one is set, else embedded Qdrant Edge."""
        from twin_assets.core.index import open_index

        key = self.settings.qdrant_api_key
        return open_index(self.settings.index_folder, self.settings.qdrant_url, key.get_secret_value() if key else None)

    @cached_property
    def retriever(self) -> "Retriever":
        """Hybrid search over the index."""
        from twin_assets.core.retrieval import Retriever

        return Retriever(self.index, self.embedder)

    @cached_property
    def registry(self) -> "Registry":
        """The model registry (MLflow)."""
        from twin_assets.core.registry import Registry

        return Registry(self.settings.tracking_uri, self.settings.models_folder)

    def web(self) -> "WebClient":
        """A new polite, guarded HTTP client; the caller closes it."""
        from twin_assets.core.web import WebClient

        return WebClient(allowed_hosts=self.settings.allowed_host_names, timeout=self.settings.request_timeout)
