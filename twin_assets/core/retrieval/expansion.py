"""Query expansion by pseudo-relevance feedback: the words this author uses where the question's are used."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from twin_assets.core.embedding import Embedder, SparseVector
from twin_assets.core.index import Hit

# Passages the words are taken from, how many words, and what one weighs beside a word of the question (weight 1).
FEEDBACK_PASSAGES, FEEDBACK_TERMS, FEEDBACK_WEIGHT = 5, 10, 0.2
# A word that another way of asking adds weighs this.
OTHER_WORDS_WEIGHT = 0.3


def with_feedback(terms: SparseVector, hits: Sequence[Hit], embedder: Embedder) -> SparseVector:
    """The terms with those added that the best passages share and most other candidates lack (Rocchio, positive part).

    hits: candidates of a first search, best first.
    """
    weights = [dict(zip(*vector, strict=True)) for vector in embedder.sparse([hit.text for hit in hits])]
    count = Counter(term for vector in weights for term in vector)
    gained: defaultdict[int, float] = defaultdict(float)
    for vector in weights[:FEEDBACK_PASSAGES]:
        for term, weight in vector.items():
            gained[term] += weight * (1 - count[term] / (len(weights) + 1))
    best = sorted(gained, key=lambda term: -gained[term])[:FEEDBACK_TERMS]
    return _with_terms(terms, best, FEEDBACK_WEIGHT)


def with_other_words(terms: SparseVector, words: Iterable[str], embedder: Embedder) -> SparseVector:
    """The terms with those of other ways to ask added."""
    found = [term for text in words for term in embedder.sparse_query(text)[0]]
    return _with_terms(terms, found, OTHER_WORDS_WEIGHT)


def _with_terms(terms: SparseVector, added: Iterable[int], weight: float) -> SparseVector:
    fresh = [term for term in dict.fromkeys(added) if term not in terms[0]]
    return [*terms[0], *fresh], [*terms[1], *[weight] * len(fresh)]
