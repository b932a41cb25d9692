"""The reference engine on a tiny random Llama with two adapters."""

from itertools import pairwise
from pathlib import Path

import pytest

from tests.serving_models import CONTEXT, make_adapter, make_base
from twin_assets.core.errors import InputError, ModelError
from twin_serving.engines.streaming import Generation, Piece
from twin_serving.engines.transformers_engine import TransformersEngines

ASK = [{"role": "user", "content": "Write about tests."}]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    base = make_base(folder / "base")
    return base, make_adapter(base, folder / "one", 1), make_adapter(base, folder / "two", 2)


@pytest.fixture(scope="module")
def pool() -> TransformersEngines:
    return TransformersEngines()


def text(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def generate(pool: TransformersEngines, base: Path, adapter: Path | None, **options: object) -> list[Piece]:
    options = {"messages": ASK, "max_tokens": 12, "temperature": 0.0, **options}
    return list(pool(base, adapter).generate(Generation(**options)))  # type: ignore[arg-type]


def test_adapters_share_a_base_and_answer_as_if_alone(
    pool: TransformersEngines, folders: tuple[Path, Path, Path]
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from twin_assets.core.prompts import encode_prompt

    base, *adapters = folders
    together = [text(generate(pool, base, adapter)) for adapter in (*adapters, None, *adapters)]
    assert len(pool.bases) == 1
    tokenizer = AutoTokenizer.from_pretrained(base)
    alone = []
    for adapter in (*adapters, None):
        model = AutoModelForCausalLM.from_pretrained(base)
        model = model if adapter is None else PeftModel.from_pretrained(model, str(adapter))
        prompt = torch.tensor([encode_prompt(tokenizer, ASK)])
        ids = model.eval().generate(
            input_ids=prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=12, do_sample=False
        )
        alone.append(tokenizer.decode(ids[0, prompt.shape[1] :], skip_special_tokens=True))
    assert together == [*alone, *alone[:2]]
    assert len(set(alone)) == 3


def test_counts_and_finish(pool: TransformersEngines, folders: tuple[Path, Path, Path]) -> None:
    pieces = generate(pool, folders[0], folders[1])
    assert [piece.finish for piece in pieces[:-1]] == [None] * (len(pieces) - 1)
    assert pieces[-1].finish == "length"
    assert pieces[-1].completion_tokens == 12
    assert all(a.completion_tokens <= b.completion_tokens for a, b in pairwise(pieces))


def test_a_stop_string_ends_the_answer_and_is_not_part_of_it(
    pool: TransformersEngines, folders: tuple[Path, Path, Path]
) -> None:
    whole = text(generate(pool, folders[0], folders[2], max_tokens=40))
    stop = whole[10:13]
    stopped = generate(pool, folders[0], folders[2], max_tokens=40, stop=(stop,))
    assert text(stopped) == whole[: whole.index(stop)]
    assert stopped[-1].finish == "stop"
    assert stopped[-1].completion_tokens < 40


def test_a_seed_repeats_and_another_does_not(pool: TransformersEngines, folders: tuple[Path, Path, Path]) -> None:
    drawn = [text(generate(pool, folders[0], folders[1], temperature=1.0, seed=seed)) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_closing_early_leaves_the_engine_ready(pool: TransformersEngines, folders: tuple[Path, Path, Path]) -> None:
    pieces = pool(folders[0], folders[1]).generate(Generation(ASK, max_tokens=400, temperature=0.0))
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    assert text(generate(pool, folders[0], folders[1])) == text(generate(pool, folders[0], folders[1]))


def test_a_prompt_that_does_not_fit_is_refused(pool: TransformersEngines, folders: tuple[Path, Path, Path]) -> None:
    long = [{"role": "user", "content": "word " * CONTEXT}]
    with pytest.raises(InputError, match=f"the model reads {CONTEXT}"):
        generate(pool, folders[0], folders[1], messages=long)
    # What fits is answered in the room that is left.
    tight = [{"role": "user", "content": "a b " * 100}]
    pieces = generate(pool, folders[0], folders[1], messages=tight, max_tokens=5000)
    assert pieces[-1].prompt_tokens + pieces[-1].completion_tokens <= CONTEXT


def test_what_cannot_be_loaded_says_so(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    pool = TransformersEngines()
    with pytest.raises(ModelError, match="cannot be loaded"):
        pool(tmp_path / "nothing", None)
    with pytest.raises(ModelError, match=r"no adapter_model\.safetensors"):
        pool(folders[0], tmp_path)


def test_least_recently_used_bases_and_adapters_leave(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    pool = TransformersEngines(max_bases=1, adapter_bytes=1)
    before = text(generate(pool, folders[0], folders[1]))
    assert text(generate(pool, folders[0], folders[2])) != before
    assert text(generate(pool, folders[0], folders[1])) == before
    other = make_base(tmp_path / "other", seed=9)
    generate(pool, other, None)
    assert [Path(key) for key in pool.bases] == [other.resolve()]
