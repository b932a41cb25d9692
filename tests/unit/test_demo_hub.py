"""The loopback hub satisfies the hub's real clients."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from demo.hub import HubServer

MODEL = "tiny/llama"

# In an interpreter of its own: the hub's clients read their endpoint when they are imported.
LOAD_MODEL = """
import json, sys
from transformers import AutoConfig, AutoModelForCausalLM
config = AutoConfig.from_pretrained(sys.argv[1])
model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
answer = {"type": config.model_type, "hidden": config.hidden_size}
print(json.dumps(answer | {"total": model.lm_head.weight.sum().item()}))
AutoConfig.from_pretrained("tiny/absent")
"""


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of a few thousand parameters, saved as the hub keeps models."""
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("models") / "llama"
    config = LlamaConfig(
        vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture
def hub(model_folder: Path) -> Iterator[HubServer]:
    with HubServer({MODEL: model_folder}) as server:
        yield server


def test_snapshot_download_fetches_every_file(hub: HubServer, model_folder: Path, tmp_path: Path) -> None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    def download(model: str, revision: str | None = None) -> Path:
        return Path(snapshot_download(model, revision=revision, endpoint=hub.url, cache_dir=tmp_path, token=False))

    snapshot = download(MODEL)
    names = {path.name for path in model_folder.iterdir()}
    assert {path.name for path in snapshot.iterdir()} == names
    assert all((snapshot / name).read_bytes() == (model_folder / name).read_bytes() for name in names)
    asked = len(hub.requests)
    assert download(MODEL, snapshot.name) == snapshot  # the commit names the folder; nothing is fetched twice
    assert all("/resolve/" not in each.path for each in hub.requests[asked:])
    with pytest.raises(RepositoryNotFoundError):
        download("tiny/absent")
    with pytest.raises(RevisionNotFoundError):
        download(MODEL, "v9")


def test_transformers_loads_from_the_endpoint(hub: HubServer, model_folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0", "NO_PROXY": "*"}
    command = [sys.executable, "-c", LOAD_MODEL, MODEL]
    ran = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.stdout, ran.stderr
    answer = json.loads(ran.stdout.splitlines()[-1])
    assert (answer["type"], answer["hidden"]) == ("llama", 16)
    weights = load_file(model_folder / "model.safetensors")["lm_head.weight"]
    assert answer["total"] == pytest.approx(float(weights.sum()), abs=1e-4)
    assert ran.returncode != 0
    assert "tiny/absent is not a local folder" in ran.stderr


def test_protocol(hub: HubServer, model_folder: Path) -> None:
    data = (model_folder / "model.safetensors").read_bytes()
    with httpx.Client(base_url=hub.url, trust_env=False) as client:
        about = client.get(f"/api/models/{MODEL}").json()
        assert "config.json" in [each["rfilename"] for each in about["siblings"]]
        assert client.get(f"/api/models/{MODEL}/revision/{about['sha']}").json() == about
        tree = {row["path"]: row for row in client.get(f"/api/models/{MODEL}/tree/main?recursive=True").json()}
        assert tree["model.safetensors"]["lfs"]["size"] == len(data)
        head = client.head(f"/{MODEL}/resolve/main/model.safetensors")
        assert head.status_code == 302
        assert (head.headers["x-linked-size"], head.headers["x-repo-commit"]) == (
            str(len(data)),
            about["sha"],
        )
        part = client.get(head.headers["location"], headers={"Range": "bytes=100-"})
        assert (part.status_code, part.content) == (206, data[100:])
        past = client.get(head.headers["location"], headers={"Range": f"bytes={len(data)}-"})
        assert past.status_code == 416
        absent = client.get(f"/{MODEL}/resolve/main/nothing.bin")
        assert (absent.status_code, absent.headers["x-error-code"]) == (404, "EntryNotFound")
        hub.fail(f"/{MODEL}", status=503)
        assert client.get(f"/{MODEL}/resolve/main/config.json").status_code == 503
