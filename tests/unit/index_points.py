"""Points and questions for the index's tests; imported by processes that get killed, so it imports little."""

from datetime import UTC, datetime

import numpy as np

from twin_assets.core.documents import COLLECTIONS, content_hash
from twin_assets.core.index import Point

DIMENSION = 16
SCHEMA = "test/1"
CATEGORY = {collection: category for category, collection in COLLECTIONS.items()}


def make_points(count: int, seed: int = 0, *, author: str = "ada", text: str = "") -> list[Point]:
    random = np.random.default_rng(seed)
    points = []
    for number in range(count):
        vector = random.normal(size=DIMENSION).astype(np.float32)
        words = random.choice(60, size=8, replace=False)
        collection = list(COLLECTIONS.values())[number % 3]
        published = datetime(2020 + number % 5, 1, 1, tzinfo=UTC).isoformat() if number % 7 else None
        payload = {
            "document_id": f"document {number // 3}", "category": CATEGORY[collection], "title": "", "url": "",
            "platform": ["medium", "x"][number % 2], "heading": "", "text": f"text {number} {text}", "start": 0,
            "end": 9, "published_at": published, "position": number % 3, "language": ["en", "de", None][number % 3],
            "addresses": [{"platform": "x", "url": f"https://x.example/{number}"}] if number % 2 else [],
        }  # fmt: skip
        points.append(
            Point(
                content_hash(author, number), content_hash(number, seed, text), collection,
                vector / np.linalg.norm(vector), (words.tolist(), random.random(8).astype(float).tolist()), payload,
            )
        )  # fmt: skip
    return points


def questions(count: int):
    random = np.random.default_rng(99)
    for _ in range(count):
        vector = random.normal(size=DIMENSION).astype(np.float32)
        yield vector / np.linalg.norm(vector), (random.choice(60, size=3, replace=False).tolist(), [1.0] * 3)


ALL = list(COLLECTIONS.values())


def found(index, author="ada", collections=ALL, **options):
    dense, sparse = next(questions(1))
    return index.query(author, collections, dense, sparse, 500, **options)
