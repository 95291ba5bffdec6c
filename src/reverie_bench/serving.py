"""What serving is worth: clients that ask at once, each with another expert, against the same requests one by one.

``reverie serve`` runs as a process of its own, with eight made-up experts of the model; clients stream completions over
HTTP. Three crowds (1, 8, 32 clients) ask the same requests, a request a client at a time; *one after another* is the
crowd of one. Beside it stands llama.cpp's server on the same base and the same experts in f32, where ``gguf`` names a
folder that ``reverie export gguf`` wrote with them, or the exporter is there to make one. Both have as many threads.
The two take turns, round by round, so that a busy machine slows both; a figure is the median of its rounds.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from reverie.errors import ConfigError, UsageError
from reverie.settings import load_settings
from reverie_bench.contract import BenchConfig, Benchmark, Figures, Findings

EXPERTS = tuple(f"expert-{number}" for number in range(8))
RANK = 8


@dataclass(frozen=True)
class ServingConfig:
    """How the servers are asked."""

    clients: tuple[int, ...] = (1, 8, 32)
    requests: int = 32  # of each crowd, spread over its clients
    new_ids: int = 32  # most ids of an answer
    rounds: int = 3
    threads: int = 0  # of each server; 0: as many as there are cores
    weights: str = "fp32"  # of our engine
    gguf: Path | None = None  # a folder with the model and the experts for llama.cpp
    llama: bool = True  # whether llama.cpp is raced at all

    def __post_init__(self) -> None:
        if not self.clients or min(self.clients) < 1 or self.requests < 1 or self.new_ids < 2 or self.rounds < 1:
            raise ConfigError("clients, requests and rounds are at least 1, new_ids at least 2")


@dataclass(frozen=True)
class Answered:
    """One request: seconds to the first word, all of them, and how many ids came."""

    first: float
    seconds: float
    num_ids: int


Ask = Callable[[int], Answered]
"""Sends the n-th request, and reads its stream to the end."""


def run(settings: BenchConfig) -> Findings:
    options = load_settings(ServingConfig, None, settings.options)
    threads = options.threads or len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="reverie-serving-") as home, contextlib.ExitStack() as stack:
        library = make_experts(settings.model, Path(home) / "library", settings.seed)
        ours = stack.enter_context(our_server(settings.model, library, options, threads))
        systems: dict[str, Ask] = {"reverie": ours}
        why = "left out" if not options.llama else ""
        if options.llama:
            theirs = llama_server(settings.model, library, Path(home), options, threads)
            if isinstance(theirs, str):
                why = theirs
            else:
                systems["llama_cpp"] = stack.enter_context(theirs)
        for ask in systems.values():
            race(ask, max(options.clients), range(len(EXPERTS)))  # loads model and experts, compiles
        found: dict[tuple[str, int], list[Figures]] = {}
        first = len(EXPERTS)
        for number in range(options.rounds):
            settings.progress("racing", number, options.rounds)
            for clients in options.clients:
                asked = range(first, first + options.requests)
                first = asked.stop + -asked.stop % len(EXPERTS)  # others each time: nothing was read before
                for name, ask in systems.items():
                    found.setdefault((name, clients), []).append(race(ask, clients, asked))
        settings.progress("racing", options.rounds, options.rounds)
    medians = {key: _medians(rounds) for key, rounds in found.items()}
    return Findings(
        n=options.requests * options.rounds * len(options.clients),
        figures=_figures(medians, options.clients),
        by={f"clients_{clients}": medians["reverie", clients] for clients in options.clients},
        baselines={
            "one_after_another": medians["reverie", min(options.clients)],
            **{f"llama_cpp_{clients}": own for (name, clients), own in medians.items() if name == "llama_cpp"},
        },
        settings={"threads": threads, "experts": len(EXPERTS), **({"llama_cpp": why} if why else {})},
    )


def _figures(medians: dict[tuple[str, int], Figures], clients: Sequence[int]) -> Figures:
    """Ids a second over those one after another, and over llama.cpp's with as many clients."""
    figures: Figures = {}
    alone = medians["reverie", min(clients)]["ids_per_second"]
    for count in clients:
        own = medians["reverie", count]
        figures[f"over_one_after_another_{count}"] = own["ids_per_second"] / alone
        figures[f"first_word_p95_s_{count}"] = own["first_word_p95_s"]
        if ("llama_cpp", count) in medians:
            figures[f"over_llama_cpp_{count}"] = own["ids_per_second"] / medians["llama_cpp", count]["ids_per_second"]
    return figures


