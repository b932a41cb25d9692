"""The serving API over HTTP: LitServe in its own processes, the openai client, and tiny random models."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import openai
import psutil
import pytest

import twin_serving.server
from tests.serving_models import make_adapter, make_base, register
from twin_assets.core.authors import Author
from twin_assets.core.errors import ServingError
from twin_assets.core.workspace import Workspace
from twin_assets.settings import Settings
from twin_serving.client import TwinClient
from twin_serving.engines.streaming import Generation
from twin_serving.engines.transformers_engine import TransformersEngines
from twin_serving.server import running_server

KEY = "a key for tests"
ASK = [{"role": "user", "content": "Write about tests."}]
ROWS, QUEUE = 4, 8
GREEDY = {"max_tokens": 12, "temperature": 0.0}


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Ann has two model versions, the first approved; Ben has none."""
    home = tmp_path_factory.mktemp("home")
    workspace = Workspace(
        Settings(
            home=home,
            api_key=KEY,
            allowed_hosts="127.0.0.1",
            serving_rows=ROWS,
            serving_queue=QUEUE,
            adapter_memory_mb=1,
        )
    )
    workspace.authors.save(Author(id="ann", name="Ann Example"))
    workspace.authors.save(Author(id="ben", name="Ben Example"))
    base = make_base(home / "made" / "base")
    for seed in (1, 2):
        folder = home / "made" / str(seed)
        (folder / "base").mkdir(parents=True)
        for path in base.iterdir():
            os.link(path, folder / "base" / path.name)
        make_adapter(base, folder / "adapter", seed)
        register(workspace.registry, "ann", folder, f"fingerprint {seed}")
    workspace.registry.approve("ann", "1", "test", by="test")
    return workspace


@pytest.fixture(scope="module")
def expected(deployed: Workspace) -> dict[str, str]:
    """What each version answers to ASK, computed without a server."""
    pool = TransformersEngines()
    answers = {}
    for version in ("1", "2"):
        folder = deployed.registry.folder("ann", version)
        pieces = pool(folder / "base", folder / "adapter").generate(Generation(ASK, **GREEDY))
        answers[f"ann@{version}"] = "".join(piece.text for piece in pieces)
    assert len(set(answers.values())) == 2
    return answers


@pytest.fixture(scope="module")
def url(deployed: Workspace) -> Iterator[str]:
    """The deployment's server, asking for the key."""
    with running_server(deployed.settings) as address:
        yield address


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[openai.OpenAI]:
    """OpenAI's own client."""
    with openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0) as made:
        yield made


def until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for something that must come true."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.05)


def test_health_is_open_and_the_rest_wants_the_key(url: str) -> None:
    assert httpx.get(f"{url}/health").json() == {"status": "ok"}
    for path in ("/v1/models", "/v1/twins", "/docs", "/openapi.json", "/info"):
        assert httpx.get(f"{url}{path}").status_code == 401
    with pytest.raises(openai.AuthenticationError, match="API key is missing or wrong"):
        openai.OpenAI(base_url=f"{url}/v1", api_key="wrong").models.list()
    with TwinClient(url) as stranger, pytest.raises(ServingError, match="API key is missing or wrong"):
        stranger.twins()


def test_models_are_the_authors_with_an_approved_version(client: openai.OpenAI) -> None:
    models = client.models.list().data
    assert [(model.id, model.object) for model in models] == [("ann", "model")]


def test_chat_answers_as_the_engine_does(client: openai.OpenAI, expected: dict[str, str]) -> None:
    answer = client.chat.completions.create(model="ann", messages=ASK, **GREEDY)
    choice = answer.choices[0]
    assert (answer.system_fingerprint, choice.message.content) == ("ann@1", expected["ann@1"])
    assert (choice.message.role, choice.finish_reason) == ("assistant", "length")
    assert answer.usage.completion_tokens == 12
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 12
    named = client.chat.completions.create(model="ann@2", messages=ASK, **GREEDY)
    assert named.choices[0].message.content == expected["ann@2"]
    base = client.chat.completions.create(model="ann@base", messages=ASK, **GREEDY)
    assert base.choices[0].message.content not in expected.values()


def test_chat_streams_the_same_text_piece_by_piece(client: openai.OpenAI, expected: dict[str, str]) -> None:
    stream = client.chat.completions.create(
        model="ann", messages=ASK, stream=True, stream_options={"include_usage": True}, **GREEDY
    )
    *chunks, usage = list(stream)
    assert "".join(chunk.choices[0].delta.content for chunk in chunks) == expected["ann@1"]
    assert len(chunks) > 5
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["length"]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert (usage.choices, usage.usage.completion_tokens) == ([], 12)


