"""Embedder: the published model, exported once, the same vectors as sentence-transformers."""

import os
import subprocess
import sys

import numpy as np
import pytest

from twin_assets.core import embedding
from twin_assets.core.embedding import MAXIMUM_TOKENS, Embedder, export_onnx, weights_folder
from twin_assets.core.errors import ModelError

TEXTS = [
    "Ship it on Friday? Don't.",
    "We measured the queue for a week — nobody had looked at it before. 🚀",
    "x",
    "",
    "A longer passage that repeats itself. " * 60,
]


@pytest.fixture(scope="module")
def embedder(tmp_path_factory):
    return Embedder(tmp_path_factory.getbasetemp().parent / "embedder-export")


def test_vectors_equal_sentence_transformers(embedder):
    from sentence_transformers import SentenceTransformer

    reference = SentenceTransformer(str(weights_folder()), device="cpu")
    expected = reference.encode(TEXTS, normalize_embeddings=True, show_progress_bar=False)
    vectors = embedder.embed(TEXTS)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), embedder.dimension)
    assert np.abs(vectors - expected).max() < 2e-6
    assert embedder.count_tokens(TEXTS)[-1] > MAXIMUM_TOKENS, "the long text is one that is cut"


def test_order_and_company_do_not_matter(embedder):
    vectors = embedder.embed(TEXTS)
    assert np.allclose(embedder.embed(TEXTS[::-1])[::-1], vectors, atol=1e-6)
    assert np.array_equal(embedder.embed(TEXTS), vectors), "the same call gives the same bytes"
    assert embedder.embed([]).shape == (0, embedder.dimension)


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


def test_an_existing_export_needs_no_torch(embedder):
    embedder.embed(["warm"])
    script = (
        "import sys; from pathlib import Path; from twin_assets.core.embedding import Embedder;"
        f"Embedder(Path({str(embedder.folder)!r})).embed(['x']); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_of_two_exports_at_once_one_wins(tmp_path, monkeypatch):
    def slower(source, target):
        """Another process finishes while this one still writes."""
        place.mkdir()
        (place / "model.onnx").write_text("theirs")
        target.write_text("ours")

    place = tmp_path / f"all-MiniLM-L6-v2-{embedding.WEIGHTS_SHA256[:12]}-onnx17"
    left = tmp_path / ".building-left"
    left.mkdir()
    os.utime(left, (0, 0))
    monkeypatch.setattr(embedding, "_write_onnx", slower)
    assert export_onnx(tmp_path) == place
    assert (place / "model.onnx").read_text() == "theirs"
    assert [path.name for path in tmp_path.iterdir()] == [place.name], "nothing half-made is left, older leavings too"


def test_other_weights_are_refused(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(b"not the model")
    monkeypatch.setattr(embedding, "weights_folder", lambda: tmp_path / "model")
    with pytest.raises(ModelError, match="not the published"):
        export_onnx(tmp_path / "export")
    assert not (tmp_path / "export").exists(), "nothing half-made is left"
