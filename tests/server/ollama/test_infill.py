from __future__ import annotations

import json
from pathlib import Path

import pytest

from reverie.server.hosting.models import ModelFacts
from reverie.server.http.errors import RequestError
from reverie.server.ollama.infill import fills_in, infilled


def facts(folder: Path, *added: str) -> ModelFacts:
    (folder / "backbone").mkdir()
    told = {"added_tokens": [{"id": place, "content": name} for place, name in enumerate(added)]}
    (folder / "backbone" / "tokenizer.json").write_text(json.dumps(told))
    return ModelFacts("coder", folder, 0, 0, "", "LlamaForCausalLM", 0, 64, 8, True, "bf16", "", "", ())


def test_a_gap_is_written_as_the_base_learnt_it(tmp_path: Path) -> None:
    coder = facts(tmp_path, "<|end|>", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
    assert fills_in(coder)
    assert infilled("def f(", "return x", coder) == "<|fim_prefix|>def f(<|fim_suffix|>return x<|fim_middle|>"


def test_a_base_without_signs_fills_nothing_in(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="does not support insert"):
        infilled("a", "b", facts(tmp_path, "<|end|>", "<|fim_prefix|>"))
