"""Training for real on tiny models: nano, a hub id and a folder; nothing trained twice."""

import json
import subprocess
import sys

import pytest
from training_corpus import AUTHOR, document, documents, fill, tiny_model

from demo.hub import HubServer
from twin_assets.core import datasets
from twin_assets.core.errors import ModelError, TooLittleTextError, UnknownModelError
from twin_assets.core.training.bases import AUTO_BASES, resolve_base
from twin_assets.core.training.loading import load_version
from twin_assets.core.training.preflight import Workload
from twin_assets.core.training.train import train
from twin_assets.core.workspace import Workspace

DEAD_HUB = "http://127.0.0.1:9"
QUICK = {"training_minutes": 0.1, "hub_endpoint": DEAD_HUB}


def filled(home, **settings) -> tuple[Workspace, datasets.Dataset]:
    workspace = Workspace(home.model_copy(update=QUICK | settings))
    fill(workspace, count=40)
    datasets.update_samples(workspace, AUTHOR.id)
    return workspace, datasets.load_dataset(workspace.lake, AUTHOR.id)


def test_nano_trains_for_real_and_once(home, monkeypatch):
    from twin_assets.core.training import nano

    workspace, dataset = filled(home)
    seen = []
    build = nano.build_nano
    monkeypatch.setattr(nano, "build_nano", lambda texts, *args, **kw: seen.extend(texts) or build(texts, *args, **kw))
    stages = []
    done = train(workspace, AUTHOR, dataset, lambda stage, share: stages.append(stage), dagster_run_id="run-1")
    held_out = set(dataset.split("test")["target"]) | set(dataset.split("validation")["target"])
    assert seen
    assert not held_out & set(seen)
    assert {"training the nano base", "fine-tuning"} <= set(stages)
    assert done.trained
    version = done.version
    assert (version.version, version.is_nano, version.status) == ("1", True, "candidate")
    assert "is not reached" in done.base.why
    assert version.metrics["held_out_loss"] < version.metrics["held_out_loss_base"]
    run = workspace.registry._client.get_run(version.run_id)
    assert run.data.params["dataset_version"] == dataset.version
    assert run.data.params["dagster_run_id"] == "run-1"

    model, tokenizer = load_version(workspace, version)
    assert 1_000_000 < model.get_base_model().num_parameters() < 4_000_000
    assert tokenizer.decode(tokenizer("It’s 🧵 ok")["input_ids"]) == "It’s 🧵 ok"
    folder = workspace.registry.folder(AUTHOR.id, "1")
    assert json.loads((folder / "adapter" / "adapter_config.json").read_text())["base_model_name_or_path"] == "nano"
    assert str(home.home) not in "".join(p.read_text() for p in folder.rglob("*.json"))

    code = (
        "import sys; from pathlib import Path\n"
        "from twin_assets.core.datasets import load_dataset; from twin_assets.core.workspace import Workspace\n"
        "from twin_assets.core.training.train import train; from twin_assets.settings import Settings\n"
        "workspace = Workspace(Settings(home=Path(sys.argv[1]), training_minutes=0.1, hub_endpoint=sys.argv[2]))\n"
        "done = train(workspace, workspace.authors.get('demo'), load_dataset(workspace.lake, 'demo'))\n"
        "assert not done.trained and done.version.version == '1'\n"
        "assert 'torch' not in sys.modules, 'an unchanged dataset must not cost an import of torch'\n"
    )
    again = subprocess.run([sys.executable, "-c", code, str(home.home), DEAD_HUB], capture_output=True, text=True)
    assert again.returncode == 0, again.stderr


GPT_NEOX = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.mark.parametrize("way", ["hub", "folder"])
def test_other_models_go_the_same_way(home, tmp_path, way):
    from transformers import GPTNeoXConfig, Qwen2Config

    if way == "hub":
        shape = Qwen2Config(vocab_size=400, num_key_value_heads=2, tie_word_embeddings=True, **GPT_NEOX)
        made = tiny_model(tmp_path / "model", shape, CHATML)
    else:  # a tokenizer without a chat template
        made = tiny_model(tmp_path / "model", GPTNeoXConfig(vocab_size=400, **GPT_NEOX))
    (made / "pytorch_model.bin").write_bytes(b"never to be fetched")
    with HubServer({"tiny/qwen": made}) as hub:
        setting = "tiny/qwen" if way == "hub" else str(made)
        workspace, dataset = filled(home, base_model=setting, hub_endpoint=hub.url)
        done = train(workspace, AUTHOR, dataset)
    assert (done.base.kind, done.base.name) == (way, setting)
    assert not done.version.is_nano
    assert not list((workspace.settings.models_folder).rglob("*.bin"))
    folder = workspace.registry.folder(AUTHOR.id, "1")
    assert [path.name for path in folder.iterdir() if path.is_dir()] == ["adapter"]
    # The hub is gone by now; what was fetched is still here.
    model, tokenizer = load_version(workspace, done.version)
    assert tokenizer.chat_template
    ids = tokenizer("Write.", return_tensors="pt")
    written = model.generate(**ids, max_new_tokens=5, do_sample=False)
    assert written.shape[1] > ids["input_ids"].shape[1]


def test_too_little_text(home):
    workspace = Workspace(home.model_copy(update=QUICK))
    workspace.authors.save(AUTHOR)
    workspace.lake.append("documents", documents([document("a", "Just one short post about looms.")]))
    datasets.update_samples(workspace, AUTHOR.id)
    with pytest.raises(TooLittleTextError, match="too little writing of Demo Author"):
        train(workspace, AUTHOR, datasets.load_dataset(workspace.lake, AUTHOR.id))
    assert workspace.registry.versions(AUTHOR.id) == []


def test_bases(home, tmp_path):
    from transformers import LlamaConfig

    made = tiny_model(tmp_path / "model", LlamaConfig(vocab_size=400, **GPT_NEOX))
    dead = home.model_copy(update=QUICK)
    assert resolve_base("nano", dead).kind == "nano"
    auto = resolve_base("auto", dead)
    assert auto.kind == "nano"
    assert DEAD_HUB in auto.why
    for wrong in ("no such thing", "owner/model"):
        with pytest.raises(UnknownModelError, match=wrong):
            resolve_base(wrong, dead)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnknownModelError, match=r"no config\.json"):
        resolve_base(str(tmp_path / "empty"), dead)
    with HubServer({name: made for name, _ in AUTO_BASES}) as hub:
        alive = home.model_copy(update={"hub_endpoint": hub.url})
        chosen = resolve_base("auto", alive, Workload(tokens=100))
        assert chosen.kind == "hub"
        assert chosen.name in dict(AUTO_BASES)
        assert "largest" in chosen.why
        assert resolve_base("auto", alive, Workload(tokens=10**12)).kind == "nano"
        with pytest.raises(UnknownModelError, match="has no model 'owner/other'"):
            resolve_base("owner/other", alive)
    (made / "model.safetensors").rename(made / "pytorch_model.bin")
    with pytest.raises(ModelError, match="no safetensors"):
        resolve_base(str(made), dead)
