"""One contract for both backends: Qdrant Edge, and a Qdrant server's semantics (a real one where QDRANT_URL is set)."""

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from index_points import ALL, SCHEMA, found, make_points, questions
from qdrant_client import QdrantClient, models

from twin_assets.core.documents import COLLECTIONS, content_hash
from twin_assets.core.errors import IndexMissingError
from twin_assets.core.index import Point, SchemaChangedError, SearchFilter, open_index
from twin_assets.core.index_edge import EdgeIndex
from twin_assets.core.index_server import ServerIndex

pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact"),
]


@pytest.fixture(params=["edge", "memory", "server"])
def index(request, tmp_path):
    if request.param == "edge":
        yield EdgeIndex(tmp_path / "index")
    elif request.param == "memory":
        yield ServerIndex(QdrantClient(":memory:"))
    else:
        url = os.environ.get("QDRANT_URL")
        if not url:
            pytest.skip("QDRANT_URL names no Qdrant server to test against")
        client = QdrantClient(url=url)
        for collection in client.get_collections().collections:
            client.delete_collection(collection.name)
        yield ServerIndex(client)


def test_what_is_published_is_found(index):
    with pytest.raises(IndexMissingError, match="twin run ada"):
        found(index)
    assert index.version("ada") is None
    assert index.state("ada") == {}

    points = make_points(30)
    version = index.publish("ada", points, [], schema=SCHEMA)
    assert index.version("ada") == version
    assert index.state("ada") == {point.chunk_id: point.point_hash for point in points}
    assert {hit.chunk_id for hit in found(index)} == {point.chunk_id for point in points}

    for point in points[:5]:
        best = index.query("ada", ALL, point.dense, ([], []), 3)[0]
        assert best.chunk_id == point.chunk_id
        assert best.text == point.payload["text"]
        assert best.similarity == pytest.approx(1, abs=1e-5)
        assert best.to_dict()["published_at"] == point.payload["published_at"]
    assert {hit.collection for hit in found(index, collections=["code"])} == {"code"}
    with pytest.raises(ValueError, match="not a collection"):
        found(index, collections=["poems"])


def test_filters(index):
    index.publish("ada", make_points(30), [], schema=SCHEMA)
    assert {hit.platform for hit in found(index, where=SearchFilter(platforms=["x"]))} == {"x"}
    start, end = datetime(2021, 1, 1, tzinfo=UTC), datetime(2023, 1, 1, tzinfo=UTC)
    years = {hit.published_at.year for hit in found(index, where=SearchFilter((), start, end)) if hit.published_at}
    assert years == {2021, 2022}
    assert len(found(index, where=SearchFilter())) == 30
    assert {hit.language for hit in found(index, where=SearchFilter(languages=["de"]))} == {"de"}
    assert found(index, where=SearchFilter(platforms=["medium"], languages=["fr"])) == []


def test_a_text_published_on_two_platforms_is_found_by_each(index):
    point = make_points(1)[0]
    addresses = [{"platform": platform, "url": f"https://{platform}.example/1"} for platform in ("medium", "substack")]
    crossposted = replace(point, payload={**point.payload, "platform": "medium", "addresses": addresses})
    index.publish("ada", [crossposted, *make_points(9, author="ada 2")], [], schema=SCHEMA)
    hits = found(index, where=SearchFilter(platforms=["substack"]))
    assert [(hit.chunk_id, hit.platform) for hit in hits] == [(point.chunk_id, "medium")]
    assert point.chunk_id in {hit.chunk_id for hit in found(index, where=SearchFilter(platforms=["medium"]))}


def test_hits_carry_what_was_asked_for(index):
    points = {point.chunk_id: point for point in make_points(30)}
    index.publish("ada", points.values(), [], schema=SCHEMA)
    dense, sparse = next(questions(1))
    for hit in index.query("ada", ALL, dense, sparse, 10, vectors=True):
        assert hit.vector == pytest.approx(points[hit.chunk_id].dense, abs=1e-6)
        assert hit.similarity is None or hit.similarity == pytest.approx(float(hit.vector @ dense), abs=1e-5)
        assert hit.to_dict()["addresses"] == points[hit.chunk_id].payload["addresses"]
        assert hit.language == points[hit.chunk_id].payload["language"]
        assert "vector" not in hit.to_dict()
    by_words = index.query("ada", ALL, None, sparse, 30)
    assert 0 < len(by_words) < 30
    assert all(hit.similarity is None and hit.bm25 > 0 for hit in by_words)
    exact, walked = (index.query("ada", ALL, dense, sparse, 30, exact=exact) for exact in (True, False))
    assert [hit.chunk_id for hit in exact] == [hit.chunk_id for hit in walked], "few points are compared one by one"


