"""What every engine must do alike: the reference, an exported model, and an OpenAI-compatible server."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.serving_models import CONTEXT, make_adapter, make_base
from tests.stream_server import StreamServer
from twin_assets.core.chat_streaming import StreamingEndpoint
from twin_assets.core.errors import InputError
from twin_assets.core.serving_export import FOLDER, RECORD, Export, read_export
from twin_assets.core.serving_export_worker import make
from twin_serving.engines.batching import Row
from twin_serving.engines.endpoint_engine import EndpointEngine
from twin_serving.engines.onnx_engine import OnnxBatch, OnnxEngine, OnnxEngines, choose
from twin_serving.engines.pool import Engine
from twin_serving.engines.streaming import Generation, Piece
from twin_serving.engines.transformers_engine import TransformersEngines

ASK = [{"role": "user", "content": "Write about tests."}]
ASKS = ["Write.", "Write about what you learned this week and why it matters", "A b c 1 2 3 " * 9, "Tests?"]
ENGINES = ("reference", "onnx", "endpoint")


@dataclass
class Exported:
    """A base, a version on it whose export was judged, and what was found."""

    base: Path
    adapter: Path
    export: Export


def export(folder: Path, precision: str) -> Exported:
    base = make_base(folder / "base", heads=2)
    adapter = make_adapter(base, folder / "version" / "adapter", 1)
    text = "I wrote about tests today. A test that cannot fail says nothing."
    row = {"form": "post", "instruction": "Write about tests", "context": "", "target": text}
    target = folder / "version" / FOLDER
    target.mkdir()
    samples = pl.DataFrame([row, {**row, "target": text[:30]}])
    found = make(base, adapter, "Ann", samples, 256, target, precision)
    (target / RECORD).write_text(found.model_dump_json(), encoding="utf-8")
    return Exported(base, adapter, found)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """In 32 bits, where what it writes is what the reference writes, to the letter."""
    return export(tmp_path_factory.mktemp("exported"), "fp32")


@pytest.fixture(scope="module")
def engines(exported: Exported) -> Iterator[dict[str, Engine]]:
    reference = TransformersEngines()(exported.base, exported.adapter)
    onnx = OnnxEngines()(exported.base, exported.adapter)
    assert onnx is not None
    with StreamServer(reference) as server, StreamingEndpoint(server.url, "tiny") as endpoint:
        yield {"reference": reference, "onnx": onnx, "endpoint": EndpointEngine(endpoint, CONTEXT)}


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, engines: dict[str, Engine]) -> Engine:
    return engines[request.param]


def generate(engine: Engine, **options: object) -> list[Piece]:
    options = {"messages": ASK, "max_tokens": 12, "temperature": 0.0, **options}
    return list(engine.generate(Generation(**options)))  # type: ignore[arg-type]


def text(engine: Engine, **options: object) -> str:
    return "".join(piece.text for piece in generate(engine, **options))


def test_all_write_the_same(engines: dict[str, Engine]) -> None:
    for asked in ASKS:
        messages = [{"role": "user", "content": asked}]
        answers = {name: text(engine, messages=messages) for name, engine in engines.items()}
        assert len(set(answers.values())) == 1, answers


def test_counts_and_finish(engine: Engine) -> None:
    pieces = generate(engine)
    assert [piece.finish for piece in pieces[:-1]] == [None] * (len(pieces) - 1)
    assert (pieces[-1].finish, pieces[-1].completion_tokens) == ("length", 12)
    assert pieces[-1].prompt_tokens > 10
    assert all(a.completion_tokens <= b.completion_tokens for a, b in pairwise(pieces[:-1]))


def test_a_stop_string_ends_the_answer_and_is_not_part_of_it(engine: Engine) -> None:
    whole = text(engine, max_tokens=40)
    stop = whole[10:13]
    stopped = generate(engine, max_tokens=40, stop=(stop, "never", "never1", "never2", "never3"))
    assert "".join(piece.text for piece in stopped) == whole[: whole.index(stop)]
    assert stopped[-1].finish == "stop"


def test_a_seed_repeats_and_another_does_not(engine: Engine) -> None:
    drawn = [text(engine, temperature=1.0, seed=seed) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    # Of the likeliest alone.
    assert text(engine, temperature=1.5, top_p=1e-6) == text(engine)


def test_a_prompt_that_does_not_fit_is_refused(engine: Engine) -> None:
    with pytest.raises(InputError, match=f"the model reads {CONTEXT}"):
        generate(engine, messages=[{"role": "user", "content": "word " * 6 * CONTEXT}])


def test_many_at_once_are_as_if_alone(engine: Engine) -> None:
    asked = [([{"role": "user", "content": each}], 5 + 3 * number) for number, each in enumerate(ASKS * 2)]
    alone = [text(engine, messages=messages, max_tokens=tokens) for messages, tokens in asked]
    found: dict[int, str] = {}

    def ask(index: int) -> None:
        messages, tokens = asked[index]
        found[index] = text(engine, messages=messages, max_tokens=tokens)

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(len(asked))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[index] for index in range(len(asked))] == alone


def test_closing_early_ends_that_generation_alone(engine: Engine) -> None:
    other = engine.generate(Generation(ASK, max_tokens=30, temperature=0.0))
    first = [next(other)]
    pieces = engine.generate(Generation(ASK, max_tokens=400, temperature=0.0))
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    assert "".join(piece.text for piece in [*first, *other]) == text(engine, max_tokens=30)


def test_a_generation_ends_when_its_time_is_over(engines: dict[str, Engine]) -> None:
    for name in ("reference", "onnx"):
        assert generate(engines[name], max_tokens=400, seconds=0.0)[-1].completion_tokens <= 1


def test_rows_join_and_leave_one_batch(engines: dict[str, Engine], monkeypatch: pytest.MonkeyPatch) -> None:
    onnx = engines["onnx"]
    assert isinstance(onnx, OnnxEngine)
    widths: list[int] = []
    step = OnnxBatch.step

    def counted(batch: OnnxBatch) -> None:
        widths.append(len(batch.rows))
        step(batch)

    monkeypatch.setattr(OnnxBatch, "step", counted)
    test_many_at_once_are_as_if_alone(onnx)
    assert max(widths) > 1
    assert len(set(widths)) > 1


def test_an_export_in_8_bits_is_measured_and_serves(tmp_path: Path) -> None:
    exported = export(tmp_path, "int8")
    found = exported.export
    assert found.engine == "onnx"
    assert (found.samples, found.context) == (2, CONTEXT)
    assert found.loss_reference is not None
    assert found.loss == pytest.approx(found.loss_reference, rel=0.02)
    assert found.loss != found.loss_reference
    assert "the reference's" in found.reason
    left = {path.name for path in (exported.adapter.parent / FOLDER).iterdir()}
    assert left == {"model.onnx", "model.onnx.data", RECORD}
    assert read_export(exported.adapter.parent) == found
    engine = OnnxEngines()(exported.base, exported.adapter)
    assert engine is not None
    assert text(engine) == text(engine)


def test_families_that_cannot_be_exported_say_why(tmp_path: Path) -> None:
    """Heads of a size that onnxruntime's attention does not take; the builder itself makes the graph."""
    base = make_base(tmp_path / "base", heads=4)
    adapter = make_adapter(base, tmp_path / "adapter", 1)
    samples = pl.DataFrame([{"form": "post", "instruction": "Write", "context": "", "target": "I wrote."}])
    found = make(base, adapter, "Ann", samples, 256, tmp_path)
    assert found.engine == "reference"
    assert found.reason.startswith("LlamaForCausalLM cannot be exported: onnxruntime says")


