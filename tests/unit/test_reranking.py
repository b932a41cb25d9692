"""Rerankers and the last looks at an order, and the model that may read questions."""

import json
import shutil
from datetime import UTC, datetime

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from demo.loopback import LoopbackServer
from demo.messages import Response
from twin_assets.core.embedding_models import weights_folder
from twin_assets.core.errors import ModelError
from twin_assets.core.index import Hit
from twin_assets.core.retrieval.assistant import QuestionModel
from twin_assets.core.retrieval.features import FEATURES, features, terms
from twin_assets.core.retrieval.ordering import add_recency, diversify
from twin_assets.core.retrieval.reranking import CrossEncoder, FeatureRanker

NOW = datetime(2026, 6, 17, tzinfo=UTC)


def hit(text, *, title="", similarity=0.0, bm25=None, published=None, vector=None):
    return Hit(
        text, "document", "posts", "post", "x", title, "", "", text, 0, len(text), published, 0.0, similarity, bm25,
        vector=vector,
    )  # fmt: skip


def values(question, *hits):
    return [dict(zip(FEATURES, row, strict=True)) for row in features(question, hits, np.zeros(2, np.float32))]


def test_words_are_compared_by_stem_and_without_stop_words():
    assert terms("The runners were running, fast!") == ["runner", "run", "fast"]


def test_features_tell_how_a_passage_answers():
    good, scattered, labelled, other = values(
        "growing tomato plants",
        hit("I like growing tomato plants. They want sun.", bm25=4.0, similarity=0.5),
        hit("Growing up was hard. Plants were few. A tomato fell.", bm25=2.0),
        hit("They want sun.", title="Tomato plants"),
        hit("Nothing of it."),
    )
    assert good["covered"] == scattered["covered"] == pytest.approx(1)
    assert good["covered_by_sentence"] > scattered["covered_by_sentence"] > 0
    assert good["together"] > scattered["together"] > 0
    assert (labelled["covered"], labelled["together"]) == (0, 0)
    assert 0.5 < labelled["covered_by_label"] < 1
    assert (good["bm25"], scattered["bm25"], other["bm25"]) == (1, 0.5, 0)
    assert good["similarity"] == 0.5
    assert set(other.values()) == {0}


def test_a_rare_word_weighs_more_than_one_that_all_candidates_have():
    common, rare = values(
        "garden crane", hit("garden crane"), hit("garden"), hit("crane"), hit("garden"), hit("garden")
    )[1:3]
    assert rare["covered"] > 2 * common["covered"]


def test_nothing_to_rank():
    assert features("anything", [], np.zeros(2, np.float32)).shape == (0, len(FEATURES))
    assert FeatureRanker().score("the", np.zeros(2, np.float32), [hit("x"), hit("y")]).tolist() == [0, 0]


def test_recency_adds_a_share_of_the_spread():
    dates = [NOW, NOW.replace(year=2025), NOW.replace(year=2016), None]
    hits = [hit("x", published=date) for date in dates]
    gained = add_recency(np.array([0.0, 4.0, 0.0, 2.0]), hits, 0.5) - [0.0, 4.0, 0.0, 2.0]
    assert gained == pytest.approx([2.0, 1.0, 0.0, 0.0], abs=0.01)
    assert add_recency(np.array([1.0]), [hit("x")], 0.5).tolist() == [1.0]


def test_diversity_puts_what_repeats_behind():
    vectors = np.array([[1, 0], [1, 0], [0, 1], [0.6, 0.8]], dtype=np.float32)
    hits = [hit(str(number), vector=vector) for number, vector in enumerate(vectors)]
    scores = np.array([1.0, 0.95, 0.9, 0.0])
    assert diversify(scores, hits, 4, 0) == [0, 1, 2, 3]
    assert diversify(scores, hits, 4, 0.3) == [0, 2, 1, 3]
    assert diversify(scores, hits, 2, 0.3) == [0, 2]
    assert diversify(np.array([]), [], 3, 0.3) == []


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory):
    """A cross-encoder of one layer: the score of a pair is how often the token "bread" is in it."""
    folder = tmp_path_factory.mktemp("cross-encoder")
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "config.json"):
        shutil.copyfile(weights_folder() / name, folder / name)
    vocabulary = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    weights = np.zeros((len(vocabulary), 1), dtype=np.float32)
    weights[vocabulary["bread"]] = 1
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["weights", "input_ids"], ["found"], axis=0),
            helper.make_node("ReduceSum", ["found", "axis"], ["logits"], keepdims=0),
        ],
        "bread",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "length"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 1])],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(np.array([1]), "axis")],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / "model.onnx"
    )
    return folder


def test_a_cross_encoder_from_a_folder(cross_encoder):
    hits = [hit("Bread, bread and bread."), hit("Nothing."), hit("Some bread.")]
    for _ in range(2):  # fastembed refuses a name twice
        scores = CrossEncoder(cross_encoder).score("bread?", np.zeros(2, np.float32), hits)
        assert scores.tolist() == [4, 1, 2]


def test_a_folder_without_a_cross_encoder(tmp_path):
    with pytest.raises(ModelError, match="holds no cross-encoder"):
        CrossEncoder(tmp_path).score("x", np.zeros(2, np.float32), [hit("x")])
    (tmp_path / "model.onnx").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="cannot be loaded"):
        CrossEncoder(tmp_path).score("x", np.zeros(2, np.float32), [hit("x")])


class Answering(LoopbackServer):
    """An OpenAI-compatible server that answers everything with `content`."""

    content = ""

    def respond(self, request):
        answer = {"choices": [{"message": {"role": "assistant", "content": self.content}}]}
        return Response(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})


def test_a_model_reads_the_question():
    with Answering() as server:
        server.content = json.dumps(
            {"subject": "hiring", "platforms": ["linkedin", "myspace"], "kinds": ["post"], "recent": False,
             "published_from": "2025-01-01", "published_until": "2025-12-31", "other_words": ["recruiting"]}
        )  # fmt: skip
        model = QuestionModel(f"{server.url}/v1", "any", "secret", ["linkedin", "x"])
        for _ in range(2):
            read = model.understand("what did I post on LinkedIn about hiring the year before this?", NOW)
        assert len(server.requests) == 1, "the same question is not paid for twice"
    assert (read.text, read.categories, read.expansions) == ("hiring", ("post",), ("recruiting",))
    assert read.where.platforms == ("linkedin",)
    assert (read.where.published_from, read.where.published_until) == (
        datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
    )  # fmt: skip
    assert read.understood == ("published 2025-01-01 to 2025-12-31", "on linkedin", "posts")


@pytest.mark.parametrize("content", ["no JSON", '{"subject": 3}', '{"subject": "x", "published_from": "soon"}'])
def test_a_model_that_answers_something_else_is_left_alone_for_a_while(content):
    with Answering() as server:
        server.content = content
        model = QuestionModel(server.url, "any")
        for _ in range(2):
            with pytest.raises(ModelError):
                model.understand("bread", NOW)
        assert len(server.requests) == 1