def test_seed_stop_and_several_choices(client: openai.OpenAI, expected: dict[str, str]) -> None:
    options = {"model": "ann", "messages": ASK, "max_tokens": 8, "temperature": 1.0}
    first, again, two = (client.chat.completions.create(**options, seed=7, n=n) for n in (1, 1, 2))
    assert first.choices[0].message.content == again.choices[0].message.content == two.choices[0].message.content
    assert two.choices[1].message.content != two.choices[0].message.content
    assert [choice.index for choice in two.choices] == [0, 1]
    assert two.usage.completion_tokens == 16
    stop = expected["ann@1"][5:7]
    stopped = client.chat.completions.create(model="ann", messages=ASK, stop=[stop], **GREEDY)
    assert stopped.choices[0].message.content == expected["ann@1"].split(stop)[0]
    assert stopped.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("stream", [False, True])
def test_errors_have_their_status_and_sentence(client: openai.OpenAI, stream: bool) -> None:
    def ask(model: str, **options: object) -> None:
        client.chat.completions.create(model=model, messages=ASK, stream=stream, **options)  # type: ignore[call-overload]

    with pytest.raises(openai.NotFoundError, match="There is no author 'zoe'"):
        ask("zoe")
    with pytest.raises(openai.ConflictError, match="No model of ben is approved; run `twin run ben`"):
        ask("ben")
    with pytest.raises(openai.NotFoundError, match="no model version '9'"):
        ask("ann@9")
    with pytest.raises(openai.BadRequestError, match="temperature: Input should be less than or equal to 2"):
        ask("ann", temperature=3)
    with pytest.raises(openai.BadRequestError, match="shorten them"):
        client.chat.completions.create(
            model="ann", messages=[{"role": "user", "content": "word " * 2000}], stream=stream
        )


def test_a_switch_of_version_under_load_fails_no_request_and_mixes_none(
    deployed: Workspace, client: openai.OpenAI, expected: dict[str, str]
) -> None:
    seen: list[tuple[str, str]] = []
    failed: list[Exception] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            try:
                answer = client.chat.completions.create(model="ann", messages=ASK, **GREEDY)
                seen.append((str(answer.system_fingerprint), str(answer.choices[0].message.content)))
            except Exception as error:
                failed.append(error)

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    try:
        until(lambda: len(seen) > 3)
        deployed.registry.approve("ann", "2", "test", by="test")
        until(lambda: seen[-1][0] == "ann@2")
        deployed.registry.rollback("ann")
        until(lambda: seen[-1][0] == "ann@1")
    finally:
        done.set()
        for asker in askers:
            asker.join()
    assert failed == []
    assert all(text == expected[served] for served, text in seen)
    assert {served for served, _ in seen} == {"ann@1", "ann@2"}


def figures(url: str) -> dict[str, float]:
    """The server's metrics by name and labels."""
    lines = httpx.get(f"{url}/metrics", headers={"X-API-Key": KEY}).text.splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


def test_beyond_the_queue_clients_are_told_when_to_come_again_and_the_others_are_answered(
    url: str, client: openai.OpenAI
) -> None:
    refused: list[openai.RateLimitError] = []
    answered: list[str | None] = []

    def ask() -> None:
        try:
            answer = client.chat.completions.create(model="ann", messages=ASK, max_tokens=200, n=4, temperature=1.0)
            answered.extend(choice.finish_reason for choice in answer.choices)
        except openai.RateLimitError as error:
            refused.append(error)

    askers = [threading.Thread(target=ask) for _ in range(9)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert len(answered) + 4 * len(refused) == 36
    assert len(answered) >= ROWS + QUEUE
    assert set(answered) <= {"stop", "length"}
    assert all(1 <= int(error.response.headers["Retry-After"]) <= 60 for error in refused)
    assert "ask again in" in str(refused[0])
    counted = figures(url)
    assert counted['twin_requests_total{method="POST",route="/v1/chat/completions",status="429"}'] == len(refused)
    assert counted["twin_running"] == counted["twin_queue_length"] == 0


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_nobody_waits_for_ends(url: str, stream: bool) -> None:
    asked = {"model": "ann", "messages": ASK, "max_tokens": 400, "n": 8, "stream": stream}
    headers = {"X-API-Key": KEY}
    if stream:
        with httpx.stream("POST", f"{url}/v1/chat/completions", json=asked, headers=headers, timeout=60) as response:
            next(response.iter_lines())
    else:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{url}/v1/chat/completions", json=asked, headers=headers, timeout=0.3)
    until(lambda: figures(url)["twin_running"] == 0)
    written = figures(url)['twin_tokens_total{author="ann",kind="written"}']
    short = httpx.post(f"{url}/v1/chat/completions", json={**asked, **GREEDY, "n": 1, "stream": False}, headers=headers)
    assert short.status_code == 200
    # Those that were broken off never ended, so that they were not counted.
    assert figures(url)['twin_tokens_total{author="ann",kind="written"}'] == written + GREEDY["max_tokens"]


def test_metrics_tell_what_happened_and_nothing_of_what_was_said(url: str, client: openai.OpenAI) -> None:
    client.chat.completions.create(model="ann", messages=[{"role": "user", "content": "A private word."}], **GREEDY)
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="zoe-who-is-none", messages=ASK)
    counted = figures(url)
    for name in (
        "twin_queue_seconds",
        "twin_first_token_seconds",
        "twin_tokens_per_second",
        "twin_adapter_swap_seconds",
    ):
        assert counted[f"{name}_count"] > 0
    assert counted["twin_adapter_swaps_total"] >= 1
    assert {name.split("{")[0] for name in counted} >= {"twin_retrieval_seconds_count", "twin_wanted_replicas"}
    assert not [name for name in counted if "private" in name or "zoe" in name or KEY in name]


