"""The server under load, its overhead over the bare engine, batching, several servers at once, twins on one base."""

import argparse
import asyncio
import gc
import json
import os
import random
import statistics
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import httpx
import psutil
from rich.console import Console

from benchmarks.serving_material import make_adapters, make_base
from tests.serving_models import register
from twin_assets.core.authors import Author
from twin_assets.core.workspace import Workspace
from twin_assets.settings import Settings
from twin_serving.engines.streaming import Generation
from twin_serving.engines.transformers_engine import Base, TransformersEngine, TransformersEngines
from twin_serving.server import TURNS, running_server

console = Console(width=140)
CLIENTS, TOGETHER = 64, 8
PROMPTS = [f"Write about test number {number}. " * (1 + number) for number in range(6)]
LONG = "tests today and the habit of shipping " * 8


def conversation(text: str) -> list[dict[str, str]]:
    """One request."""
    return [{"role": "user", "content": text}]


def p(times: Sequence[float], share: float) -> float:
    """The time that this share stays under, in milliseconds."""
    return sorted(times)[min(len(times) - 1, int(len(times) * share))] * 1000


# Batching -------------------------------------------------------------------------------------------------------------


def write(base: Base, adapter: Path | None, tokens: int) -> int:
    """Tokens that the engine wrote to one request."""
    generation = Generation(conversation(LONG), max_tokens=tokens, temperature=0.0)
    *_, last = TransformersEngine(base, adapter).generate(generation)
    return last.completion_tokens


def at_once(base: Base, adapters: Sequence[Path | None], tokens: int) -> float:
    """Tokens per second of the engine, one request for each adapter, all at once."""
    written: list[int] = []
    threads = [threading.Thread(target=lambda a=a: written.append(write(base, a, tokens))) for a in adapters]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(written) / (time.perf_counter() - start)


def sequential(base: Base, adapters: Sequence[Path | None], tokens: int) -> float:
    """Tokens per second of transformers' generate(), one request after the other, the adapter set before each."""
    import torch

    from twin_assets.core.prompts import encode_prompt

    ids = torch.tensor([encode_prompt(base.tokenizer, conversation(LONG))])
    loaded = [None if adapter is None else base.adapters[str(adapter.resolve())] for adapter in adapters]
    start = time.perf_counter()
    for adapter in loaded:
        base.use([adapter])
        with torch.inference_mode():
            base.model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, min_new_tokens=tokens,
                do_sample=False,
            )  # fmt: skip
    return len(adapters) * tokens / (time.perf_counter() - start)


def batching(folder: Path, quick: bool) -> None:
    """Eight requests at once against generate() one after the other: same weights, same process, by turns."""
    tokens, turns = (16, 1) if quick else (32, 3)
    base = Base(make_base(folder / "base"))
    adapters: list[Path | None] = [*make_adapters(base.folder, folder / "adapters", TOGETHER)]
    kinds: dict[str, list[Path | None]] = {
        "the base": [None] * TOGETHER,
        "one adapter": adapters[:1] * TOGETHER,
        "eight adapters": adapters,
    }
    for name, asked in kinds.items():
        for adapter in set(asked) - {None}:
            TransformersEngine(base, adapter)
        write(base, asked[0], 2)
        pairs = [(sequential(base, asked[:2], tokens), at_once(base, asked, tokens)) for _ in range(turns)]
        one, many = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
        console.print(
            f"batching, {name}: generate() {one:.1f} tok/s, {TOGETHER} at once {many:.1f} tok/s, {many / one:.2f} times"
        )


# The server -----------------------------------------------------------------------------------------------------------


def deploy(home: Path, base: Path, adapters: Sequence[Path], **settings: Any) -> Workspace:
    """A workspace whose author "ann" has a version for each adapter, the first approved."""
    workspace = Workspace(Settings(home=home, **settings))
    workspace.authors.save(Author(id="ann", name="Ann Example"))
    for number, adapter in enumerate(adapters):
        folder = home / "made" / str(number)
        for part, source in (("base", base), ("adapter", adapter)):
            (folder / part).mkdir(parents=True)
            for path in source.iterdir():
                os.link(path, folder / part / path.name)
        register(workspace.registry, "ann", folder, f"fingerprint {number}")
    workspace.registry.approve("ann", "1", "benchmark", by="benchmark")
    return workspace


