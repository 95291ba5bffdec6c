"""Both APIs under requests that nobody would send: no server error, no answer that does not come, no memory kept.

``REVERIE_FUZZ_CASES`` says how many (300 a document); ``OLLAMA_OPENAPI`` names Ollama's own ``docs/openapi.yaml``.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

pytest.importorskip("fastapi", reason="needs the extra 'serve'")

from reverie.bundles import pull_model
from reverie.generator import toy_generator
from reverie.server.hosting import HostingConfig
from server.fuzzing import Case, cases
from toy_serving import Served, served, toy_bundle, toy_library

pytestmark = pytest.mark.slow

COUNT = int(os.environ.get("REVERIE_FUZZ_CASES", "300"))
SECONDS = 30.0  # in which each answer has to come


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("fuzz")
    bundle = toy_bundle(folder)
    toy_library(bundle, folder / "library", ("art", "birds"))
    return [bundle, toy_generator().save(folder / "painter")]


@pytest.fixture
def server(places: list[Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    hosting = HostingConfig(weights="fp32", max_ids=24, usual_ids=8, library=places[0].parent / "library")
    with served(places, hosting, max_waiting=64) as one:
        yield one


def sent(client: httpx.Client, number: int, case: Case) -> tuple[int, Case, int, str]:
    """(number, case, status, fault); a stream is read to its end."""
    headers = {"Content-Type": case.kind} if case.kind else {}
    try:
        answer = client.request(case.method, case.path, content=case.body, headers=headers)
    except httpx.TimeoutException:
        return number, case, 0, "no answer"
    fault = ""
    if answer.status_code >= 500 and answer.status_code not in (503, 507):
        fault = answer.text[:300]
    elif '"something went wrong inside' in answer.text:
        fault = answer.text[-300:]
    elif answer.status_code >= 400 and case.method != "HEAD":
        fault = "" if _is_error(answer) else f"no error of ours: {answer.text[:200]}"
    return number, case, answer.status_code, fault


def _is_error(answer: httpx.Response) -> bool:
    try:
        return "error" in answer.json()
    except ValueError:
        return False


def hammer(server: Served, document: dict[str, Any], count: int = COUNT, seed: int = 0) -> Counter[int]:
    with ThreadPoolExecutor(4) as pool, httpx.Client(base_url=server.url, timeout=SECONDS) as client:
        answers = list(pool.map(lambda one: sent(client, *one), enumerate(cases(document, seed, count), seed)))
    wrong = [(number, case, status, fault) for number, case, status, fault in answers if fault]
    assert not wrong, f"{len(wrong)} of {count}, such as {wrong[:3]}"
    return Counter(status for _, _, status, _ in answers)


@pytest.mark.timeout(1800)
def test_our_own_description_is_kept_to(server: Served) -> None:
    document = server.client.get("/openapi.json").json()
    assert {"/api/chat", "/v1/chat/completions", "/api/generate"} <= set(document["paths"])
    hammer(server, document, max(60, COUNT // 5), seed=1_000_000)  # what is loaded, compiled and remembered once
    memory = psutil.Process()
    before = memory.memory_info().rss
    told = hammer(server, document)
    assert told[200] > COUNT * 0.1
    assert told[400] > COUNT * 0.1
    print(f"memory: {before / 1e6:.0f} MB, then {memory.memory_info().rss / 1e6:.0f} MB; {dict(told)}")
    assert memory.memory_info().rss < before * 1.10 + 50e6  # what was read is remembered, up to a bound
    assert server.running() == 0


@pytest.mark.timeout(1800)
@pytest.mark.skipif("OLLAMA_OPENAPI" not in os.environ, reason="OLLAMA_OPENAPI does not name Ollama's openapi.yaml")
def test_ollamas_description_is_kept_to(server: Served) -> None:
    import yaml

    document = yaml.safe_load(Path(os.environ["OLLAMA_OPENAPI"]).read_text(encoding="utf-8"))
    assert hammer(server, document)[200] > COUNT * 0.1
    assert server.running() == 0


@pytest.mark.timeout(1800)
def test_models_made_and_deleted_at_random(places: list[Path]) -> None:
    pull_model(str(places[0]), "tiny")
    with served([], HostingConfig(weights="fp32", max_ids=8)) as one:
        document = one.client.get("/openapi.json").json()
        kept = ("/api/create", "/api/copy", "/api/delete", "/api/pull", "/api/blobs/{digest}", "/api/show")
        document["paths"] = {path: item for path, item in document["paths"].items() if path in kept}
        hammer(one, document, max(60, COUNT // 5))
        assert json.loads(one.client.get("/api/tags").text)["models"]
