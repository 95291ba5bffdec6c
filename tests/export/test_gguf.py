"""GGUF exports under llama.cpp itself: the same ids, the same logits, the same words, with and without experts."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np
import pytest

from reverie.errors import BundleError, ExpertError, UsageError
from reverie.export import ExportConfig, export, open_source
from reverie_bench.llama_file import LlamaFile
from toy_exports import TEXTS, add_expert, log_probs, our_log_probs, tiny_bundle

pytest.importorskip("xllamacpp")
F32 = ExportConfig(type="f32")
QUESTION = "what happens when you drop an egg?"

ROPES: dict[str, dict[str, Any]] = {
    "linear": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0},
    "llama3": {
        "rope_type": "llama3",
        "rope_theta": 10000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    },
    "yarn": {
        "rope_type": "yarn",
        "rope_theta": 10000.0,
        "factor": 4.0,
        "original_max_position_embeddings": 64,
        "beta_fast": 8.0,
        "attention_factor": 1.3,
    },
}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "untied, with biases": ("llama-untied", {}),
    "mistral": ("mistral", {}),
    "qwen2": ("qwen2", {}),
    "qwen3": ("qwen3", {}),
    "smollm3": ("smollm3", {"num_hidden_layers": 4, "no_rope_layers": [1, 1, 1, 0]}),
    **{name: ("llama", {"rope_parameters": rope}) for name, rope in ROPES.items()},
}


@pytest.mark.parametrize("family", FAMILIES)
def test_llama_cpp_gives_the_logits_and_words_of_transformers(family: str, tmp_path: Path) -> None:
    kind, changes = FAMILIES[family]
    bundle = tiny_bundle(tmp_path, kind, **changes)
    done = export("gguf", bundle, tmp_path / "out", F32)
    source = open_source(bundle)
    assert source.num_ids == 320  # the grammar's ids mean nothing to a base that was not taught them
    ids = source.tokenizer.encode(TEXTS[0] * 3).ids[:100]
    with LlamaFile(done.folder / "tiny-f32.gguf") as file:
        texts = [normalize("NFC", text) if done.notes else text for text in TEXTS]
        assert [file.ids(text) for text in texts] == [source.tokenizer.encode(text).ids for text in texts]
        assert bool(done.notes) == (family == "qwen2")  # whose tokenizer composes letters, which llama.cpp does not
        assert np.abs(file.log_probs(ids, 320) - log_probs(tmp_path / "base", ids, 320)).max() < 1e-3
        said = file.greedy(ids, 8)
        truth = list(ids)
        for _ in range(len(said)):
            truth.append(int(log_probs(tmp_path / "base", truth, 320).argmax()))
        assert said == truth[len(ids) :]


def test_nano_goes_along_whole(tmp_path: Path) -> None:
    source = open_source("nano")
    done = export("gguf", "nano", tmp_path / "out", F32)
    base = done.folder / "nano-f32.gguf"
    adapters = [done.folder / f"nano-{name}-lora.gguf" for name in ("causal", "spatial")]
    with LlamaFile(base, adapters) as file:
        asked = file.prompt([{"role": "user", "content": QUESTION}])
        assert asked == f"<|reverie BOS|><|reverie ASK|> {QUESTION}<|reverie ANS|>"
        ids = file.ids(asked)
        assert ids == source.tokenizer.encode(asked).ids
        from reverie.bundles import load_bundle
        from reverie.tokens.vocabulary import ANS

        assert ids == [*load_bundle("nano").grammar.question_ids(QUESTION), ANS]
        for choice in ((), (("causal", 1.0),), (("causal", 1.0), ("spatial", 0.5))):
            truth = our_log_probs(source, ids, choice, tmp_path / "library")
            given = {("causal", "spatial").index(name): share for name, share in choice}
            assert np.abs(file.log_probs(ids, source.num_ids, given) - truth).max() < 1e-2
        for text in TEXTS:
            assert file.ids(" " + text) == [1296 + one for one in load_bundle("nano").grammar.text.encode(text)]


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A bundle with a user's library of two experts, whose ranks differ within one of them."""
    folder = tmp_path_factory.mktemp("taught")
    bundle = tiny_bundle(folder)
    add_expert(bundle, folder / "library", "causal", 1)
    add_expert(bundle, folder / "library", "spatial", 2, {"q_proj": 2, "down_proj": 6})
    return bundle, folder / "library"


BOTH = (("causal", 1.0), ("spatial", 0.5))


def test_adapters_do_what_experts_do_here(taught: tuple[Path, Path], tmp_path: Path) -> None:
    bundle, library = taught
    source = open_source(bundle)
    ids = source.tokenizer.encode(QUESTION).ids
    done = export("gguf", bundle, tmp_path / "each", ExportConfig("f32", BOTH), library)
    adapters = [done.folder / f"tiny-{name}-lora.gguf" for name, _ in BOTH]
    truth = our_log_probs(source, ids, BOTH, library)
    assert np.abs(truth - our_log_probs(source, ids, (), library)).max() > 0.1  # or it would prove nothing
    with LlamaFile(done.folder / "tiny-f32.gguf", adapters) as file:
        assert np.abs(file.log_probs(ids, 320, {0: 1.0, 1: 1.0}) - truth).max() < 1e-2  # weights are in the files
        alone = our_log_probs(source, ids, (), library)
        assert np.abs(file.log_probs(ids, 320) - alone).max() < 1e-2