async def streamed(http: httpx.AsyncClient, text: str, tokens: int) -> AsyncIterator[dict[str, Any]]:
    """The events of one streamed answer; one with "status" where it was refused."""
    body = {"model": "ann", "messages": conversation(text), "max_tokens": tokens, "temperature": 0, "stream": True}
    async with http.stream("POST", "/v1/chat/completions", json=body) as response:
        if response.status_code != 200:
            await response.aread()
            yield {"status": response.status_code, "after": int(response.headers.get("Retry-After", 1))}
            return
        async for line in response.aiter_lines():
            if line.startswith("data: {"):
                yield json.loads(line[6:])


@dataclass
class Seen:
    """What the clients saw."""

    first: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)
    refused: int = 0
    failed: list[str] = field(default_factory=list)
    mixed: int = 0


async def client(
    http: httpx.AsyncClient, expected: dict[tuple[str, str], str], tokens: int, end: float, seen: Seen
) -> None:
    """Ask again and again until the end; every answer must be one version's, whole."""
    while time.monotonic() < end:
        text, start, parts, served, first = random.choice(PROMPTS), time.perf_counter(), [], "", None
        try:
            async for event in streamed(http, text, tokens):
                if "status" in event:
                    if event["status"] == 429:
                        seen.refused += 1
                        await asyncio.sleep(event["after"] * random.uniform(0.5, 1.5))
                    else:
                        seen.failed.append(str(event))
                    break
                if "error" in event:
                    seen.failed.append(str(event))
                    break
                first = first or time.perf_counter() - start
                served = event["system_fingerprint"]
                parts.append(event["choices"][0]["delta"]["content"])
            else:
                seen.first.append(first or 0.0)
                seen.whole.append(time.perf_counter() - start)
                seen.versions.append(served)
                seen.mixed += "".join(parts) != expected[served, text]
        except httpx.HTTPError as error:
            seen.failed.append(repr(error))


def memory(process: psutil.Process) -> float:
    """Megabytes of the process and all it started, shared pages counted once."""
    sizes = []
    for each in [process, *process.children(recursive=True)]:
        try:
            sizes.append(each.memory_full_info().pss)
        except psutil.NoSuchProcess:
            continue
    return sum(sizes) / 1e6


async def clients(url: str, workspace: Workspace, expected: dict[tuple[str, str], str], seconds: float) -> None:
    """64 clients at once; meanwhile versions are approved and rolled back, and the memory is read."""
    process = psutil.Process(int(httpx.get(f"{url}/health").headers["X-Serving-Process"]))
    seen, sizes, switches = Seen(), [], 0
    limits = httpx.Limits(max_connections=CLIENTS, max_keepalive_connections=CLIENTS)
    async with httpx.AsyncClient(base_url=url, timeout=300, limits=limits, trust_env=False) as http:
        end = time.monotonic() + seconds
        tasks = [asyncio.create_task(client(http, expected, 32, end, seen)) for _ in range(CLIENTS)]
        while time.monotonic() < end:
            await asyncio.sleep(seconds / 24)
            sizes.append(await asyncio.to_thread(memory, process))
            if len(sizes) % 3 == 0:
                switch: Callable[[], Any] = (
                    (lambda: workspace.registry.rollback("ann"))
                    if switches % 2
                    else (lambda: workspace.registry.approve("ann", "2", "benchmark", by="benchmark"))
                )
                await asyncio.to_thread(switch)
                switches += 1
        await asyncio.gather(*tasks)
    quarter = len(sizes) // 4
    early, late = statistics.mean(sizes[quarter : 2 * quarter]), statistics.mean(sizes[-quarter:])
    console.print(
        f"{CLIENTS} clients, {seconds:.0f} s: {len(seen.whole)} answers ({len(seen.whole) / seconds:.1f} a second), "
        f"{seen.refused} told to come again, {len(seen.failed)} failed, {seen.mixed} mixed; {switches} switches, "
        f"answers by version { ({name: seen.versions.count(name) for name in sorted(set(seen.versions))}) }"
    )
    console.print(
        f"  first text p50 {p(seen.first, 0.5):.0f} ms, p99 {p(seen.first, 0.99):.0f} ms; whole answer (32 tokens) p50 "
        f"{p(seen.whole, 0.5):.0f} ms, p99 {p(seen.whole, 0.99):.0f} ms; memory {early:.0f} MB in the second quarter, "
        f"{late:.0f} MB in the last"
    )
    for failure in seen.failed[:3]:
        console.print(f"  {failure}")


