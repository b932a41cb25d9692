"""Continuous batching: a row in a mixed batch is as if it were alone, for every family of models."""

import threading
import time
from pathlib import Path

import pytest
from test_training_families import SHAPES
from training_corpus import tiny_model
from training_models import one_thread  # noqa: F401

from tests.serving_models import make_adapter, make_base
from twin_assets.core.errors import ModelError
from twin_serving.engines.batching import Batch, Row, choose
from twin_serving.engines.streaming import Generation
from twin_serving.engines.transformers_engine import Adapter, Base, TransformersEngine, TransformersEngines

GREEDY = Generation([], temperature=0.0)
PROMPTS = [list(range(5, 12)), list(range(30, 53)), [40, 41, 42]]
TOKENS = 12
# A window shorter than prompt and answer, so that what is outside it matters.
WINDOWED = {"mistral": {"sliding_window": 8}, "gpt_oss": {"sliding_window": 8}, "phi3": {"sliding_window": 8}}


def alone(base: Path, adapter: Path | None, prompt: list[int], tokens: int = TOKENS) -> list[int]:
    """The greedy tokens of transformers' generate() with one adapter and one prompt."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base)
    model = model if adapter is None else PeftModel.from_pretrained(model, str(adapter))
    ids = torch.tensor([prompt])
    written = model.eval().generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=tokens,
        min_new_tokens=tokens,
        do_sample=False,
    )
    return written[0, len(prompt) :].tolist()


def any_adapter(base: Path, folder: Path, seed: int, **options: object) -> Path:
    """A strong random adapter on every linear layer."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    config = LoraConfig(
        r=4, lora_alpha=32, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM", **options
    )
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), config).save_pretrained(str(folder))
    return folder


def row(prompt: list[int], adapter: Adapter | None, limit: int = TOKENS, generation: Generation = GREEDY) -> Row:
    return Row(prompt, limit, (), generation, adapter, "mixed")


def tokens_of(row: Row) -> list[int]:
    found = []
    while (token := row.output.get(timeout=0)) is not None:
        found.append(token)
    return found


@pytest.mark.parametrize("model_type", sorted(SHAPES))
def test_rows_that_join_and_leave_a_mixed_batch_write_what_they_write_alone(model_type: str, tmp_path: Path) -> None:
    import torch
    from transformers import AutoConfig

    configuration = AutoConfig.for_model(model_type, **SHAPES[model_type], **WINDOWED.get(model_type, {}))
    folder = tiny_model(tmp_path / "base", configuration)
    adapters = [any_adapter(folder, tmp_path / str(seed), seed) for seed in (1, 2)]
    base = Base(folder)
    assert base.decoder is not None
    loaded = [base.load(adapter) for adapter in adapters]
    assert all(each.weights is not None for each in loaded)
    first, third, second = (
        row(prompt, name) for prompt, name in zip(PROMPTS, [loaded[0], None, loaded[1]], strict=True)
    )
    short = row(PROMPTS[0], loaded[1], limit=5)
    rows = [first, second, short, third]
    batch = Batch(base._forward, base.device)
    with torch.inference_mode():
        for group in ([first, second], [short], [third]):  # the last is longer than all that runs
            fresh = Batch(base._forward, base.device)
            fresh.read(group)
            batch.take(fresh)
            for _ in range(3):
                batch.step()
        while batch.rows:
            batch.step()
    for each, adapter in zip(rows, [*adapters, adapters[1], None], strict=True):
        assert tokens_of(each) == alone(folder, adapter, each.prompt)[: each.limit]


def test_a_recurrent_family_is_served_one_after_the_other_by_the_same_interface(tmp_path: Path) -> None:
    from transformers import AutoConfig

    sizes = {"vocab_size": 400, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}
    folder = tiny_model(tmp_path / "base", AutoConfig.for_model("mamba", **sizes))
    engine = TransformersEngines()(folder, None)
    assert engine.base.decoder is None
    answers: dict[int, str] = {}

    def ask(index: int) -> None:
        generation = Generation([{"role": "user", "content": "tests"}], max_tokens=6, temperature=0.0)
        answers[index] = "".join(piece.text for piece in engine.generate(generation))

    together(ask, 3)
    assert len(answers) == 3
    assert len(set(answers.values())) == 1
    late = engine.base.tokens([1, 2], 9, Generation([], temperature=0.0, seconds=0.05), None)
    with engine.base._lock:  # another is being answered until this one's time is over
        waiting = threading.Thread(target=lambda: answers.update({-1: str(len(list(late)))}))
        waiting.start()
        time.sleep(0.2)
    waiting.join()
    assert answers[-1] == "1"


def together(ask: object, count: int) -> None:
    """Call ask(0) … ask(count - 1) in threads of their own."""
    threads = [threading.Thread(target=ask, args=(index,)) for index in range(count)]  # type: ignore[arg-type]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    return Base(make_base(tmp_path_factory.mktemp("models") / "base"))