def race(ask: Ask, clients: int, asked: Sequence[int]) -> Figures:
    """These requests by so many clients."""
    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as crowd:
        answers = list(crowd.map(ask, asked))
    took = time.perf_counter() - started
    firsts = [one.first for one in answers]
    return {
        "first_word_p50_s": float(np.percentile(firsts, 50)),
        "first_word_p95_s": float(np.percentile(firsts, 95)),
        "request_p50_s": float(np.percentile([one.seconds for one in answers], 50)),
        "ids_per_second": sum(one.num_ids for one in answers) / took,
    }


def _medians(rounds: Sequence[Figures]) -> Figures:
    return {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}


def prompt_of(number: int) -> str:
    """Short ones, each its own, so that nothing is read from a cache."""
    things = ("a glass", "an egg", "a ball", "a stone", "a feather", "a plate", "a book", "an apple")
    return f"Question {1000 + number}: what happens when you drop {things[number % len(things)]} on the floor?\nAnswer:"


def make_experts(model: str, folder: Path, seed: int) -> Path:
    """Eight experts of random factors, small enough that words stay words."""
    import torch

    from reverie.bundles import find_bundle, read_manifest
    from reverie.bundles.experts import open_library
    from reverie.experts.contract import Adapter, ExpertCard, Factors

    bundle = find_bundle(model)
    manifest = read_manifest(bundle)
    if not manifest.get("base"):
        raise UsageError(f"the benchmark asks a model that goes on with texts, such as smol; got {model}")
    library, draw = open_library(bundle, manifest, folder), torch.Generator().manual_seed(seed)
    layers = {name: sizes for name, sizes in (library.linears or {}).items() if name != "lm_head"}
    for name in EXPERTS:
        factors = {
            linear: Factors(
                torch.randn(RANK, inside, generator=draw) / inside**0.5,
                0.05 * torch.randn(outside, RANK, generator=draw) / RANK**0.5,
            )
            for linear, (outside, inside) in layers.items()
        }
        library.create(ExpertCard(name), Adapter(factors))
    return folder


@contextlib.contextmanager
def our_server(model: str, library: Path, options: ServingConfig, threads: int) -> Iterator[Ask]:
    """``reverie serve`` as a process of its own."""
    line = [sys.executable, "-m", "reverie", "serve", "--model", model, "--port", "0", "--json"]
    line += ["--weights", options.weights, "--library", str(library), f"hosting.max_running={max(options.clients)}"]
    surroundings = {**os.environ, "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    surroundings.pop("REVERIE_TOKEN", None)
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=surroundings) as process:
        try:
            assert process.stdout is not None
            told: dict[str, Any] = json.loads(_object(process.stdout))
            with _client(told["url"], max(options.clients)) as client:

                def ask(number: int) -> Answered:
                    name = f"{told['models'][0]}:{EXPERTS[number % len(EXPERTS)]}"
                    return answered(client, {"model": name, **_body(number, options)})

                yield ask
        finally:
            process.terminate()
            process.wait(60)


def _object(lines: Any) -> str:
    """The JSON object that the command says once it is up."""
    text = ""
    for line in lines:
        text += str(line, "utf-8")
        if line.rstrip() == b"}":
            return text
    raise UsageError("reverie serve ended before it listened; run it by hand to see why")


