"""Any causal language model becomes a bundle that answers in its own words, and stays itself for transformers."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from bases import SMALL, quiet, save_base, toy_base, toy_words
from reverie.bundles import load_bundle, read_manifest
from reverie.bundles.bundle import seal_bundle
from reverie.bundles.init import InitConfig, init_bundle
from reverie.errors import BundleError, ConfigError, MissingExtraError, UsageError
from reverie.experts.contract import Adapter, Factors
from reverie.experts.files import base_hash
from reverie.experts.inject import RoutedInjection, inject
from reverie.settings import build_settings
from reverie.tokens.vocabulary import EOS, WHAT

FULL = InitConfig(dtype="fp32")
FAMILIES = ["llama", "qwen2", "qwen3", "gpt2"]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """Each family's base and the bundle made of it."""
    home = tmp_path_factory.mktemp("bases")
    made = {}
    for family in FAMILIES:
        base = save_base(home / family, family)
        made[family] = (base, init_bundle(base, home / f"{family}-bundle", FULL))
    return made


def theirs(folder: Path) -> Any:
    with quiet():
        return AutoModelForCausalLM.from_pretrained(folder, local_files_only=True).eval()


@pytest.mark.parametrize("family", FAMILIES)
def test_an_answer_is_what_the_base_itself_says(family: str, bundles: dict[str, tuple[Path, Path]]) -> None:
    base, folder = bundles[family]
    session = load_bundle(folder).session(memory=False)
    answer = session.ask("What falls off the table?", branches=0)
    assert 0 <= answer.confidence <= 1
    assert answer.known == (answer.confidence >= 0.5)
    words, model = AutoTokenizer.from_pretrained(base), theirs(base)
    prompt = words("Question: What falls off the table?\nAnswer:", return_tensors="pt").input_ids
    with torch.inference_mode():
        said = model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=256,
            do_sample=False,
            suppress_tokens=list(range(len(words), SMALL["vocab_size"])),  # ids that mean nothing
        )
    wanted = words.decode(said[0, prompt.shape[1] :], skip_special_tokens=True)
    assert answer.text.removesuffix(" …") == wanted.strip().split("\n")[0].rstrip()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_folder_inside_stays_one_that_transformers_loads(
    family: str, bundles: dict[str, tuple[Path, Path]]
) -> None:
    base, folder = bundles[family]
    before, after = theirs(base), theirs(folder / "backbone")
    num_text, added = SMALL["vocab_size"], load_bundle(folder).grammar.vocabulary.text_start
    assert after.config.vocab_size == num_text + added
    ids = torch.randint(0, num_text, (2, 9), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.allclose(after(ids).logits[..., :num_text], before(ids).logits, atol=1e-5)
    words = "what happens? ✓"
    assert AutoTokenizer.from_pretrained(folder / "backbone")(words) == AutoTokenizer.from_pretrained(base)(words)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_what_is_shown_to_a_base_is_refused_in_one_line(family: str, bundles: dict[str, tuple[Path, Path]]) -> None:
    session = load_bundle(bundles[family][1]).session(memory=False)
    asked = "What happens if you step down?"
    for show in (session.ask, session.dream):
        for shown in ({"world": "FrozenLake", "scene": "SFF,FHF,FFG"}, {"images": [np.zeros((8, 8, 3), np.uint8)]}):
            with pytest.raises(UsageError, match="was taught no pictures") as caught:
                show(asked, **shown)  # type: ignore[operator]
            assert "\n" not in str(caught.value)


def test_the_ids_of_the_grammar_stand_before_those_of_the_base(bundles: dict[str, tuple[Path, Path]]) -> None:
    session = load_bundle(bundles["llama"][1]).session(memory=False)
    ids = session.grammar.question_ids("what happens?")
    assert session.grammar.decode([*ids, EOS]).question == "what happens?"
    assert np.isfinite(session.engine.score(ids, [WHAT]))


def test_branches_are_answers_of_their_own(bundles: dict[str, tuple[Path, Path]]) -> None:
    session = load_bundle(bundles["llama"][1]).session(memory=False)
    asked = "What happens if you push the red ball?"
    answer = session.ask(asked, branches=3, temperature=1.0)
    assert len({dream.said for dream in answer.dreams}) == 3
    assert (answer.guess or answer.text) == answer.dreams[answer.verdict.branch].said
    assert all("\n" not in dream.said for dream in answer.dreams)
    again = session.ask(asked, branches=3, temperature=1.0)
    assert [dream.said for dream in again.dreams] == [dream.said for dream in answer.dreams]


def test_the_manifest_says_what_the_base_is(bundles: dict[str, tuple[Path, Path]]) -> None:
    base, folder = bundles["gpt2"]
    manifest = read_manifest(folder)
    assert manifest["name"] == "gpt2"
    assert manifest["base"] == {
        "source": "gpt2",
        "source_kind": "folder",
        "source_sha256": base_hash(base),
        "architecture": "GPT2LMHeadModel",
        "dtype": "fp32",
        "quantized": "",
        "prompt": "question",
        "taught": False,
    }
    assert str(base.parent) not in (folder / "manifest.json").read_text()


def test_the_same_base_gives_the_same_bundle(tmp_path: Path) -> None:
    base = save_base(tmp_path / "base")
    first, second = (init_bundle(base, tmp_path / name, FULL) for name in ("first", "second"))
    assert base_hash(first / "backbone") == base_hash(second / "backbone")


@pytest.mark.parametrize(("units", "chosen"), [("AMX", "bf16"), ("", "fp32")])
def test_a_base_is_kept_in_what_this_machine_is_fast_in(
    units: str, chosen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reverie.precision._bf16_units", lambda device: units)
    told: list[str] = []
    settings = InitConfig(name="mine")
    folder = init_bundle(save_base(tmp_path / "base"), tmp_path / "mine", settings, on_step=told.append)
    manifest = read_manifest(folder)
    assert (manifest["name"], manifest["base"]["dtype"]) == ("mine", chosen)
    assert manifest["recipe"]["init"]["dtype"] == "auto"
    assert any(line.startswith(f"keeping it in {chosen}: ") for line in told)


def test_bf16_is_read_into_fp32_where_it_would_be_emulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    half = init_bundle(save_base(tmp_path / "base"), tmp_path / "half", InitConfig(dtype="bf16"))
    read = {}
    for units, dtype in (("AMX", torch.bfloat16), ("", torch.float32)):
        monkeypatch.setattr("reverie.precision._bf16_units", lambda device, units=units: units)
        read[dtype] = load_bundle(half, trainable=True).backbone
        assert {parameter.dtype for parameter in read[dtype].parameters()} == {dtype}
        assert load_bundle(half).session(memory=False).ask("What rolls?", branches=0).text
    for one, other in zip(*(backbone.parameters() for backbone in read.values()), strict=True):
        assert torch.equal(one.float(), other)


def test_a_chat_template_is_used_where_there_is_one(tmp_path: Path) -> None:
    folder = init_bundle(save_base(tmp_path / "base", chat=True), tmp_path / "bundle", FULL)
    bundle = load_bundle(folder)
    assert read_manifest(folder)["base"]["prompt"] == "chat"
    start = bundle.grammar.vocabulary.text_start
    said = bundle.grammar.text.decode([token - start for token in bundle.prompter.ids("What falls?")])
    assert said == "<user>What falls?<assistant>"
    plain = init_bundle(tmp_path / "base", tmp_path / "plain", InitConfig(dtype="fp32", prompt="plain"))
    asked = load_bundle(plain).prompter
    assert bundle.grammar.text.decode([token - start for token in asked.ids(" Once upon ")]) == "Once upon"


def test_weights_in_several_files_are_read(tmp_path: Path) -> None:
    base, words = toy_base("llama"), toy_words()
    with quiet():
        base.save_pretrained(tmp_path / "base", max_shard_size="20KB")
        words.save_pretrained(tmp_path / "base")
    assert len(list((tmp_path / "base").glob("*.safetensors"))) > 1
    folder = init_bundle(tmp_path / "base", tmp_path / "bundle", FULL)
    with quiet():
        load_bundle(folder, trainable=True).backbone.base.save_pretrained(tmp_path / "split", max_shard_size="40KB")
    (folder / "backbone" / "model.safetensors").unlink()
    for file in (tmp_path / "split").glob("model*"):
        shutil.copy(file, folder / "backbone")
    manifest = read_manifest(folder)
    seal_bundle(folder, name="split", worlds=manifest["worlds"], base=manifest["base"])
    assert load_bundle(folder).session(memory=False).ask("What rolls?", branches=0).text


# quantization -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("bits", "off"), [("8bit", 0.05), ("4bit", 0.4)])
def test_linears_in_few_bits_answer_nearly_the_same(bits: Any, off: float, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    sizes = {"hidden_size": 64, "intermediate_size": 128, "initializer_range": 0.05}
    base = save_base(tmp_path / "base", "llama", **sizes)
    whole, folder = (
        init_bundle(base, tmp_path / name, InitConfig(dtype="fp32", quantize=quantize))
        for name, quantize in (("whole", ""), ("quantized", bits))
    )
    bundle = load_bundle(folder, trainable=True)
    kept = bundle.backbone.linears.get_submodule("model.layers.0.mlp.up_proj").weight  # type: ignore[union-attr]
    assert kept.dtype in (torch.int8, torch.uint8)
    ids = torch.tensor([[1500, 1400, 5, 1333, 1600]])
    with torch.inference_mode():
        given, wanted = bundle.backbone(ids), load_bundle(whole, trainable=True).backbone(ids)
    assert 0 < float((given - wanted).norm() / wanted.norm()) < off
    assert bundle.session(memory=False).ask("What rolls?", branches=0).text
    again, turn = theirs(folder / "backbone"), bundle.backbone.ids  # type: ignore[union-attr]  # read by transformers itself
    with torch.inference_mode():
        assert torch.allclose(turn.rotate_logits(again(turn.to_base_ids(ids)).logits), given)


@pytest.mark.parametrize("bits", ["8bit", "4bit"])
def test_experts_hang_onto_quantized_linears(bits: Any, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    base = save_base(tmp_path / "base", "llama", hidden_size=64, intermediate_size=128)
    model = load_bundle(init_bundle(base, tmp_path / "bundle", InitConfig("fp32", bits))).backbone.base
    name = "model.layers.1.mlp.down_proj"  # the last linear before the head: what it adds is seen at once
    factors = Factors(torch.randn(2, 128) * 0.1, torch.randn(64, 2) * 0.1)

    class One:
        def key(self, name: str) -> str:
            return "1"

        def adapter(self, name: str) -> Adapter:
            return Adapter({"model.layers.1.mlp.down_proj": factors})

    seen: dict[str, torch.Tensor] = {}
    linear = model.get_submodule(name)
    linear.register_forward_hook(lambda _, given, out: seen.update(x=given[0], bare=out))
    injection = inject(model, One())
    assert isinstance(injection, RoutedInjection)
    linear.register_forward_hook(lambda _, given, out: seen.update(out=out))
    with torch.inference_mode(), injection.rows([injection.resolve((("one", 0.5),)), ()]):
        model(input_ids=torch.tensor([[1, 2, 3], [4, 5, 6]]))
    added = 0.5 * seen["x"][0] @ factors.down.t() @ factors.up.t()
    assert torch.allclose(seen["out"][0] - seen["bare"][0], added, atol=1e-5)
    assert torch.equal(seen["out"][1], seen["bare"][1])


def test_a_missing_quantizer_is_named_with_its_install_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "bitsandbytes", None)
    base = save_base(tmp_path / "base")
    with pytest.raises(MissingExtraError, match=r"reverie\[quant\]"):
        init_bundle(base, tmp_path / "bundle", InitConfig(quantize="4bit"))
    assert not (tmp_path / "bundle").exists()


def test_sizes_that_no_block_fits_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    with pytest.raises(UsageError, match="take --quantize 8bit"):
        init_bundle(save_base(tmp_path / "base"), tmp_path / "bundle", InitConfig(quantize="4bit"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base"]


# bad input ----------------------------------------------------------------------------------------------------


def refused(base: Any, tmp_path: Path, match: str, kind: type[Exception] = BundleError, **options: Any) -> None:
    """One clear line, and nothing is left."""
    before = sorted(tmp_path.iterdir())
    with pytest.raises(kind, match=match) as caught:
        init_bundle(base, tmp_path / "bundle", FULL, **options)
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before


def test_what_is_no_base_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", tmp_path, "no base", UsageError)
    (tmp_path / "models").mkdir()
    refused("models/llama-7b", tmp_path, "cannot be fetched|no base", (BundleError, UsageError))  # type: ignore[arg-type]
    refused(tmp_path / "models", tmp_path, "the base's config is missing")
    (tmp_path / "notes.txt").write_text("hello")
    refused(tmp_path / "notes.txt", tmp_path, "a base is a folder", UsageError)
    (tmp_path / "models" / "config.json").write_text('{"a": 1}')
    refused(tmp_path / "models", tmp_path, "names no model_type")
    (tmp_path / "models" / "config.json").write_text("{")
    refused(tmp_path / "models", tmp_path, "is damaged")


def test_a_path_that_does_not_exist_is_never_taken_for_a_hub_s_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetched(*_: Any, **__: Any) -> str:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetched)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    for base in ("runs/mine", "./mine", "mine", "/mine", "a/b/c", "../mine"):
        refused(base, tmp_path, "no base", UsageError)


def test_a_hub_s_id_is_fetched_and_its_failure_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = save_base(tmp_path / "snapshot")
    asked: list[str] = []
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, **_: asked.append(name) or str(base))
    folder = init_bundle("someone/tiny-llama", tmp_path / "bundle", FULL)
    assert asked == ["someone/tiny-llama"]
    assert read_manifest(folder)["base"]["source"] == "someone/tiny-llama"
    assert read_manifest(folder)["name"] == "tiny-llama"

    (tmp_path / "empty").mkdir()
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(tmp_path / "empty"))
    with pytest.raises(BundleError, match=r"'someone/ggufs' holds no model folder .* fetch one of them"):
        init_bundle("someone/ggufs", tmp_path / "other", FULL)

    def unreachable(*_: Any, **__: Any) -> str:
        raise OSError("no route to host")

    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    with pytest.raises(BundleError, match="'someone/other' cannot be fetched: no route to host"):
        init_bundle("someone/other", tmp_path / "other", FULL)


@pytest.mark.parametrize(
    ("kind", "fields", "match"),
    [
        ("bert", {"architectures": ["BertForMaskedLM"]}, "BertForMaskedLM, which is no causal"),
        ("roberta", {}, "no causal language model"),
        ("t5", {"architectures": ["T5ForConditionalGeneration"], "is_encoder_decoder": True}, "encoder with a decoder"),
        ("clip", {"architectures": ["CLIPModel"]}, "CLIPModel, which is no causal"),
        ("mystery", {"auto_map": {"AutoModelForCausalLM": "code.Model"}}, "code of its own"),
    ],
)
def test_other_kinds_of_models_are_refused(kind: str, fields: dict[str, Any], match: str, tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text(json.dumps({"model_type": kind, **fields}))
    refused(base, tmp_path, match)


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    base = save_base(tmp_path / "base")
    weights = base / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    refused(base, tmp_path, "damaged or cannot be loaded")
    weights.unlink()
    refused(base, tmp_path, "no weights")
    (base / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    refused(base, tmp_path, "a pickle, which is never opened")

    from safetensors.torch import load, save

    tensors = load(whole)
    lacking = {name: tensor for name, tensor in tensors.items() if "layers.1.mlp.up_proj" not in name}
    weights.write_bytes(save(lacking, {"format": "pt"}))
    refused(base, tmp_path, "1 missing tensors: model.layers.1.mlp.up_proj.weight")
    tensors["model.norm.weight"][3] = float("nan")
    weights.write_bytes(save(tensors, {"format": "pt"}))
    refused(base, tmp_path, "model.norm.weight holds values that are not finite")
    tensors["model.norm.weight"] = torch.ones(16)
    weights.write_bytes(save(tensors, {"format": "pt"}))
    refused(base, tmp_path, "damaged")


def test_a_tokenizer_that_is_missing_or_damaged_is_refused(tmp_path: Path) -> None:
    base = save_base(tmp_path / "base")
    (base / "tokenizer.json").write_text("{")
    refused(base, tmp_path, "the tokenizer in .* cannot be loaded")
    (base / "tokenizer.json").unlink()
    (base / "tokenizer_config.json").unlink()
    refused(base, tmp_path, "the tokenizer in")
    words = tmp_path / "words"
    toy_words().save_pretrained(words)
    init_bundle(base, tmp_path / "bundle", FULL, tokenizer=words / "tokenizer.json")
    assert load_bundle(tmp_path / "bundle").session(memory=False).ask("What rolls?", branches=0).text


def test_existing_output_is_kept(tmp_path: Path) -> None:
    base = save_base(tmp_path / "base")
    for place in ("folder", "file"):
        out = tmp_path / place
        out.mkdir() if place == "folder" else out.write_text("precious")
        with pytest.raises(UsageError, match="exists already"):
            init_bundle(base, out, FULL)
    assert (tmp_path / "file").read_text() == "precious"
    with pytest.raises(UsageError, match="lies under a file"):
        init_bundle(base, tmp_path / "file" / "bundle", FULL)


def test_a_full_disk_is_said_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = save_base(tmp_path / "base")
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(100, 90, 10))
    refused(base, tmp_path, "GB are free")


def test_a_disk_that_fills_up_leaves_nothing(tmp_path: Path) -> None:
    """No file may grow beyond a few kilobytes, which is what a full disk looks like to a writer."""
    resource = pytest.importorskip("resource", reason="needs limits as Unix has them")
    base = save_base(tmp_path / "base")
    limits, ignored = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
        refused(base, tmp_path, "cannot be written|File too large", (OSError, BundleError))  # type: ignore[arg-type]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)


def test_a_quantized_base_is_not_quantized_again(tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    base = save_base(tmp_path / "base", "llama", hidden_size=64, intermediate_size=128)
    folder = init_bundle(base, tmp_path / "once", InitConfig("fp32", "8bit"))
    with pytest.raises(UsageError, match="quantized already"):
        init_bundle(folder / "backbone", tmp_path / "twice", InitConfig("fp32", "4bit"))


def test_settings_and_prompts_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="one of auto, fp32, bf16, fp16"):
        build_settings(InitConfig, {"dtype": "int3"})
    base = save_base(tmp_path / "base")
    with pytest.raises(UsageError, match="no chat template"):
        init_bundle(base, tmp_path / "bundle", InitConfig(dtype="fp32", prompt="chat"))
    refused(base, tmp_path, "no bundle 'nono'", UsageError, image_tokenizer="nono")


def test_a_bundle_of_a_damaged_base_is_refused(bundles: dict[str, tuple[Path, Path]], tmp_path: Path) -> None:
    folder = shutil.copytree(bundles["llama"][1], tmp_path / "copy")
    config = json.loads((folder / "backbone" / "config.json").read_text())
    (folder / "backbone" / "config.json").write_text(json.dumps(config | {"vocab_size": 99}))
    with pytest.raises(BundleError, match=r"config.json has \d+ bytes"):
        load_bundle(folder)
    manifest = read_manifest(folder)
    seal_bundle(folder, name="x", worlds={}, base=manifest["base"])
    with pytest.raises(BundleError, match="damaged"):
        load_bundle(folder)
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base": 3}))
    with pytest.raises(BundleError, match="no 'base'"):
        load_bundle(folder)


def test_families_that_only_bert_has_are_known(tmp_path: Path) -> None:
    """A decoder made of an encoder's layers is a causal language model, too."""
    base = tmp_path / "base"
    config = CONFIG_MAPPING["bert"](**SMALL, is_decoder=True)
    with torch.random.fork_rng(), quiet():
        AutoModelForCausalLM.from_config(config).save_pretrained(base)
        toy_words().save_pretrained(base)
    folder = init_bundle(base, tmp_path / "bundle", FULL)
    assert load_bundle(folder).session(memory=False).ask("What rolls?", branches=0).text