def test_passages_by_their_place(index):
    index.publish("ada", make_points(30), [], schema=SCHEMA)
    index.publish("ben", make_points(30, seed=5, author="ben"), [], schema=SCHEMA)
    wanted = {"document 4": None, "document 2": [0, 2, 9], "document 99": None}
    places = [(hit.document_id, hit.position) for hit in index.passages("ada", wanted)]
    assert places == [(f"document {d}", p) for d, p in ((4, 0), (4, 1), (4, 2), (2, 0), (2, 2))]
    assert index.passages("ada", {}) == []
    with pytest.raises(IndexMissingError):
        index.passages("eve", wanted)


def test_edits_and_deletions_reach_the_index(index):
    points = make_points(30)
    first = index.publish("ada", points, [], schema=SCHEMA)
    assert index.publish("ada", [], [], schema=SCHEMA) == first

    edited = make_points(30, text="edited")[:3]
    moved = Point(points[5].chunk_id, "moved", "posts", points[5].dense, points[5].sparse, points[5].payload)
    assert points[5].collection == "code"
    second = index.publish("ada", [*edited, moved], [point.chunk_id for point in points[-6:]], schema=SCHEMA)
    assert second != first
    hits = {hit.chunk_id: hit for hit in found(index)}
    assert set(hits) == {point.chunk_id for point in points[:-6]}
    assert all(hits[point.chunk_id].text.endswith("edited") for point in edited)
    assert hits[moved.chunk_id].collection == "posts"

    assert index.publish("ada", [*points[:3], points[5], *points[-6:]], [], schema=SCHEMA) == first, "as it was"
    index.publish("ada", [], [point.chunk_id for point in points], schema=SCHEMA)
    assert found(index) == []
    assert index.state("ada") == {}


def test_authors_never_meet(index):
    index.publish("ada", make_points(9), [], schema=SCHEMA)
    alone = found(index)
    index.publish("ben", make_points(60, seed=5, author="ben"), [], schema=SCHEMA)
    assert [(hit.chunk_id, hit.score) for hit in found(index)] == [(hit.chunk_id, hit.score) for hit in alone]
    assert len(found(index, "ben")) == 60
    with pytest.raises(IndexMissingError):
        found(index, "eve")


def test_an_author_is_taken_out_and_published_anew(index):
    points = make_points(12)
    for author in ("ada", "ben"):
        index.publish(author, make_points(12, author=author), [], schema=SCHEMA)
    index.publish("ada", points[:6], [point.chunk_id for point in points[6:]], schema=SCHEMA, anew=True)
    assert set(index.state("ada")) == {point.chunk_id for point in points[:6]}
    index.remove("ada")
    index.remove("ada")
    assert (index.version("ada"), index.state("ada"), index.schema("ada")) == (None, {}, None)
    assert len(index.state("ben")) == 12
    index.publish("ada", points, [], schema=SCHEMA)
    assert len(index.state("ada")) == 12


def test_a_new_schema_is_built_beside_the_old(index):
    points = make_points(12)
    first = index.publish("ada", points, [], schema=SCHEMA)
    assert index.state("ada", "test/2") == {}
    # Another model with other dimensions.
    wide = [
        Point(p.chunk_id, p.point_hash, p.collection, np.tile(p.dense, 2) / np.sqrt(2), p.sparse, p.payload)
        for p in points[:6]
    ]
    assert index.publish("ada", wide, [], schema="test/2") != first
    assert index.state("ada", SCHEMA) == {}
    assert index.schema("ada") == "test/2"
    assert len(index.state("ada")) == 6
    with pytest.raises(SchemaChangedError):
        index.query("ada", ALL, points[0].dense, ([], []), 5, schema=SCHEMA)
    assert {hit.chunk_id for hit in index.query("ada", ALL, wide[0].dense, ([], []), 50)} == {
        point.chunk_id for point in wide
    }


