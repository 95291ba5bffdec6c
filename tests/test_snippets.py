"""The Python of the documents runs, page by page and in order, in a folder that holds what the reader has by then.

What cannot run here stands below ``<!-- skip: next -->``: it trains, needs a network, or serves until it is stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

from reverie.data.pictures import write_collection

REPOSITORY = Path(__file__).parent.parent
PAGES = sorted(
    str(path.relative_to(REPOSITORY))
    for path in (REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *(REPOSITORY / "docs").glob("*.md"))
    if "```python" in path.read_text(encoding="utf-8")
)


def a_base_made_elsewhere() -> dict[str, Any]:
    import torch

    from bases import toy_base
    from reverie.experts.inject import linears_of
    from toy_experts import toy_adapter

    model = toy_base("llama").eval()
    linears = {name: sizes for name, sizes in linears_of(model).items() if "lm_head" not in name}

    class Experts:
        def key(self, name: str) -> str:
            return name

        def adapter(self, name: str) -> Any:
            return toy_adapter(len(name), linears=linears)

    return {"model": model, "library": Experts(), "ids": torch.tensor([[3, 4, 5], [3, 4, 6]])}


def a_pulled_smol() -> dict[str, Any]:
    from bases import save_base
    from reverie.bundles.init import InitConfig, init_bundle
    from reverie.paths import models_dir

    init_bundle(save_base(Path("smol"), chat=True), models_dir() / "smol", InitConfig(dtype="fp32"))
    return {}


def a_bundle_with_experts() -> dict[str, Any]:
    import torch
    from transformers import AutoModelForCausalLM

    from reverie.experts import Library
    from reverie.experts.files import save_adapter
    from toy_experts import saved_base, small_backbone, toy_adapter, toy_card

    backbone, base, linears = saved_base(Path("my-bundle/backbone"))
    packaged = Library.open(Path("my-bundle/experts"), base, linears=linears)
    for seed, name in enumerate(("spatial", "abstract")):
        packaged.create(toy_card(name, base), toy_adapter(seed))
    save_adapter(toy_adapter(5), Path("adapters/poems"))
    Path("adapters/poems/card.json").write_text(f'{{"name": "poems", "base": "{base}"}}')
    return {
        "adapter": toy_adapter(2),
        "backbone": small_backbone(),
        "base": base,
        "folder": Path("my-bundle/experts"),
        "ids": (7, 8),
        "input_ids": torch.tensor([[3, 4, 5], [3, 4, 6]]),
        "model": AutoModelForCausalLM.from_pretrained(backbone, dtype=torch.float32).eval(),
        "prefix": (3, 4, 5),
    }


def a_generator() -> dict[str, Any]:
    from reverie.generator.generator import toy_generator

    toy_generator().save(Path("runs/engravings/bundle"))
    return {"pictures": np.zeros((2, 16, 16, 3), np.uint8)}


def a_collection() -> dict[str, Any]:
    pictures = np.zeros((3, 16, 16, 3), np.uint8)
    write_collection(Path("prepared"), pictures, ["a ship", "a map", "a tree"], ["train", "train", "val"])
    return {}


def a_router() -> dict[str, Any]:
    import torch

    from reverie.engine import Engine
    from reverie.experts.router import Router, RouterConfig
    from toy_experts import BASE, small_backbone

    engine = Engine(small_backbone())
    size = 2 * len(engine.embed([1]))
    router = Router(("causal", "spatial"), size, RouterConfig(), BASE, generator=torch.Generator().manual_seed(0))
    router.save(Path("router"))
    return {"torch": torch, "engine": engine, "folder": Path("router"), "base_hash": BASE, "ids": (3, 4, 5)}


PREPARED: dict[str, Callable[[], dict[str, Any]]] = {
    "docs/bases.md": a_base_made_elsewhere,
    "docs/collections.md": a_collection,
    "docs/experts.md": a_bundle_with_experts,
    "docs/generator-export.md": a_generator,
    "docs/generator.md": a_generator,
    "docs/routing.md": a_router,
    "docs/words.md": a_pulled_smol,
}


LONG = {"docs/generator-export.md"}  # traces six networks, as tests/generator/test_onnx.py does


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=[pytest.mark.slow] if page in LONG else []) for page in PAGES]
)
def test_the_python_of_a_page_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    document = Sybil([PythonCodeBlockParser(), SkipParser()]).parse(REPOSITORY / page)
    document.namespace.update(PREPARED.get(page, dict)())
    for example in document.examples():
        example.evaluate()


def test_what_is_prepared_is_for_pages_that_are_there() -> None:
    assert PREPARED.keys() | LONG <= set(PAGES)
