"""Folders for transformers, PEFT, onnxruntime and Ollama: whoever loads them gives what our engine gives."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from bases import save_base
from reverie.bundles import init_bundle
from reverie.bundles.init import InitConfig
from reverie.errors import ExpertError, UsageError
from reverie.export import ExportConfig, Exported, check_folder, export, open_source
from reverie.export.experts import parse_experts
from reverie.logs import quiet_transformers
from toy_exports import TEXTS, add_expert, log_probs, our_log_probs, tiny_bundle

QUESTION = "what happens when you drop an egg?"
BOTH = (("causal", 1.0), ("spatial", 0.5))


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("taught")
    bundle = tiny_bundle(folder)
    add_expert(bundle, folder / "library", "causal", 1)
    add_expert(bundle, folder / "library", "spatial", 2, {"q_proj": 2})
    return bundle, folder / "library"


@pytest.mark.parametrize("experts", [(), BOTH])
def test_transformers_gives_equal_logits(
    taught: tuple[Path, Path], tmp_path: Path, experts: tuple[tuple[str, float], ...]
) -> None:
    bundle, library = taught
    done = export("hf", bundle, tmp_path / "out", ExportConfig(experts=experts), library)
    assert done.merged == bool(experts)
    from transformers import AutoTokenizer

    words = AutoTokenizer.from_pretrained(done.folder)
    source = open_source(bundle)
    assert [words(text)["input_ids"] for text in TEXTS] == [source.tokenizer.encode(text).ids for text in TEXTS]
    asked = words.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)
    assert asked == "<user>hi<assistant>"
    ids = words(QUESTION)["input_ids"]
    found, truth = log_probs(done.folder, ids, 320), our_log_probs(source, ids, experts, library)
    assert np.abs(found - truth).max() < 1e-4


def test_nano_is_a_whole_model_of_transformers(tmp_path: Path) -> None:
    done = export("hf", "nano", tmp_path / "out")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    words = AutoTokenizer.from_pretrained(done.folder)
    asked = words.apply_chat_template([{"role": "user", "content": QUESTION}], tokenize=False)
    ids = words(asked)["input_ids"]
    truth = our_log_probs(open_source("nano"), ids, (), tmp_path / "library")
    assert np.abs(log_probs(done.folder, ids, 2048) - truth).max() < 1e-3
    with quiet_transformers():
        model = AutoModelForCausalLM.from_pretrained(done.folder, dtype=torch.float32)
    said = model.generate(torch.tensor([ids]), max_new_tokens=40, do_sample=False)[0, len(ids) :]
    assert said[-1] == words.eos_token_id
    assert words.decode(said, skip_special_tokens=True).strip()


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")  # between PEFT and transformers
def test_peft_loads_the_adapters_with_equal_effect(taught: tuple[Path, Path], tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    bundle, library = taught
    source = open_source(bundle)
    ids = source.tokenizer.encode(QUESTION).ids
    joint = export("peft", bundle, tmp_path / "joint", ExportConfig(experts=BOTH, merge=True), library)
    each = export("peft", bundle, tmp_path / "each", ExportConfig(experts=BOTH[1:]), library)
    for folder, choice in ((joint.folder, BOTH), (each.folder / "spatial", BOTH[1:])):
        with quiet_transformers():
            base = AutoModelForCausalLM.from_pretrained(bundle / "backbone", dtype=torch.float32)
            model = PeftModel.from_pretrained(base, folder).eval()
        with torch.inference_mode():
            found = model(torch.tensor([ids])).logits[0, -1, :320].log_softmax(-1).numpy()
        assert np.abs(found - our_log_probs(source, ids, choice, library)).max() < 1e-3
    assert json.loads((each.folder / "spatial" / "card.json").read_text())["name"] == "spatial"


@pytest.mark.parametrize(
    "family", [pytest.param("nano", marks=pytest.mark.slow), pytest.param("qwen2", marks=pytest.mark.slow), "qwen3"]
)
def test_onnxruntime_gives_equal_logits_whole_and_id_by_id(family: str, tmp_path: Path) -> None:
    ort = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    bundle = "nano" if family == "nano" else tiny_bundle(tmp_path, family)
    done = export("onnx", bundle, tmp_path / "out")
    source = open_source(bundle)
    ids = [*source.tokenizer.encode(QUESTION).ids]
    truth = our_log_probs(source, ids, (), tmp_path / "library")
    session = ort.InferenceSession(str(done.folder / "model.onnx"))
    shape = source.base.config.num_layers, 1, source.base.config.num_kv_heads, 0, source.base.config.head_size
    keys = values = np.zeros(shape, np.float32)
    whole = session.run(None, {"ids": np.array([ids]), "past_keys": keys, "past_values": values})[0][0, -1]
    for token in ids:
        asked = {"ids": np.array([[token]]), "past_keys": keys, "past_values": values}
        logits, keys, values = session.run(None, asked)
    for found in (whole, logits[0, -1]):
        found = torch.from_numpy(found)[: source.num_ids].log_softmax(-1).numpy()
        assert np.abs(found - truth).max() < 1e-3
    assert json.loads((done.folder / "config.json").read_text())["difference"] < 1e-3


def test_an_export_is_whole_or_absent(taught: tuple[Path, Path], tmp_path: Path) -> None:
    bundle, library = taught
    weights = library / "causal" / "adapter_model.safetensors"
    kept = weights.read_bytes()
    try:
        weights.write_bytes(kept[:100])
        with pytest.raises(ExpertError, match="damaged"):
            export("gguf", bundle, tmp_path / "out", ExportConfig(experts=BOTH), library)
    finally:
        weights.write_bytes(kept)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UsageError, match="has no experts of its own; name yours"):
        export("peft", bundle, tmp_path / "out", None, library)


def test_experts_are_named_with_their_weights() -> None:
    assert parse_experts("causal@1,spatial@0.5, temporal") == (("causal", 1.0), ("spatial", 0.5), ("temporal", 1.0))
    assert parse_experts("") == ()
    for wrong, said in (
        ("causal@", "causal@1,spatial@0.5; got 'causal@'"),
        ("causal@nan", "got 'causal@nan'"),
        ("a,b,c,d,e", "at most 4 experts"),
        ("a,a", "chosen once"),
        ("../up@1", "an expert's name"),
    ):
        with pytest.raises(UsageError, match=said):
            parse_experts(wrong)


def test_what_was_written_is_sealed(tmp_path: Path) -> None:
    done = export("ollama", "nano", tmp_path / "out", ExportConfig(experts=(("causal", 1.0),)))
    assert isinstance(done, Exported)
    told = json.loads((done.folder / "export.json").read_text())
    assert (told["kind"], told["type"], told["experts"], told["merged"]) == ("ollama", "f16", {"causal": 1.0}, False)
    assert set(told["files"]) == {"Modelfile", "nano-f16.gguf", "nano-lora.gguf"}


def test_a_name_with_a_slash_is_no_folder(tmp_path: Path) -> None:
    base = save_base(tmp_path / "base", chat=True)
    bundle = init_bundle(base, tmp_path / "made", InitConfig(dtype="fp32", name="../owner/my model"))
    done = export("ollama", bundle, tmp_path / "out")
    assert done.files == ("Modelfile", "export.json", "owner-my-model-f16.gguf")
    assert check_folder(done.folder) == ("ollama", [])