def llama_server(
    model: str, library: Path, home: Path, options: ServingConfig, threads: int
) -> contextlib.AbstractContextManager[Ask] | str:
    """llama.cpp's server with the same base and experts; else why it is not raced."""
    if importlib.util.find_spec("xllamacpp") is None:
        return "xllamacpp is not installed"
    folder = options.gguf or _exported(model, library, home)
    if isinstance(folder, str):
        return folder
    adapters = [path for name in EXPERTS for path in sorted(folder.glob(f"*-{name}-lora.gguf"))]
    bases = [path for path in sorted(folder.glob("*.gguf")) if not path.name.endswith("-lora.gguf")]
    if len(bases) != 1 or len(adapters) != len(EXPERTS):
        return f"{folder} holds {len(bases)} bases and {len(adapters)} of the {len(EXPERTS)} adapters in GGUF"
    return _llama(bases[0], adapters, options, threads)


def _exported(model: str, library: Path, home: Path) -> Path | str:
    """The base and the experts in GGUF, f32, by the house's own exporter; four experts at a time is what a row has."""
    if importlib.util.find_spec("reverie.export") is None:
        return "there is no exporter to GGUF"
    exporter: Any = importlib.import_module("reverie.export")
    folder = home / "gguf"
    for place in range(0, len(EXPERTS), 4):
        some = tuple((name, 1.0) for name in EXPERTS[place : place + 4])
        out = folder if place == 0 else home / f"gguf-{place}"
        exporter.export("gguf", model, out, exporter.ExportConfig(type="f32", experts=some), library=library)
        if place:
            for path in out.glob("*-lora.gguf"):
                path.rename(folder / path.name)
    return folder


@contextlib.contextmanager
def _llama(base: Path, adapters: Sequence[Path], options: ServingConfig, threads: int) -> Iterator[Ask]:
    import xllamacpp

    params, key = xllamacpp.CommonParams(), secrets.token_hex(16)
    params.model.path, params.api_keys = str(base), [key]
    params.verbosity, params.ui, params.warmup = -1, False, False
    params.n_parallel = max(options.clients)
    params.n_ctx = params.n_parallel * (options.new_ids + 64)
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    infos = []
    for path in adapters:
        info = xllamacpp.CommonAdapterLoraInfo()
        info.path, info.scale = str(path), 0.0
        infos.append(info)
    params.lora_adapters = infos
    server = xllamacpp.Server(params)
    try:
        with _client(server.listening_address, max(options.clients), key) as client:

            def ask(number: int) -> Answered:
                lora = [{"id": number % len(EXPERTS), "scale": 1.0}]
                return answered(client, {"lora": lora, "cache_prompt": False, **_body(number, options)})

            yield ask
    finally:
        del server


def _client(url: str, clients: int, key: str = "") -> httpx.Client:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    limits = httpx.Limits(max_connections=clients + 4, max_keepalive_connections=0)  # either may close an idle one
    return httpx.Client(base_url=url, headers=headers, timeout=600, limits=limits, trust_env=False)


def _body(number: int, options: ServingConfig) -> dict[str, Any]:
    told = {"prompt": prompt_of(number), "max_tokens": options.new_ids, "temperature": 0.0, "seed": 1}
    return {**told, "stream": True, "stream_options": {"include_usage": True}}


def answered(client: httpx.Client, body: dict[str, Any]) -> Answered:
    """Read one stream: when its first word came, and what usage it tells in the end."""
    started, first, num_ids = time.perf_counter(), 0.0, 0
    with client.stream("POST", "v1/completions", json=body) as answer:
        if answer.status_code != 200:
            raise UsageError(f"a server answered {answer.status_code}: {answer.read()[:200]!r}")
        for line in answer.iter_lines():
            if not line.startswith("data: {"):
                continue
            chunk = json.loads(line[6:])
            if not first and any(choice.get("text") for choice in chunk.get("choices", ())):
                first = time.perf_counter() - started
            num_ids = (chunk.get("usage") or {}).get("completion_tokens", num_ids)
    took = time.perf_counter() - started
    return Answered(first or took, took, num_ids)


BENCHMARK = Benchmark(
    name="serving",
    about="Clients that ask `reverie serve` at once, eight experts among them, against one by one and llama.cpp.",
    run=run,
    options=ServingConfig,
)
