"""SearchOptions: every stage of a search, each with its switch."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

Expansion = Literal["none", "feedback", "model"]
Reranker = Literal["none", "features", "sentences", "cross_encoder"]


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """What a search does; the defaults are what did best in benchmarks/bench_retrieval.py.

    dense, bm25: the two searches whose ranks are fused; filters: read restrictions out of the question;
    expansion: more words for BM25, from the best passages found at first ("feedback") or from the configured model;
    reranker: what orders the candidates anew ("features" costs milliseconds, "sentences" embeds their sentences,
    "cross_encoder" needs its weights); candidates: how many it looks at; diversity: 0 to 1, what a passage loses for
    repeating one before it; recency: 0 to 1, what the newest gain over the oldest; neighbours: passages before and
    after each hit that are brought along; parents: whether the hits' whole documents are.
    """

    # What comes in by HTTP is checked by pydantic: ranges, and no field that is not known.
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    dense: bool = True
    bm25: bool = True
    filters: bool = True
    expansion: Expansion = "none"
    reranker: Reranker = "features"
    candidates: Annotated[int, Field(ge=1, le=200)] = 48
    diversity: Annotated[float, Field(ge=0, le=1)] = 0.1
    recency: Annotated[float, Field(ge=0, le=1)] = 0.05
    neighbours: Annotated[int, Field(ge=0, le=5)] = 0
    parents: bool = False