def test_a_server_that_cannot_start_says_why(deployed: Workspace, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = int(url.rsplit(":", 1)[1])
    monkeypatch.setattr(twin_serving.server, "free_port", lambda: taken)
    with pytest.raises(ServingError, match=f"Port {taken} on 127.0.0.1 is in use"), running_server(deployed.settings):
        pass
    assert httpx.get(f"{url}/health").status_code == 200


def test_a_worker_that_dies_is_started_again_and_no_request_hangs(url: str, expected: dict[str, str]) -> None:
    started = psutil.Process().children(recursive=True)
    (worker,) = [process for process in started if "multiprocessing.spawn" in " ".join(process.cmdline())]
    refused: list[openai.APIStatusError] = []

    def ask() -> bool:
        try:
            answer = client.chat.completions.create(model="ann", messages=ASK, **GREEDY)
        except openai.APIStatusError as error:
            refused.append(error)
            return False
        return answer.choices[0].message.content == expected["ann@1"]

    with openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0, timeout=100) as client:
        worker.kill()
        until(ask, seconds=120)
    assert {error.status_code for error in refused} <= {503}


def test_a_candidate_serves_instead_and_nothing_outlives_its_owner(
    deployed: Workspace, expected: dict[str, str]
) -> None:
    script = (
        "import sys, time; from twin_assets.settings import Settings; from twin_serving.server import running_server\n"
        "with running_server(Settings(home=sys.argv[1]), ('ann', '2')) as url: print(url, flush=True); time.sleep(600)"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", script, str(deployed.settings.home)],
        stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert owner.stdout is not None
    with owner:
        with TwinClient(owner.stdout.readline().strip()) as client:
            answer = client.chat("ann", ASK, **GREEDY)
        assert answer["system_fingerprint"] == "ann@2"
        assert answer["choices"][0]["message"]["content"] == expected["ann@2"]
        started = psutil.Process(owner.pid).children(recursive=True)
        assert len(started) >= 4  # server, manager, worker, web process
        owner.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(started, timeout=60)
    assert alive == []


def test_told_to_end_the_server_finishes_what_runs_and_takes_no_more(url: str, client: openai.OpenAI) -> None:
    process = psutil.Process(int(httpx.get(f"{url}/health").headers["X-Serving-Process"]))
    started = process.children(recursive=True)
    options = {"model": "ann", "messages": ASK, "max_tokens": 400, "temperature": 1.0, "n": ROWS + QUEUE - 4}
    stream = client.chat.completions.create(stream=True, stream_options={"include_usage": True}, **options)
    next(iter(stream))
    process.send_signal(signal.SIGTERM)
    headers = {"X-API-Key": KEY}
    until(lambda: httpx.get(f"{url}/ready", headers=headers).status_code == 503)
    assert "draining" in httpx.get(f"{url}/ready", headers=headers).json()["error"]["message"]
    refused = httpx.post(f"{url}/v1/chat/completions", json={"model": "ann", "messages": ASK}, headers=headers)
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
    *chunks, usage = list(stream)
    assert sum(chunk.choices[0].finish_reason is not None for chunk in chunks) == options["n"]
    assert usage.usage.completion_tokens > options["n"]
    _, alive = psutil.wait_procs([process, *started], timeout=60)
    assert alive == []
