"""Retrieval: from a question in words to passages of one author's writing.

A question is read (questions.py, or assistant.py where a model is set), searched by meaning and by words in the index,
expanded (expansion.py), ordered anew (reranking.py, ordering.py), and what is around the hits brought along. No index
and no storage in here.
"""

from twin_assets.core.index import Hit, SearchFilter
from twin_assets.core.retrieval.retriever import Found, Retriever
from twin_assets.core.search_options import SearchOptions

__all__ = ["Found", "Hit", "Retriever", "SearchFilter", "SearchOptions"]