@pytest.mark.parametrize("kept", ["scalar", "turbo"])
def test_quantised_vectors_find_the_same_and_score_exactly(tmp_path, kept):
    points = make_points(120)
    for plain, quantised in (
        (EdgeIndex(tmp_path), EdgeIndex(tmp_path, kept)),
        (ServerIndex(server := QdrantClient(":memory:")), ServerIndex(server, kept)),
    ):
        version = plain.publish("ada", points, [], schema=SCHEMA)
        expected = [plain.query("ada", ALL, *question, 10, vectors=True) for question in questions(8)]
        assert quantised.state("ada", SCHEMA) == {}, "kept otherwise: to be built anew"
        assert quantised.publish("ada", points, [], schema=SCHEMA) == version
        for question, hits in zip(questions(8), expected, strict=True):
            found = quantised.query("ada", ALL, *question, 10)
            assert [hit.chunk_id for hit in found] == [hit.chunk_id for hit in hits]
            assert [hit.similarity for hit in found if hit.similarity] == pytest.approx(
                [hit.similarity for hit in hits if hit.similarity], abs=1e-5
            )
        assert plain.state("ada", SCHEMA) == {}


def test_both_backends_give_the_same_ids_and_scores(tmp_path):
    edge, server = EdgeIndex(tmp_path), ServerIndex(QdrantClient(":memory:"))
    points = make_points(300)
    assert edge.publish("ada", points, [], schema=SCHEMA) == server.publish("ada", points, [], schema=SCHEMA)
    server.publish("ben", make_points(100, seed=8, author="ben"), [], schema=SCHEMA)
    for dense, sparse in questions(30):
        for collections in (ALL, ["articles"]):
            ours, theirs = (i.query("ada", collections, dense, sparse, 20) for i in (edge, server))
            assert [hit.chunk_id for hit in ours] == [hit.chunk_id for hit in theirs]
            assert [hit.score for hit in ours] == [hit.score for hit in theirs]
            assert np.allclose([h.similarity or 0 for h in ours], [h.similarity or 0 for h in theirs], atol=1e-5)


def test_fusion_is_the_one_of_qdrant(tmp_path):
    server = ServerIndex(QdrantClient(":memory:"))
    server.publish("ada", make_points(300), [], schema=SCHEMA)
    for dense, sparse in questions(10):
        terms = models.SparseVector(indices=sparse[0], values=sparse[1])
        theirs = server.client.query_points(
            "articles__ada",
            prefetch=[
                models.Prefetch(query=dense.tolist(), using="dense", limit=64),
                models.Prefetch(query=terms, using="sparse", limit=64),
            ],
            query=models.RrfQuery(rrf=models.Rrf(k=60)),
            limit=10,
        ).points
        ours = server.query("ada", ["articles"], dense, sparse, 10)
        assert [hit.score for hit in ours] == pytest.approx([point.score for point in theirs])


def test_a_killed_publish_leaves_the_old_publication_and_the_next_completes_it(tmp_path):
    index = EdgeIndex(tmp_path)
    points = make_points(60)
    first = index.publish("ada", points[:30], [], schema=SCHEMA)
    script = (
        "import os, sys; from pathlib import Path; sys.path.insert(0, 'tests/unit')\n"
        "from index_points import *; from twin_assets.core.index_edge import EdgeIndex\n"
        "from twin_assets.core import publication\n"
        "def points():\n"
        "    yield from make_points(60)[30:]\n"
        "    if sys.argv[2] == 'points': os.kill(os.getpid(), 9)\n"
        "if sys.argv[2] == 'pointer': publication.swap_pointer = lambda *_: os.kill(os.getpid(), 9)\n"
        "EdgeIndex(Path(sys.argv[1])).publish('ada', points(), [], schema=SCHEMA)\n"
    )
    for moment in ("points", "pointer"):
        done = subprocess.run([sys.executable, "-c", script, str(tmp_path), moment], check=False)
        assert done.returncode == -signal.SIGKILL
        assert index.version("ada") == first
        assert len(found(index)) == 30

    second = index.publish("ada", points[30:], [], schema=SCHEMA)
    assert len(found(index)) == 60
    fresh = EdgeIndex(tmp_path / "fresh")
    assert fresh.publish("ada", points, [], schema=SCHEMA) == second
    assert [(h.chunk_id, h.score) for h in found(fresh)] == [(h.chunk_id, h.score) for h in found(index)]
    folder = tmp_path / "published" / "ada"
    assert len(list(folder.iterdir())) == 2 + 1 + len(COLLECTIONS), "lock, pointer, state and one folder a collection"