def expected_of(base: Path, adapters: Sequence[Path]) -> dict[tuple[str, str], str]:
    """What each version says to each prompt, by the bare engine."""
    engines = TransformersEngines()
    return {
        (f"ann@{number}", text): "".join(
            piece.text
            for piece in engines(base, adapter).generate(Generation(conversation(text), max_tokens=32, temperature=0.0))
        )
        for number, adapter in enumerate(adapters, start=1)
        for text in PROMPTS
    }


def load(folder: Path, quick: bool) -> None:
    """64 clients for two minutes with fewer places than clients, while the approved version is switched."""
    base = make_base(folder / "base", small=True)
    adapters = make_adapters(base, folder / "adapters", 2, scale=0.2)
    workspace = deploy(folder / "home", base, adapters, serving_rows=16, serving_queue=32)
    expected = expected_of(base, adapters)
    with running_server(workspace.settings) as url:
        httpx.post(
            f"{url}/v1/chat/completions", json={"model": "ann", "messages": conversation("x"), "max_tokens": 1},
            timeout=300,
        ).raise_for_status()  # fmt: skip
        asyncio.run(clients(url, workspace, expected, 15 if quick else 120))


async def served(url: str, tokens: int) -> float:
    """Tokens per second of eight streams at once over HTTP."""

    async def one(http: httpx.AsyncClient) -> None:
        async for event in streamed(http, LONG, tokens):
            assert "choices" in event, event

    async with httpx.AsyncClient(base_url=url, timeout=300, trust_env=False) as http:
        start = time.perf_counter()
        await asyncio.gather(*(one(http) for _ in range(TOGETHER)))
        return TOGETHER * tokens / (time.perf_counter() - start)


_bare: list[Base] = []


def load_bare(base: Path) -> None:
    """Load a base in this process, which bare() then asks."""
    _bare.append(Base(base))


def bare(adapter: Path, tokens: int) -> float:
    """Tokens per second of eight threads on the bare engine."""
    return at_once(_bare[0], [adapter] * TOGETHER, tokens)


def overhead(folder: Path, quick: bool) -> None:
    """Eight streams through the server against eight threads on the bare engine, by turns, each in processes of its own
    whose threads wait alike."""
    tokens, turns = (16, 1) if quick else (48, 5)
    base = make_base(folder / "base")
    adapter = make_adapters(base, folder / "adapters", 1)[0]
    workspace = deploy(folder / "home", base, [adapter])
    os.environ["GOMP_SPINCOUNT"] = str(TURNS)
    process = ProcessPoolExecutor(1, get_context("spawn"), load_bare, (base,))
    with process, running_server(workspace.settings) as url:
        process.submit(bare, adapter, 2).result()
        asyncio.run(served(url, 2))
        pairs = [
            (process.submit(bare, adapter, tokens).result(), asyncio.run(served(url, tokens))) for _ in range(turns)
        ]
    ratios = [engine / server - 1 for engine, server in pairs]
    engine, server = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
    console.print(
        f"overhead, {TOGETHER} streams: engine {engine:.1f} tok/s, server {server:.1f} tok/s; the server takes "
        f"{statistics.median(ratios):+.1%} (turns {', '.join(f'{ratio:+.1%}' for ratio in ratios)})"
    )


