"""Running everything on one machine (`twin up`) and checking it (`twin doctor`)."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from twin_assets.core.errors import ConfigurationError, TwinError
from twin_assets.settings import Settings

DEMO_PORT = 8731
# honcho's exit codes after Ctrl-C and after SIGTERM.
STOPPED_BY_PERSON = (130, 143)


def port_is_free(host: str, port: int) -> bool:
    """Whether a server could bind this port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def service_ports(settings: Settings) -> dict[str, tuple[str, int]]:
    """Name of each service's port setting with the port."""
    return {
        "TWIN_DAGSTER_PORT": ("Dagster", settings.dagster_port),
        "TWIN_PORT": ("the serving API", settings.port),
        "TWIN_UI_PORT": ("the page", settings.ui_port),
        "TWIN_MLFLOW_PORT": ("MLflow", settings.mlflow_port),
    }


def up(settings: Settings, *, demo: bool = False) -> int:
    """Start the Procfile's processes under honcho until Ctrl-C and return honcho's exit code.

    demo: also play the demo author's platforms. Raises ConfigurationError where a port is taken.
    """
    from twin_assets.defs.launch import dagster_environment, dagster_folder, make_storage

    ports = service_ports(settings)
    for variable, (name, port) in ports.items():
        if not port_is_free("127.0.0.1", port):
            raise ConfigurationError(
                f"Port {port} for {name} is in use; stop what uses it or set {variable} to another one."
            )
    (settings.home / "mlflow").mkdir(parents=True, exist_ok=True)
    make_storage(settings)
    environment = os.environ | dagster_environment(settings)
    environment |= {variable: str(port) for variable, (_, port) in ports.items()}
    environment |= {
        "TWIN_HOST": "127.0.0.1",
        "TWIN_SERVING_URL": f"http://127.0.0.1:{settings.port}",
        "TWIN_DAGSTER_URL": f"http://127.0.0.1:{settings.dagster_port}",
        "TWIN_MLFLOW_UI_URL": f"http://127.0.0.1:{settings.mlflow_port}",
        "TWIN_MLFLOW_TRACKING_URI": settings.tracking_uri,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PYTHONUNBUFFERED": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }
    if demo:
        environment["TWIN_ALLOWED_HOSTS"] = ",".join(
            name for name in (settings.allowed_hosts, f"127.0.0.1:{DEMO_PORT}") if name
        )
    print(f"The page:      http://127.0.0.1:{settings.ui_port}")
    print(f"Dagster:       {environment['TWIN_DAGSTER_URL']}")
    print(f"Serving API:   {environment['TWIN_SERVING_URL']}/docs")
    print(f"MLflow:        {environment['TWIN_MLFLOW_UI_URL']}")
    print("Ctrl-C stops all of them.", flush=True)
    root = dagster_folder()
    with tempfile.TemporaryDirectory() as folder:
        procfile = Path(folder, "Procfile")
        text = (root / "Procfile").read_text(encoding="utf-8")
        if demo:
            text += f"platforms: python -m demo.server --port {DEMO_PORT}\n"
        procfile.write_text(text, encoding="utf-8")
        command = [sys.executable, "-m", "honcho", "-f", str(procfile), "-d", str(root), "start"]
        process = subprocess.Popen(command, env=environment, cwd=root)
        # A service manager, or `kill`, tells this process alone.
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        while True:
            try:
                code = process.wait()
            except KeyboardInterrupt:
                # Ctrl-C went to honcho as well, which is stopping its processes: wait for it.
                continue
            return 0 if code in STOPPED_BY_PERSON else code


def _finding(what: str, state: str, detail: str, remedy: str = "") -> dict[str, str]:
    return {"what": what, "state": state, "detail": detail, "do": remedy}


def _packages() -> dict[str, str]:
    wanted = ("dagster", "polars", "deltalake", "qdrant-edge-py", "fastembed", "torch", "mlflow", "litserve")
    missing = []
    for name in (*wanted, "streamlit"):
        try:
            version(name)
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        return _finding("packages", "wrong", f"missing: {', '.join(missing)}", "run `make install`")
    return _finding("packages", "ok", f"dagster {version('dagster')}, torch {version('torch')}")


def _home(settings: Settings) -> dict[str, str]:
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=settings.home):
            pass
    except OSError as error:
        return _finding("home", "wrong", f"{settings.home}: {error}", "make it writable or set TWIN_HOME")
    free = shutil.disk_usage(settings.home).free / 2**30
    if free < 2:
        return _finding(
            "home", "wrong", f"{settings.home}: {free:.1f} GiB free", "free some disk; training wants 2 GiB"
        )
    return _finding("home", "ok", f"{settings.home}, {free:.0f} GiB free")


def _base_model(settings: Settings) -> dict[str, str]:
    from twin_assets.core.training.bases import resolve_base

    try:
        base = resolve_base(settings.base_model, settings)
    except TwinError as error:
        return _finding("base model", "wrong", str(error), "set TWIN_BASE_MODEL to auto, nano, a hub id or a folder")
    return _finding("base model", "ok", f"{base.name}: {base.why}")


def _stores(settings: Settings) -> Iterator[dict[str, str]]:
    from twin_assets.core.clients import ClientStore
    from twin_assets.core.workspace import Workspace

    workspace = Workspace(settings)
    checks: dict[str, Callable[[], str]] = {
        "lake": lambda: f"{settings.lake_location}, raw_documents at version {workspace.lake.version('raw_documents')}",
        "index": lambda: settings.qdrant_url or f"embedded under {settings.index_folder}",
        "authors": lambda: ", ".join(author.id for author in workspace.authors.list()) or "none yet",
        "clients": lambda: ", ".join(each.name for each in ClientStore(settings.clients_file).list()) or "none",
    }
    for what, look in checks.items():
        try:
            yield _finding(what, "ok", look())
        except TwinError as error:
            yield _finding(what, "wrong", str(error), "see docs/operations.md")


def examine(settings: Settings) -> list[dict[str, str]]:
    """Findings about this machine and deployment: what, state ("ok", "in use" or "wrong"), detail, what to do."""
    found = [_packages(), _home(settings), _base_model(settings), *_stores(settings)]
    for variable, (name, port) in service_ports(settings).items():
        free = port_is_free("127.0.0.1", port)
        found.append(
            _finding(f"port {port} ({name})", "ok" if free else "in use", "free" if free else "taken",
                     "" if free else f"fine if `twin up` runs; else set {variable}")
        )  # fmt: skip
    keyless = settings.api_key is None and not settings.clients_file.is_file()
    if settings.host not in ("127.0.0.1", "localhost", "::1") and keyless:
        problem = f"serving binds {settings.host} without a key"
        found.append(_finding("API key", "wrong", problem, "set TWIN_API_KEY, or give out keys: `twin key add`"))
    return found