def test_a_killed_publish_to_a_server_is_completed_by_the_next():
    index = ServerIndex(QdrantClient(":memory:"))
    points = make_points(60)

    def killed():
        yield from points[:40]
        raise KeyboardInterrupt

    index.publish("ada", points[:10], [], schema=SCHEMA)
    with pytest.raises(KeyboardInterrupt):
        index.publish("ada", killed(), [], schema=SCHEMA)
    state = index.state("ada", SCHEMA)
    version = index.publish("ada", [point for point in points if point.chunk_id not in state], [], schema=SCHEMA)
    fresh = ServerIndex(QdrantClient(":memory:"))
    assert fresh.publish("ada", points, [], schema=SCHEMA) == version
    assert len(found(index)) == 60


def test_readers_go_on_while_another_process_publishes(tmp_path):
    index = EdgeIndex(tmp_path)
    index.publish("ada", make_points(30), [], schema=SCHEMA)
    failures: list[BaseException] = []
    sizes: set[int] = set()
    stop = threading.Event()

    def read():
        while not stop.is_set():
            try:
                sizes.add(len(found(index)))
            except BaseException as error:
                failures.append(error)
                return

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    script = (
        "import sys; from pathlib import Path; sys.path.insert(0, 'tests/unit')\n"
        "from index_points import *; from twin_assets.core.index_edge import EdgeIndex\n"
        "index = EdgeIndex(Path(sys.argv[1]))\n"
        "for size in (33, 36, 39, 42): index.publish('ada', make_points(size)[size - 3:], [], schema=SCHEMA)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
    deadline = time.monotonic() + 20
    while 42 not in sizes and time.monotonic() < deadline:
        time.sleep(0.01)
    stop.set()
    for reader in readers:
        reader.join()
    assert failures == []
    assert {30, 42} <= sizes <= {30, 33, 36, 39, 42}, "every answer is of one whole publication"
    copies = list((tmp_path / "readers").glob("*/ada/*"))
    assert len(copies) == len(COLLECTIONS), "older copies are gone"


def test_another_model_is_switched_to_without_a_failed_query(tmp_path):
    index, writer = EdgeIndex(tmp_path), EdgeIndex(tmp_path)
    widths, stop = {SCHEMA: 1, "test/2": 2}, threading.Event()
    points = make_points(30)
    wide = [
        Point(p.chunk_id, p.point_hash, p.collection, np.tile(p.dense, 2) / np.sqrt(2), p.sparse, p.payload)
        for p in points
    ]
    index.publish("ada", points, [], schema=SCHEMA)
    seen: list[str] = []
    failures: list[BaseException] = []

    def read():
        dense, sparse = next(questions(1))
        while not stop.wait(0.002):
            schema = index.schema("ada")
            try:
                hits = index.query("ada", ALL, np.tile(dense, widths[schema]), sparse, 50, schema=schema)
                seen.append(schema)
                assert len(hits) == 30
            except SchemaChangedError:  # what the retriever asks again after
                continue
            except BaseException as error:
                failures.append(error)
                return

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for schema, those in (("test/2", wide), (SCHEMA, points), ("test/2", wide)):
        writer.publish("ada", those, [], schema=schema)
        before, deadline = len(seen), time.monotonic() + 20
        while schema not in seen[before:] and time.monotonic() < deadline:
            time.sleep(0.005)
    stop.set()
    for reader in readers:
        reader.join()
    assert failures == []
    assert set(seen) == set(widths)
    assert seen[-1] == "test/2"


def test_copies_of_a_dead_reader_are_removed(tmp_path):
    index = EdgeIndex(tmp_path)
    index.publish("ada", make_points(6), [], schema=SCHEMA)
    script = (
        "import os, sys; from pathlib import Path; sys.path.insert(0, 'tests/unit')\n"
        "from index_points import *; from twin_assets.core.index_edge import EdgeIndex\n"
        "found(EdgeIndex(Path(sys.argv[1])))\n"
        "if sys.argv[2] == 'kill': os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path), "end"], check=True)
    assert list((tmp_path / "readers").iterdir()) == []
    subprocess.run([sys.executable, "-c", script, str(tmp_path), "kill"], check=False)
    (left,) = (tmp_path / "readers").iterdir()
    found(index)
    assert not left.exists()


def test_open_index_chooses_the_backend(tmp_path):
    assert isinstance(open_index(tmp_path), EdgeIndex)
    assert isinstance(open_index(tmp_path, url="http://127.0.0.1:1"), ServerIndex)
    assert uuid.UUID(content_hash("x")), "content hashes are point ids"
