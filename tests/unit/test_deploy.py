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
DEPLOY = ROOT / "deploy"


class Loader(yaml.SafeLoader):
    """Reads compose's `!override` as the value it marks."""


Loader.add_constructor("!override", lambda loader, node: loader.construct_sequence(node, deep=True))

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
REPLICAS = yaml.load((DEPLOY / "compose.replicas.yml").read_text(), Loader)
KUBERNETES = {
    path.name: list(yaml.safe_load_all(path.read_text())) for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
}
KUSTOMIZATION, ADAPTER = KUBERNETES.pop("kustomization.yaml")[0], KUBERNETES.pop("adapter.yaml")[0]
OBJECTS = {(found["kind"], found["metadata"]["name"]): found for file in KUBERNETES.values() for found in file}
WORKLOADS = [found for (kind, _), found in OBJECTS.items() if kind in ("Deployment", "StatefulSet")]
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


def test_replicas_of_serving_stand_behind_the_balancer(tmp_path):
    merged = {
        **COMPOSE["services"],
        **{name: COMPOSE["services"].get(name, {}) | each for name, each in REPLICAS["services"].items()},
    }
    assert merged["serving"]["ports"] == []
    assert merged["balancer"]["ports"] == ["127.0.0.1:8100:8100"]
    (volume,) = merged["balancer"]["volumes"]
    text = (ROOT / volume.split(":")[0]).read_text()
    assert re.findall(r"server (\w+):(\d+);", text) == [
        ("serving", COMPOSE["services"]["serving"]["environment"]["TWIN_PORT"])
    ]
    assert "proxy_buffering off;" in text, "drafts stream"
    assert REPLICAS["services"]["ui"]["environment"]["TWIN_SERVING_URL"] == "http://balancer:8100"
    written = tmp_path / "merged.yml"
    written.write_text(yaml.safe_dump({**COMPOSE, "services": merged}))
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(written)]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_manifests_hold_together():
    assert set(KUSTOMIZATION["resources"]) == set(KUBERNETES)
    claims = {name for kind, name in OBJECTS if kind == "PersistentVolumeClaim"}
    for found in WORKLOADS:
        pod = found["spec"]["template"]
        labels = pod["metadata"]["labels"]
        assert found["spec"]["selector"]["matchLabels"].items() <= labels.items()
        volumes = {volume["name"] for volume in pod["spec"].get("volumes", [])}
        volumes |= {claim["metadata"]["name"] for claim in found["spec"].get("volumeClaimTemplates", [])}
        assert {v["persistentVolumeClaim"]["claimName"] for v in pod["spec"].get("volumes", [])} <= claims
        for container in pod["spec"]["containers"]:
            ports = {port["name"] for port in container.get("ports", [])}
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                assert container.get(probe, {}).get("httpGet", {}).get("port", next(iter(ports), None)) in {
                    *ports,
                    None,
                }
            assert {mount["name"] for mount in container.get("volumeMounts", [])} <= volumes
            assert container["image"].partition(":")[0] in {
                "llm-twin/pipelines",
                "llm-twin/serving",
                "llm-twin/ui",
                "qdrant/qdrant",
            }
    for (kind, name), service in OBJECTS.items():
        if kind != "Service":
            continue
        (port,) = service["spec"]["ports"]
        behind = [
            c for w in WORKLOADS if w["metadata"]["name"] == name for c in w["spec"]["template"]["spec"]["containers"]
        ]
        assert port["port"] in [
            p["containerPort"] for c in behind for p in c.get("ports", []) if p["name"] == port["targetPort"]
        ]


def _settings_of(container):
    names = {entry["name"] for entry in container.get("env", [])}
    for source in container.get("envFrom", []):
        if "configMapRef" in source:
            (made,) = KUSTOMIZATION["configMapGenerator"]
            assert made["name"] == source["configMapRef"]["name"]
            names |= {literal.partition("=")[0] for literal in made["literals"]}
    return names


def test_every_setting_of_the_manifests_is_read_by_something():
    read = {f"TWIN_{field.upper()}" for field in Settings.model_fields}
    read |= set(re.findall(r"env: (\w+)", (DEPLOY / "dagster.yaml").read_text()))
    read |= {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "MLFLOW_S3_ENDPOINT_URL", "MLFLOW_DISABLE_TELEMETRY"}
    read |= {"MLFLOW_DATABASE", "QDRANT__TELEMETRY_DISABLED"}
    secrets = set(re.findall(r"--from-literal=(\w+)=", (DEPLOY / "README.md").read_text()))
    for found in WORKLOADS:
        for container in found["spec"]["template"]["spec"]["containers"]:
            assert _settings_of(container) <= read
            for entry in container.get("env", []):
                key = entry.get("valueFrom", {}).get("secretKeyRef", {}).get("key")
                assert key is None or key in secrets, f"the README makes no secret {key}"
    assert secrets <= read
    assert set(re.findall(r"env: (\w+)", (DEPLOY / "dagster.yaml").read_text())) <= secrets | {
        literal.partition("=")[0] for literal in KUSTOMIZATION["configMapGenerator"][0]["literals"]
    }


def test_what_the_parts_call_each_other_is_a_service_at_its_port():
    outside = {"s3", "postgres"}  # the cluster's own
    for literal in KUSTOMIZATION["configMapGenerator"][0]["literals"]:
        for host, port in re.findall(r"http://([a-z0-9]+):(\d+)", literal):
            assert host in outside or OBJECTS["Service", host]["spec"]["ports"][0]["port"] == int(port), literal
    environment = COMPOSE["services"]["serving"]["environment"]
    serving = next(w for w in WORKLOADS if w["metadata"]["name"] == "serving")["spec"]["template"]["spec"]
    assert OBJECTS["Service", "serving"]["spec"]["ports"][0]["port"] == int(environment["TWIN_PORT"])
    assert serving["terminationGracePeriodSeconds"] > Settings.model_fields["serving_drain_seconds"].default


def test_the_autoscaler_asks_for_metrics_that_the_server_has():
    from prometheus_client import generate_latest

    from twin_serving.telemetry.metrics import REGISTRY

    told = set(re.findall(r"^# TYPE (\w+) ", generate_latest(REGISTRY).decode(), re.MULTILINE))
    scaler = OBJECTS["HorizontalPodAutoscaler", "serving"]["spec"]
    assert (scaler["scaleTargetRef"]["kind"], scaler["scaleTargetRef"]["name"]) in OBJECTS
    wanted = {(m["type"].lower(), m[m["type"].lower()]["metric"]["name"]) for m in scaler["metrics"]}
    rules = {("external", rule["seriesQuery"].partition("{")[0]) for rule in ADAPTER["rules"]["external"]}
    rules |= {("pods", rule["seriesQuery"].partition("{")[0]) for rule in ADAPTER["rules"]["custom"]}
    assert wanted == rules
    assert {name for _, name in wanted} <= told
    assert "replicas" not in OBJECTS["Deployment", "serving"]["spec"], "it would undo what the autoscaler says"
    monitor = OBJECTS["PodMonitor", "serving"]["spec"]
    assert (
        monitor["selector"]["matchLabels"].items()
        <= OBJECTS["Deployment", "serving"]["spec"]["template"]["metadata"]["labels"].items()
    )