async def spread(urls: Sequence[str], expected: dict[tuple[str, str], str], seconds: float) -> tuple[Seen, list[int]]:
    """64 clients on so many servers, each client on one; what they saw, and how many servers each asked for at the
    end."""
    seen = Seen()
    async with AsyncExitStack() as stack:
        https = [
            await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=300, trust_env=False))
            for url in urls
        ]
        end = time.monotonic() + seconds
        tasks = [asyncio.create_task(client(https[n % len(https)], expected, 32, end, seen)) for n in range(CLIENTS)]
        await asyncio.sleep(seconds * 0.9)
        metrics = [(await http.get("/metrics")).text for http in https]
        await asyncio.gather(*tasks)
    wanted = [line.split()[-1] for text in metrics for line in text.splitlines() if line.startswith("twin_wanted_rep")]
    return seen, [int(float(number)) for number in wanted]


def replicas(folder: Path, quick: bool) -> None:
    """One server against two on one home and the same cores, and the number of servers that the rule asks for."""
    base = make_base(folder / "base", small=True)
    adapters = make_adapters(base, folder / "adapters", 1, scale=0.2)
    workspace = deploy(folder / "home", base, adapters, serving_rows=16, serving_queue=32)
    expected = expected_of(base, adapters)
    seconds = 10 if quick else 40
    for count in (1, 2):
        with ExitStack() as stack:
            urls = [stack.enter_context(running_server(workspace.settings)) for _ in range(count)]
            for url in urls:
                asyncio.run(served(url, 2))
            seen, wanted = asyncio.run(spread(urls, expected, seconds))
        console.print(
            f"{count} server(s), {CLIENTS} clients, {seconds} s: {len(seen.whole) / seconds:.1f} answers a second, "
            f"{seen.refused} told to come again, {len(seen.failed)} failed, {seen.mixed} mixed; first text p50 "
            f"{p(seen.first, 0.5):.0f} ms, p99 {p(seen.first, 0.99):.0f} ms; servers wanted: {sum(wanted)} {wanted}"
        )


# Twins on one base ----------------------------------------------------------------------------------------------------


def resident() -> float:
    """Megabytes this process has."""
    gc.collect()
    return psutil.Process().memory_info().rss / 1e6


def twins(folder: Path, quick: bool) -> None:
    """Many adapters on one base: loading, switching between those that are there, memory against merged models."""
    count, merged_count = (10, 1) if quick else (100, 3)
    base_folder = make_base(folder / "base")
    adapters = make_adapters(base_folder, folder / "adapters", count)
    base = Base(base_folder, adapter_bytes=10**12)
    write(base, None, 2)
    before, loading = resident(), []
    for adapter in adapters:
        start = time.perf_counter()
        TransformersEngine(base, adapter)
        loading.append(time.perf_counter() - start)
    with_adapters = resident() - before
    random.seed(0)
    same: list[float] = []
    other: list[float] = []
    for adapter in random.choices(adapters, k=10 if quick else 60):
        for times in (other, same):
            start = time.perf_counter()
            write(base, adapter, 1)
            times.append(time.perf_counter() - start)
    console.print(
        f"adapter swap of {count}: from disk p50 {p(loading, 0.5):.0f} ms; first token with another cached adapter p50 "
        f"{p(other, 0.5):.0f} ms, with the same again {p(same, 0.5):.0f} ms: the swap takes "
        f"{p(other, 0.5) - p(same, 0.5):.1f} ms"
    )
    before, merged = resident(), []
    for adapter in adapters[:merged_count]:
        merged.append(merge(base_folder, adapter))
    each = (resident() - before) / merged_count
    console.print(
        f"{count} twins on one base: {with_adapters:.0f} MB beside the base; {count} merged models would be "
        f"{count * each:.0f} MB ({each:.0f} MB each, of {merged_count}): "
        f"{count * each / with_adapters:.0f} times as much"
    )


def merge(base: Path, adapter: Path) -> Any:
    """A model of its own for one twin, with its weights touched as serving would."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model: Any = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), str(adapter))
    model = model.merge_and_unload()
    with torch.inference_mode():
        model(torch.tensor([[1, 2, 3]]))
    return model


PARTS = {"batching": batching, "overhead": overhead, "load": load, "replicas": replicas, "twins": twins}


def main() -> None:
    """Run the parts that are asked for, each in a folder of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes, ten twins")
    parser.add_argument("--part", choices=PARTS, action="append", help="only this; default: all")
    options = parser.parse_args()
    for name in options.part or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            PARTS[name](Path(folder), options.quick)


if __name__ == "__main__":
    main()
