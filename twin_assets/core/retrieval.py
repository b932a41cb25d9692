"""Retriever: hybrid search over one author's index, from a question in words to passages."""

from collections.abc import Iterable

from twin_assets.core.documents import CATEGORIES, COLLECTIONS
from twin_assets.core.embedding import Embedder
from twin_assets.core.errors import InputError
from twin_assets.core.index import Hit, Index, SearchFilter

__all__ = ["Hit", "Retriever", "SearchFilter"]


class Retriever:
    """Embeds a question and asks the index; safe to share between threads."""

    def __init__(self, index: Index, embedder: Embedder) -> None:
        self.index = index
        self.embedder = embedder

    def search(
        self,
        author: str,
        query: str,
        limit: int = 8,
        categories: Iterable[str] | None = None,
        where: SearchFilter | None = None,
    ) -> list[Hit]:
        """The author's passages nearest to the query by meaning and by words, best first.

        categories: "post", "article", "code" (None: all); where: platforms and dates.
        Raises InputError for an empty query or an unknown category, IndexMissingError where nothing is indexed yet.
        """
        if not query.strip():
            raise InputError("The search is empty; say in a few words what to look for.")
        wanted = list(CATEGORIES if categories is None else categories)
        unknown = [category for category in wanted if category not in COLLECTIONS]
        if unknown or limit < 1:
            raise InputError(
                f"Cannot search {unknown[0]!r}; the categories are {', '.join(COLLECTIONS)}."
                if unknown
                else f"Cannot find {limit} passages; ask for at least one."
            )
        collections = [COLLECTIONS[category] for category in wanted]
        dense = self.embedder.embed([query])[0]
        return self.index.query(author, collections, dense, self.embedder.sparse_query(query), limit, where)
