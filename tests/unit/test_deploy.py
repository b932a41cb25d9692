"""docker-compose.yml, as far as it can be checked without a Docker engine: schema, builds, commands, settings."""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from twin_assets.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}


def test_it_follows_the_compose_specification():
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*check, "docker-compose.yml"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", OURS)
def test_every_image_can_be_built_from_what_is_here(name):
    build = OURS[name]["build"]
    text = (ROOT / build["context"] / build["dockerfile"]).read_text()
    assert re.search(rf"^FROM base AS {build['target']}$", text, re.MULTILINE)
    for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE):
        *sources, _ = line.split()
        for source in sources:
            assert (ROOT / build["context"] / source).exists(), f"{source} is copied but not there"
    extras = set(re.findall(r'"\.\[([a-z,]+)\]"', text))
    known = set(re.findall(r"^([a-z]+) = \[$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE))
    assert {extra for group in extras for extra in group.split(",")} <= known


@pytest.mark.parametrize("name", OURS)
def test_every_command_exists(name):
    executable, *arguments = OURS[name]["command"]
    if executable == "python":
        assert arguments[0] == "-m"
        assert importlib.util.find_spec(arguments[1]) is not None
        return
    path = shutil.which(executable, path=str(Path(sys.executable).parent))
    assert path, f"{executable} is not installed by the lock"
    words = [word for word in arguments if not word.startswith("-") and "/" not in word]
    help_text = subprocess.run([path, *words, "--help"], capture_output=True, text=True, timeout=120)
    assert help_text.returncode == 0
    for option in (word.split("=")[0] for word in arguments if word.startswith("--")):
        if executable != "streamlit":  # its --help leaves the --server.* options to `streamlit config show`
            assert option in help_text.stdout, f"{executable} has no {option}"
    if executable == "streamlit":
        shown = subprocess.run([path, "config", "show"], capture_output=True, text=True, timeout=120).stdout
        for section, option in re.findall(r"--([a-z]+)\.([a-zA-Z]+)=", " ".join(arguments)):
            assert f"[{section}]" in shown
            assert re.search(rf"^#?\s*{option} = ", shown, re.MULTILINE)


@pytest.mark.parametrize("name", OURS)
def test_every_setting_is_read_by_something(name):
    read = {f"TWIN_{field.upper()}" for field in Settings.model_fields}
    read |= set(re.findall(r"env: (\w+)", (ROOT / "deploy" / "dagster.yaml").read_text()))
    read |= {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "MLFLOW_S3_ENDPOINT_URL", "MLFLOW_DISABLE_TELEMETRY"}
    assert set(OURS[name]["environment"]) <= read


def test_what_dagster_wants_from_the_environment_is_passed():
    wanted = set(re.findall(r"env: (\w+)", (ROOT / "deploy" / "dagster.yaml").read_text()))
    for name in ("code", "dagster", "daemon"):
        assert wanted <= set(SERVICES[name]["environment"])


def test_ports_are_published_on_loopback_only():
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_no_secret_has_a_default():
    text = (ROOT / "docker-compose.yml").read_text()
    for name in ("TWIN_API_KEY", "POSTGRES_PASSWORD", "S3_SECRET_KEY"):
        assert f"${{{name}:?" in text
        assert f"${{{name}:-" not in text


def test_what_services_depend_on_is_there():
    for service in SERVICES.values():
        assert set(service.get("depends_on", {})) <= set(SERVICES)
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or (ROOT / source).exists()


def test_the_image_of_the_serving_api_carries_no_dagster_and_the_page_no_torch():
    text = (ROOT / "pyproject.toml").read_text()
    for extra, unwanted in (("serving", "dagster"), ("ui", "torch"), ("core", "dagster")):
        body = re.search(rf"^{extra} = \[(.*?)^\]", text, re.MULTILINE | re.DOTALL).group(1)
        assert unwanted not in body
