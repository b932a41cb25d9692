"""`twin up`: everything answers on loopback, Ctrl-C stops all of it, and a taken port is said before the start."""

import os
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest

from twin_assets.operations import port_is_free
from twin_serving.server import free_port

# What each service answers when it is up.
HEALTH = {
    "TWIN_DAGSTER_PORT": "/server_info",
    "TWIN_PORT": "/health",
    "TWIN_UI_PORT": "/_stcore/health",
    "TWIN_MLFLOW_PORT": "/health",
}


def start(home, ports: dict[str, int]) -> subprocess.Popen:
    environment = os.environ | {"TWIN_HOME": str(home)} | {name: str(port) for name, port in ports.items()}
    return subprocess.Popen(
        [sys.executable, "-m", "twin_assets.cli", "up"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def answers(port: int, path: str) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}{path}", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def wait_for(condition, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.5)
    return False


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.timeout(300)
def test_everything_answers_and_ctrl_c_stops_all_of_it(tmp_path):
    ports = {name: free_port() for name in HEALTH}
    process = start(tmp_path / "home", ports)
    try:
        up = wait_for(lambda: all(answers(ports[name], path) for name, path in HEALTH.items()), 180)
        assert up, {name: answers(ports[name], path) for name, path in HEALTH.items()}
        # As a terminal does it: to every process of the foreground group.
        os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, output[-2000:]
    assert wait_for(lambda: all(port_is_free("127.0.0.1", port) for port in ports.values()), 30)


def test_a_port_in_use_is_said_before_anything_starts(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ports = {name: free_port() for name in HEALTH} | {"TWIN_UI_PORT": port}
        output, _ = start(tmp_path / "home", ports).communicate(timeout=60)
    assert (
        output.strip() == f"Port {port} for the page is in use; stop what uses it or set TWIN_UI_PORT to another one."
    )


def test_a_service_manager_that_ends_it_ends_what_it_started(tmp_path):
    process = start(tmp_path / "home", {name: free_port() for name in HEALTH})
    assert process.stdout is not None
    started = set()
    for line in process.stdout:
        if "started (pid=" in line:
            started.add(int(line.partition("started (pid=")[2].partition(")")[0]))
        if len(started) == len(HEALTH) + 1:  # Dagster is two: webserver and daemon
            break
    process.terminate()  # this process alone, not its group
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output[-2000:]
    assert len(started) == len(HEALTH) + 1
    assert wait_for(lambda: not any(lives(pid) for pid in started), 20)
