"""Embedder: the published model, made once; the same vectors as sentence-transformers; other models beside it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from demo.hub import HubServer
from tests.embedding_models import make_tiny_model
from twin_assets.core import embedding_models
from twin_assets.core.embedding import MAXIMUM_TOKENS, Embedder, weights_folder
from twin_assets.core.embedding_models import BUILT_IN_EXACT, DESCRIPTION, EmbeddingModel, find_model, install
from twin_assets.core.errors import ModelError

TEXTS = [
    "Ship it on Friday? Don't.",
    "We measured the queue for a week — nobody had looked at it before. 🚀",
    "x",
    "",
    "A longer passage that says what it has to say, twice over. " * 12,
    "I keep a list of everything I did not do. It is longer than the other one.",
]


@pytest.fixture(scope="module")
def embedder(tmp_path_factory):
    return Embedder(tmp_path_factory.getbasetemp().parent / "embedder-export")


def test_vectors_equal_sentence_transformers(embedder):
    from sentence_transformers import SentenceTransformer

    reference = SentenceTransformer(str(weights_folder()), device="cpu")
    expected = reference.encode(TEXTS, normalize_embeddings=True, show_progress_bar=False)
    exact = Embedder(embedder.folder, model=BUILT_IN_EXACT).embed(TEXTS)
    assert exact.dtype == np.float32
    assert exact.shape == (len(TEXTS), embedder.dimension)
    assert np.abs(exact - expected).max() < 2e-6
    cosine = (embedder.embed(TEXTS) * expected).sum(axis=1)
    assert cosine.min() > 0.98
    assert cosine.mean() > 0.99, "int8"


def test_a_vector_depends_on_its_text_alone(embedder):
    vectors = embedder.embed(TEXTS)
    assert np.array_equal(embedder.embed(TEXTS[::-1])[::-1], vectors)
    assert np.array_equal(np.concatenate([embedder.embed([text]) for text in TEXTS]), vectors)
    assert np.array_equal(Embedder(embedder.folder, threads=1).embed(TEXTS), vectors)
    assert np.array_equal(embedder.embed_query(TEXTS[0]), vectors[0])
    assert embedder.embed([]).shape == (0, embedder.dimension)


def test_a_long_post_is_read_to_its_end(embedder):
    opening = "The cat sat on the mat and looked at the rain. " * 30
    ending = "Kubernetes clusters need a budget for their control plane. " * 30
    assert embedder.count_tokens([opening])[0] > MAXIMUM_TOKENS
    question = embedder.embed_query("what does a kubernetes control plane cost?")
    whole, first = embedder.embed([f"{opening}\n\n{ending}", opening])
    assert question @ whole > question @ first + 0.2


def test_bold_letters_are_found_under_their_plain_ones(embedder):
    bold = "𝗦𝗵𝗶𝗽 𝘁𝗵𝗲 𝗾𝘂𝗲𝘂𝗲"
    assert np.array_equal(embedder.embed([bold]), embedder.embed(["Ship the queue"]))
    assert embedder.sparse([bold]) == embedder.sparse(["Ship the queue"])


def test_bm25_weighs_terms_and_drops_stop_words(embedder):
    ((indices, values),) = embedder.sparse(["The queues of the queue"])
    assert len(indices) == 1
    assert values[0] > 1, "one stem, twice"
    assert embedder.sparse_query("what about the queue?") == (indices, [1.0])
    assert embedder.sparse_query("the of and") == ([], [])


def test_progress_reaches_the_end(embedder):
    seen: list[tuple[int, int]] = []
    embedder.embed(["text"] * 40, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (40, 40)
    assert len(seen) > 1


def test_a_model_that_is_made_needs_no_torch(embedder):
    embedder.embed(["warm"])
    script = (
        "import sys; from pathlib import Path; from twin_assets.core.embedding import Embedder;"
        f"Embedder(Path({str(embedder.folder)!r})).embed(['x']); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_of_two_who_make_a_model_at_once_one_wins(tmp_path):
    def slower(place: Path) -> None:
        """Another process finishes while this one still writes."""
        (place / "model.onnx").write_text("ours")
        install(model, lambda other: (other / "model.onnx").write_text("theirs"))

    model = EmbeddingModel("a/b", tmp_path, 4, 16)
    left = tmp_path / ".building-left"
    left.mkdir()
    os.utime(left, (0, 0))
    install(model, slower)
    assert (model.place / "model.onnx").read_text() == "theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["a-b"], "nothing half-made is left, older leavings too"
    install(model, lambda place: pytest.fail("it is there"))


def test_other_weights_are_refused(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(b"not the model")
    monkeypatch.setattr(embedding_models, "weights_folder", lambda: tmp_path / "model")
    with pytest.raises(ModelError, match="not the published"):
        find_model("all-MiniLM-L6-v2", tmp_path / "made").weights()
    assert not list((tmp_path / "made").iterdir()), "nothing half-made is left"


def test_a_folder_is_a_model_by_its_contents(tmp_path):
    source = make_tiny_model(tmp_path / "tiny", dimension=16, seed=1)
    made = tmp_path / "made"
    model = Embedder(made, model=str(source))
    (vector,) = model.embed(["Ship the queue"])
    assert (model.dimension, vector.shape, model.window) == (16, (16,), 62)
    assert vector @ model.embed_query("Ship the queue") < 0.999, "its questions are marked"
    assert model.model_id.startswith("tiny/")

    again = Embedder(made, model=str(make_tiny_model(tmp_path / "other" / "tiny", dimension=16, seed=1)))
    assert again.model_id == model.model_id
    changed = Embedder(made, model=str(make_tiny_model(tmp_path / "tiny", dimension=16, seed=2)))
    assert changed.model_id != model.model_id

    shutil.rmtree(source)
    former = Embedder.of_publication(made, model.model_id)
    assert np.array_equal(former.embed(["Ship the queue"])[0], vector), "an index made with it can still be asked"
    with pytest.raises(ModelError, match="is not in"):
        Embedder.of_publication(made, "tiny/unknown").embed(["x"])


def test_a_folder_that_is_no_model_is_refused(tmp_path):
    source = make_tiny_model(tmp_path / "tiny", dimension=16, seed=1)
    (source / "onnx" / "model.onnx").unlink()
    with pytest.raises(ModelError, match="no embedding model"):
        Embedder(tmp_path / "made", model=str(source)).embed(["x"])


def test_a_hub_model_is_fetched_once(tmp_path):
    source = make_tiny_model(tmp_path / "tiny", dimension=16, seed=1)
    with HubServer({"someone/tiny": source}) as hub:
        fetched = Embedder(tmp_path / "made", model="someone/tiny", endpoint=hub.url)
        vectors = fetched.embed(["Ship the queue"])
    again = Embedder(tmp_path / "made", model="someone/tiny", endpoint="http://127.0.0.1:9")
    assert again.model_id == fetched.model_id
    assert np.array_equal(again.embed(["Ship the queue"]), vectors)
    with pytest.raises(ModelError, match="TWIN_EMBEDDING_MODEL"):
        Embedder(tmp_path / "made", model="someone/other", endpoint="http://127.0.0.1:9").embed(["x"])
    described = json.loads((fetched.model.place / DESCRIPTION).read_text())
    assert described["pooling"] == "mean"