@pytest.fixture(scope="module")
def adapters(base: Base, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("adapters")
    dora = any_adapter(base.folder, folder / "dora", 3, use_dora=True)
    return [make_adapter(base.folder, folder / "one", 1), make_adapter(base.folder, folder / "two", 2), dora]


def ask(base: Base, adapter: Path | None, **options: object) -> str:
    generation = Generation(
        [{"role": "user", "content": "Write."}], **{"max_tokens": 12, "temperature": 0.0, **options}
    )  # type: ignore[arg-type]
    return "".join(piece.text for piece in TransformersEngine(base, adapter).generate(generation))


def test_many_threads_with_adapters_that_mix_and_one_that_cannot(base: Base, adapters: list[Path]) -> None:
    asked = [*adapters, None] * 3
    expected = {adapter: ask(base, adapter) for adapter in set(asked)}
    assert len(set(expected.values())) == 4
    answers: dict[int, str] = {}
    widest: list[int] = []
    forward = base._forward

    def counted(tokens, *rest):  # type: ignore[no-untyped-def]
        widest.append(len(tokens))
        return forward(tokens, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "_forward", counted)
        together(lambda index: answers.__setitem__(index, ask(base, asked[index], max_tokens=12)), len(asked))
    assert [answers[index] for index in range(len(asked))] == [expected[adapter] for adapter in asked]
    assert max(widest) > 1


def test_ranks_and_scalings_are_those_of_the_adapter(base: Base, tmp_path: Path) -> None:
    from twin_assets.core.prompts import encode_prompt

    patterns = {"rank_pattern": {"q_proj": 8, r"layers\.1\.mlp\.up_proj": 2}, "alpha_pattern": {"v_proj": 99}}
    other = any_adapter(base.folder, tmp_path / "adapter", 7, use_rslora=True, **patterns)
    prompt = encode_prompt(base.tokenizer, [{"role": "user", "content": "Write."}])
    assert ask(base, other) == base.tokenizer.decode(alone(base.folder, other, prompt), skip_special_tokens=True)
    assert ask(base, other) != ask(base, None)


def test_each_row_draws_by_itself(base: Base) -> None:
    import torch

    hot = Generation([], temperature=1.0, seed=5)
    scores = torch.randn(3, 50, generator=torch.Generator().manual_seed(1))
    rows = [row([1], None), row([1], None, generation=hot), row([1], None, generation=hot)]
    drawn = [choose(scores[[0, 1, 1]], rows) for _ in range(20)]
    assert {tokens[0] for tokens in drawn} == {int(scores[0].argmax())}
    assert all(tokens[1] == tokens[2] for tokens in drawn)
    assert len({tokens[1] for tokens in drawn}) > 5
    # Of the likeliest token alone, whatever the temperature.
    narrow = Generation([], temperature=2.0, top_p=1e-6)
    assert choose(scores[:1], [row([1], None, generation=narrow)]) == [int(scores[0].argmax())]


def test_a_failing_step_ends_its_rows_and_the_next_request_is_answered(
    base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ask(base, None)

    def broken(*_: object) -> None:
        raise RuntimeError("out of memory.")

    monkeypatch.setattr(base, "_forward", broken)
    with pytest.raises(ModelError, match=r"Generating failed: out of memory\."):
        ask(base, None)
    monkeypatch.undo()
    assert ask(base, None) == whole


def test_a_closed_answer_leaves_the_batch_and_time_ends_one(base: Base) -> None:
    decoder = base.decoder
    assert decoder is not None
    answer = TransformersEngine(base, None).generate(Generation([{"role": "user", "content": "x"}], max_tokens=450))
    next(answer)
    answer.close()  # type: ignore[attr-defined]
    late = Generation([{"role": "user", "content": "x"}], max_tokens=450, temperature=0.0, seconds=0.0)
    pieces = list(TransformersEngine(base, None).generate(late))
    assert pieces[-1].finish == "length"
    assert pieces[-1].completion_tokens == 1
    assert decoder.call(lambda: sum(len(batch.rows) for batch in decoder._batches.values())) == 0


def test_adapters_leave_by_size_and_never_while_they_are_used(adapters: list[Path], base: Base) -> None:
    size = (adapters[0] / "adapter_model.safetensors").stat().st_size
    small = Base(base.folder, adapter_bytes=size)
    with small.using(adapters[0]) as (first, seconds):
        assert seconds is not None
        ask(small, adapters[1])
        assert next(iter(small.adapters.values())) is first
        with small.using(adapters[0]) as (again, seconds):
            assert (again, seconds) == (first, None)
    ask(small, adapters[1])
    assert [Path(key) for key in small.adapters] == [adapters[1].resolve()]
    ask(small, adapters[2])  # put in by PEFT, and taken out again
    assert set(small.model.peft_config) == {adapter.name for adapter in small.adapters.values()}
    assert ask(small, adapters[0]) == ask(base, adapters[0])
    assert not hasattr(small.model, "peft_config")
    assert ask(small, adapters[2]) == ask(base, adapters[2])