def test_exports_that_do_not_serve_are_left_to_the_reference(exported: Exported, tmp_path: Path) -> None:
    """Refused, made by other code, unreadable, too large, deleted: none of them fails a request."""
    version = tmp_path / "version"
    (version / FOLDER).mkdir(parents=True)
    record = version / FOLDER / RECORD
    makers = OnnxEngines()
    assert makers(exported.base, None) is None
    assert makers(exported.base, version / "adapter") is None
    kept = exported.export.model_dump(mode="json")
    for changes in ({"engine": "reference"}, {"export_version": "0"}, {"loss": "much"}):
        record.write_text(json.dumps({**kept, **changes}), encoding="utf-8")
        assert makers(exported.base, version / "adapter") is None
    record.write_text(json.dumps(kept), encoding="utf-8")
    assert makers(exported.base, version / "adapter") is None  # its graph is missing
    assert OnnxEngines(memory=kept["bytes"] - 1)(exported.base, exported.adapter) is None
    small = OnnxEngines(memory=kept["bytes"])
    small._loading[version] = exported.export
    assert small(exported.base, exported.adapter) is None  # together they would not fit
    del small._loading[version]
    assert small(exported.base, exported.adapter) is not None
    assert small(exported.base, exported.adapter) is not None
    for path in (exported.adapter.parent / FOLDER).iterdir():
        (version / FOLDER / path.name).write_bytes(path.read_bytes())
    assert small(exported.base, version / "adapter") is None  # the other answered a moment ago
    small.models[exported.adapter.parent].used -= 3600
    assert small(exported.base, version / "adapter") is not None
    assert list(small.models) == [version]
    record.unlink()
    assert small(exported.base, version / "adapter") is None
    assert not small.models


def test_tokens_are_drawn_by_their_chances() -> None:
    """Of 2,000 draws: shares as softmax gives them at the temperature, none outside top_p, seeds of their own."""
    chances = np.array([0.5, 0.3, 0.15, 0.05])
    scores = np.log(chances).astype(np.float32)[None]

    def drawn(**options: float) -> list[float]:
        row = Row([1], 9, (), Generation([], seed=3, **options), None, "all")  # type: ignore[arg-type]
        tokens = [choose(scores, [row])[0] for _ in range(2000)]
        return [tokens.count(token) / 2000 for token in range(4)]

    assert drawn(temperature=1.0) == pytest.approx(chances, abs=0.04)
    assert drawn(temperature=0.5) == pytest.approx(chances**2 / (chances**2).sum(), abs=0.04)
    assert drawn(temperature=1.0, top_p=0.7) == pytest.approx([0.625, 0.375, 0, 0], abs=0.04)
    assert drawn(temperature=0.0) == [1, 0, 0, 0]
    assert drawn(temperature=1.0) == drawn(temperature=1.0)
