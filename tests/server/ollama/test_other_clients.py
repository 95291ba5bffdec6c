"""LangChain and llm, which speak to us through Ollama's client; they are heavy, and skipped where they are missing."""

from __future__ import annotations

import gc
import importlib
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from toy_serving import Served

FEW = {"num_predict": 8, "temperature": 1.0, "seed": 1}


@pytest.fixture(autouse=True)
def let_go() -> Iterator[None]:
    """These clients leave their connections to the garbage collector."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


def needed(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return pytest.skip(f"{name} is not installed")


@pytest.mark.filterwarnings("ignore")
def test_langchain(tiny: Served) -> None:
    langchain = needed("langchain_ollama")
    chat = langchain.ChatOllama(model="tiny", base_url=tiny.url, **FEW)
    whole = chat.invoke("hello")
    assert whole.content
    assert whole.response_metadata["done_reason"] in ("stop", "length")
    assert whole.usage_metadata["output_tokens"] == 8
    assert "".join(piece.content for piece in chat.stream("hello")) == whole.content
    schema = {
        "title": "Answer",
        "description": "An answer.",
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
    }
    held = langchain.ChatOllama(model="tiny", base_url=tiny.url, num_predict=60, temperature=1.0)
    assert isinstance(held.with_structured_output(schema, method="json_schema").invoke("hello")["n"], int)
    with_tools = chat.bind_tools(
        [{"type": "function", "function": {"name": "f", "description": "d", "parameters": schema}}]
    )
    assert isinstance(with_tools.invoke("hello").tool_calls, list)
    assert langchain.OllamaLLM(model="tiny", base_url=tiny.url, **FEW).invoke("hello")
    vectors = langchain.OllamaEmbeddings(model="tiny", base_url=tiny.url)
    assert len(vectors.embed_documents(["a", "b"])) == 2


@pytest.mark.filterwarnings("ignore")
def test_llm(tiny: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("OLLAMA_HOST", tiny.url)
    monkeypatch.setenv("LLM_USER_PATH", str(tmp_path))
    llm = needed("llm")
    needed("llm_ollama")
    model = llm.get_model("ollama/tiny:latest")
    assert "".join(model.prompt("hello", stream=True, num_predict=8)) != ""
    assert model.prompt("hello", stream=False, num_predict=8).text()
    held = model.prompt(
        "hello", stream=False, num_predict=60, schema={"type": "object", "properties": {"n": {"type": "integer"}}}
    )
    assert held.text().startswith("{")