@pytest.mark.parametrize("merge", [False, True])
def test_what_takes_one_gets_the_weighted_sum(taught: tuple[Path, Path], tmp_path: Path, merge: bool) -> None:
    bundle, library = taught
    source = open_source(bundle)
    ids = source.tokenizer.encode(QUESTION).ids
    done = export("ollama", bundle, tmp_path / "out", ExportConfig("f32", BOTH, merge), library)
    adapters = [] if merge else [done.folder / "tiny-lora.gguf"]
    with LlamaFile(done.folder / "tiny-f32.gguf", adapters) as file:
        found = file.log_probs(ids, 320, dict.fromkeys(range(len(adapters)), 1.0))
    assert np.abs(found - our_log_probs(source, ids, BOTH, library)).max() < 1e-2
    assert ("ADAPTER ./tiny-lora.gguf" in (done.folder / "Modelfile").read_text()) != merge


def test_grown_ids_are_named_and_keep_their_places(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path)
    source = open_source(bundle, grammar=True)
    done = export("gguf", bundle, tmp_path / "out", ExportConfig("f32", grammar=True))
    first = 320 + 32 + 256  # of the codes
    asked = "<|reverie BOS|>drop it<|reverie code 3|><|reverie (2,3)|>"
    ids = source.tokenizer.encode(asked).ids
    assert (ids[0], ids[-2], ids[-1]) == (321, first + 3, 320 + 32 + 2 * 16 + 3)
    with LlamaFile(done.folder / "tiny-f32.gguf") as file:
        assert file.ids(asked) == ids
        truth = log_probs(bundle / "backbone", ids, source.num_ids)
        assert np.abs(file.log_probs(ids, source.num_ids) - truth).max() < 1e-3


@pytest.mark.parametrize("kind", ["f16", "q8_0"])
def test_smaller_kinds_stay_near(tmp_path: Path, kind: str) -> None:
    done = export("gguf", "nano", tmp_path / "out", ExportConfig(kind, ()))  # type: ignore[arg-type]
    source = open_source("nano")
    ids = source.tokenizer.encode(f"<|reverie BOS|><|reverie ASK|> {QUESTION}<|reverie ANS|>").ids
    truth = our_log_probs(source, ids, (), tmp_path / "library")
    with LlamaFile(done.folder / f"nano-{kind}.gguf") as file:
        found = file.log_probs(ids, source.num_ids)
        assert found.argmax() == truth.argmax()
        likely = truth > -6
        assert np.abs(found - truth)[likely].max() < (0.02 if kind == "f16" else 0.5)


def test_what_llama_cpp_cannot_hold_is_refused(tmp_path: Path, taught: tuple[Path, Path]) -> None:
    with pytest.raises(BundleError, match="type 'gemma2'"):
        export("gguf", tiny_bundle(tmp_path, "gemma2"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    odd = tiny_bundle(tmp_path / "odd", "smollm3")
    with pytest.raises(BundleError, match="every fourth layer"):
        export("gguf", odd, tmp_path / "out")
    with pytest.raises(UsageError, match="f16 or f32 or q8_0, got bf16"):
        export("gguf", taught[0], tmp_path / "out", ExportConfig("bf16"))
    with pytest.raises(UsageError, match="Did you mean 'gguf'"):
        export("guff", taught[0], tmp_path / "out")
    with pytest.raises(UsageError, match="exists already"):
        export("gguf", taught[0], tmp_path)
    with pytest.raises(UsageError, match="Did you mean 'causal'"):
        export("gguf", taught[0], tmp_path / "out", ExportConfig(experts=(("casual", 1.0),)), taught[1])


def test_an_adapter_of_another_layer_is_refused(taught: tuple[Path, Path], tmp_path: Path) -> None:
    from reverie.experts.contract import Adapter
    from reverie.export.gguf_files import write_adapter
    from toy_experts import toy_adapter

    adapter = toy_adapter(linears={"lm_head": (320, 32)})
    with pytest.raises(ExpertError, match="'head' changes lm_head"):
        write_adapter(open_source(taught[0]), Adapter(adapter.factors), tmp_path / "a.gguf", "head")


def test_what_was_exported_is_a_base_again(tmp_path: Path) -> None:
    from reverie.bundles import init_bundle
    from reverie.bundles.init import InitConfig

    bundle = tiny_bundle(tmp_path)
    done = export("gguf", bundle, tmp_path / "out", F32)
    again = init_bundle(done.folder / "tiny-f32.gguf", tmp_path / "again", InitConfig(dtype="fp32"))
    mine, theirs = open_source(bundle), open_source(again)
    assert [theirs.tokenizer.encode(text).ids for text in TEXTS] == [mine.tokenizer.encode(text).ids for text in TEXTS]
    assert theirs.template == mine.template
    assert theirs.ends == mine.ends
    ids = mine.tokenizer.encode(QUESTION).ids
    apart = our_log_probs(mine, ids, (), tmp_path / "none") - our_log_probs(theirs, ids, (), tmp_path / "none")
    assert np.abs(apart).max() < 1e-4
