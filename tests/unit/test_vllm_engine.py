"""vLLM: what it would be called with, and how its answers are handed on; vLLM itself is on no machine of the tests."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

from twin_assets.core.errors import ModelError
from twin_serving.engines import vllm_engine
from twin_serving.engines.streaming import Generation
from twin_serving.engines.vllm_engine import VllmEngines, engine_arguments, fits, sampling_arguments, streamed


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    thread = threading.Thread(target=made.run_forever)
    thread.start()
    yield made
    made.call_soon_threadsafe(made.stop)
    thread.join()
    made.close()


def test_arguments() -> None:
    sampling = sampling_arguments(Generation([], temperature=0.2, top_p=0.9, seed=4, stop=("x",)), 30, {2, 1})
    assert sampling == {
        "max_tokens": 30, "temperature": 0.2, "top_p": 0.9, "seed": 4, "stop_token_ids": [1, 2], "detokenize": False,
    }  # fmt: skip
    engine = engine_arguments(Path("base"))
    assert (engine["trust_remote_code"], engine["load_format"], engine["enable_lora"]) == (False, "safetensors", True)


def test_adapters_it_does_not_serve_are_left_to_others(tmp_path: Path) -> None:
    plain = {"peft_type": "LORA", "r": 16, "bias": "none", "modules_to_save": None, "use_dora": False}
    for changes, served in (
        ({}, True), ({"use_dora": True}, False), ({"r": 128}, False), ({"modules_to_save": ["lm_head"]}, False),
        ({"bias": "all"}, False), ({"peft_type": "IA3"}, False),
    ):  # fmt: skip
        (tmp_path / "adapter_config.json").write_text(json.dumps({**plain, **changes}), encoding="utf-8")
        assert fits(tmp_path) is served
    assert not fits(tmp_path / "nothing")


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed here")
def test_without_vllm_there_is_no_engine(tmp_path: Path) -> None:
    assert VllmEngines()(tmp_path, None) is None


def test_a_base_it_cannot_load_is_tried_once_and_left_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Path] = []

    def load(base: Path) -> None:
        tried.append(base)
        raise RuntimeError("this architecture is not known")

    monkeypatch.setattr(vllm_engine, "available", lambda: True)
    monkeypatch.setattr(vllm_engine, "VllmModel", load)
    makers = VllmEngines()
    assert [makers(tmp_path / name, None) for name in ("one", "one", "two")] == [None, None, None]
    assert tried == [tmp_path / "one", tmp_path / "two"]


def test_tokens_come_out_of_the_loop_and_closing_ends_them(loop: asyncio.AbstractEventLoop) -> None:
    closed = threading.Event()

    async def answers(count: int) -> AsyncIterator[SimpleNamespace]:
        try:
            for number in range(count):
                await asyncio.sleep(0)
                yield SimpleNamespace(outputs=[SimpleNamespace(token_ids=[number, number])])
        finally:
            closed.set()

    assert list(streamed(answers(3), loop, 10)) == [0, 0, 1, 1, 2, 2]
    closed.clear()
    tokens = streamed(answers(10**9), loop, 10)
    assert next(tokens) == 0
    tokens.close()
    assert closed.wait(10)
    closed.clear()
    assert len(list(streamed(answers(10**9), loop, 0.05))) > 0
    assert closed.wait(10)


def test_what_fails_in_the_loop_is_raised_here(loop: asyncio.AbstractEventLoop) -> None:
    async def broken() -> AsyncIterator[SimpleNamespace]:
        yield SimpleNamespace(outputs=[SimpleNamespace(token_ids=[1])])
        raise RuntimeError("out of memory.")

    with pytest.raises(ModelError, match=r"Generating failed: out of memory\."):
        list(streamed(broken(), loop, 10))
