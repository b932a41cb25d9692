"""Every family of models goes the whole way: dataset, supervised fine-tuning, adapter, generation."""

import pytest
from training_corpus import AUTHOR, tiny_model
from training_models import QUICK, SIZES, one_thread, posts_dataset  # noqa: F401

from twin_assets.core.prompts import encode_prompt, messages
from twin_assets.core.training.families import FAMILIES, OTHER, family_of
from twin_assets.core.training.recipes import changed
from twin_assets.core.training.sft import fine_tune

GROUPED = SIZES | {"num_key_value_heads": 2}
# A family's template that refuses a system role, as Gemma's does.
NO_SYSTEM = (
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "<|{{ m['role'] }}|>{{ m['content'] }}{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SHAPES = {
    "llama": SIZES,
    "mistral": GROUPED,
    "qwen2": GROUPED,
    "gemma": GROUPED | {"head_dim": 8},
    "phi": SIZES,
    "phi3": SIZES | {"pad_token_id": 0},
    "gpt2": {"vocab_size": 400, "n_layer": 2, "n_embd": 32, "n_head": 2},
    "gpt_neox": SIZES,
    "gpt_oss": GROUPED | {"head_dim": 8, "num_local_experts": 2, "num_experts_per_tok": 1},
}


@pytest.mark.parametrize("model_type", sorted(SHAPES))
def test_a_family_goes_the_whole_way(model_type, tmp_path):
    import torch
    from peft import PeftModel
    from safetensors import safe_open
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    configuration = AutoConfig.for_model(model_type, **SHAPES[model_type])
    family = family_of(configuration.to_dict())
    assert family is not OTHER
    base = tiny_model(tmp_path / "base", configuration, NO_SYSTEM if model_type == "gemma" else None)
    recipe = changed(QUICK, {"epochs": 1, "checkpoint_steps": 0})
    metrics = fine_tune(base, "tiny", AUTHOR.name, posts_dataset(20), recipe, tmp_path)
    assert metrics["training_steps"] == 2
    assert metrics["validation_loss"] != metrics["validation_loss_base"]

    adapter = tmp_path / "adapter"
    with safe_open(adapter / "adapter_model.safetensors", framework="numpy") as weights:
        reached = {name.split(".")[-3] for name in weights.keys() if "lora_A" in name}  # noqa: SIM118
    assert reached == set(family.target_modules)
    tokenizer = AutoTokenizer.from_pretrained(adapter)
    loaded = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter).eval()
    prompt = torch.tensor([encode_prompt(tokenizer, messages(AUTHOR.name, "post", "Write about looms."))])
    written = loaded.generate(input_ids=prompt, max_new_tokens=4, min_new_tokens=4, do_sample=False)
    assert written.shape[1] == prompt.shape[1] + 4


def test_the_named_families_are_in_the_table():
    named = {"Llama", "Mistral", "Qwen", "Gemma", "Phi", "GPT-2", "GPT-NeoX", "gpt-oss"}
    assert {family.name for family in FAMILIES} >= named
