"""An expert's folder: PEFT reads what we write, we read every plain LoRA that PEFT writes, and refuse the rest."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from reverie.errors import BundleError, ExpertError
from reverie.experts.contract import Adapter, ExpertCard, Factors
from reverie.experts.files import (
    CARD_FILE,
    CONFIG_FILE,
    WEIGHTS_FILE,
    base_hash,
    base_linears,
    check_expert,
    check_fit,
    describe_adapter,
    load_adapter,
    load_card,
    save_adapter,
    save_card,
)
from toy_experts import BASE, same, saved_base, toy_adapter, toy_card, toy_linears

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")  # PEFT reads it

IDS = torch.arange(3, 15)[None]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_base(tmp_path_factory.mktemp("base"))[0]


@pytest.fixture
def expert(tmp_path: Path) -> Path:
    """The folder of a sound expert."""
    folder = tmp_path / "causal"
    save_adapter(toy_adapter(), folder)
    save_card(toy_card(), folder)
    return folder


def transformer(base: Path) -> nn.Module:
    model: nn.Module = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    return model.eval()


def stirred(model: nn.Module, seed: int = 0) -> nn.Module:
    """``model`` whose factors B are not the zeros that they begin with."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model.eval()


@torch.no_grad()
def logits(model: nn.Module) -> torch.Tensor:
    found: torch.Tensor = model(IDS).logits
    return found


def added(model: nn.Module, adapter: Adapter) -> nn.Module:
    """``model`` with the factors added into its weights; a Conv1D has them transposed."""
    for name, module in model.named_modules():
        if name in adapter.factors:
            change = adapter.factors[name].up @ adapter.factors[name].down
            module.weight.data += change if isinstance(module, nn.Linear) else change.T
    return model


def edit(folder: Path, **values: Any) -> None:
    config = json.loads((folder / CONFIG_FILE).read_text())
    (folder / CONFIG_FILE).write_text(json.dumps(config | values))


# PEFT, both ways -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("ranks", [{}, {"q_proj": 2, "layers.1.mlp.down_proj": 7}])
def test_peft_loads_what_we_write(base: Path, tmp_path: Path, dtype: torch.dtype, ranks: dict[str, int]) -> None:
    adapter = toy_adapter(ranks=ranks)
    save_adapter(adapter, tmp_path / "a", dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # PEFT warns of keys that are missing or too many
        theirs = PeftModel.from_pretrained(transformer(base), tmp_path / "a").eval()
    ours = added(transformer(base), adapter)
    assert (logits(theirs) - logits(transformer(base))).abs().max() > 0.1
    assert torch.allclose(logits(theirs), logits(ours), atol=1e-5)
    assert same(load_adapter(tmp_path / "a"), adapter)


CONFIGS: dict[str, dict[str, Any]] = {
    "plain": {"target_modules": ["q_proj", "v_proj"]},
    "alpha": {"target_modules": ["q_proj"], "lora_alpha": 32},
    "rslora": {"target_modules": ["q_proj", "down_proj"], "use_rslora": True, "lora_alpha": 24},
    "regex": {"target_modules": r".*layers\.1\..*(gate|up)_proj"},
    "all-linear": {"target_modules": "all-linear"},
    "some layers": {"target_modules": ["o_proj"], "layers_to_transform": [1]},
    "patterns": {
        "target_modules": ["q_proj", "k_proj", "down_proj"],
        "rank_pattern": {"q_proj": 2, r"layers\.1\.mlp\.down_proj": 8, "layers.0.mlp.down_proj": 1},
        "alpha_pattern": {"k_proj": 40, r"model\.layers\.1\..*": 6, "q_proj": 3},
    },
    "patterns and rslora": {"target_modules": ["up_proj"], "use_rslora": True, "rank_pattern": {"layers.1.mlp.*": 9}},
    "anchored patterns": {"target_modules": ["q_proj"], "alpha_pattern": {"^model.layers.0.self_attn.q_proj": 50}},
    "gaussian": {"target_modules": ["v_proj"], "init_lora_weights": "gaussian"},
    "orthogonal": {"target_modules": ["v_proj"], "init_lora_weights": "orthogonal"},
    "mica": {"target_modules": ["v_proj"], "init_lora_weights": "mica"},
    "excluded": {"target_modules": ["q_proj", "v_proj"], "exclude_modules": ["model.layers.0.self_attn.q_proj"]},
    "dropout": {"target_modules": ["q_proj"], "lora_dropout": 0.3},
    "the output": {"target_modules": ["lm_head"]},
}


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.filterwarnings("ignore:.*tied.*", "ignore:.*save_embedding_layers.*", "ignore:.*tie_word_embeddings.*")
def test_we_load_what_peft_writes(base: Path, tmp_path: Path, name: str) -> None:
    theirs = stirred(get_peft_model(transformer(base), LoraConfig(r=4, task_type="CAUSAL_LM", **CONFIGS[name])))
    theirs.save_pretrained(tmp_path / "a", save_embedding_layers=False)
    adapter = load_adapter(tmp_path / "a")
    ours = transformer(base)
    if name == "the output":  # untied, or the change would reach the embedding, too
        ours.lm_head.weight = nn.Parameter(ours.lm_head.weight.clone())
    assert torch.allclose(logits(added(ours, adapter)), logits(theirs), atol=1e-5)
    check_fit(adapter, base_linears(base), "a")
    save_adapter(adapter, tmp_path / "again", torch.float32)  # and PEFT takes it back from us, whatever it was
    if name != "the output":
        again = PeftModel.from_pretrained(transformer(base), tmp_path / "again").eval()
        assert torch.allclose(logits(again), logits(theirs), atol=1e-5)


def test_we_load_an_adapter_that_was_saved_under_another_name(base: Path, tmp_path: Path) -> None:
    config = LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM")
    theirs = get_peft_model(transformer(base), config, adapter_name="mine")
    theirs.add_adapter("other", config)
    stirred(theirs).save_pretrained(tmp_path)  # each non-default one goes into a folder of its name
    theirs.set_adapter("mine")
    assert torch.allclose(logits(added(transformer(base), load_adapter(tmp_path / "mine"))), logits(theirs), atol=1e-5)


def test_names_of_adapters_inside_keys_are_left_out_and_two_in_one_file_are_refused(expert: Path) -> None:
    tensors = load_file(expert / WEIGHTS_FILE)
    named = {key.replace(".weight", ".default.weight"): tensor for key, tensor in tensors.items()}
    save_file(named, expert / WEIGHTS_FILE)
    assert same(load_adapter(expert), toy_adapter())
    save_file(named | {key: tensor.clone() for key, tensor in tensors.items()}, expert / WEIGHTS_FILE)
    with pytest.raises(ExpertError, match="two adapters in one"):
        load_adapter(expert)


@pytest.mark.parametrize("tied", [True, False])
def test_the_linears_of_a_base_are_those_of_transformers(tmp_path: Path, tied: bool) -> None:
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "vocab_size": 40}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(**sizes, **heads, tie_word_embeddings=tied, attention_bias=True))
    model.save_pretrained(tmp_path)
    modules = {name: one for name, one in model.named_modules() if isinstance(one, nn.Linear)}
    assert base_linears(tmp_path) == {name: (one.out_features, one.in_features) for name, one in modules.items()}
    quantized = json.loads((tmp_path / "config.json").read_text()) | {"quantization_config": {"bits": 4}}
    (tmp_path / "config.json").write_text(json.dumps(quantized))
    assert base_linears(tmp_path) == {}


def test_linears_that_are_convolutions_are_turned(tmp_path: Path) -> None:
    model = GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=40, n_positions=32)).eval()
    model.save_pretrained(tmp_path / "base")
    linears = base_linears(tmp_path / "base")
    assert linears["transformer.h.0.attn.c_attn"] == (48, 16)
    assert linears["lm_head"] == (40, 16)
    assert not [name for name in linears if "wte" in name or "wpe" in name]
    config = LoraConfig(r=2, target_modules=["c_attn", "c_fc"], fan_in_fan_out=True, task_type="CAUSAL_LM")
    theirs = stirred(get_peft_model(model, config))
    theirs.save_pretrained(tmp_path / "a")
    adapter = load_adapter(tmp_path / "a")
    check_fit(adapter, linears, "a")
    plain = GPT2LMHeadModel.from_pretrained(tmp_path / "base").eval()
    assert torch.allclose(logits(added(plain, adapter)), logits(theirs), atol=1e-5)


# what is refused -------------------------------------------------------------------------------------------------

OTHER_KINDS: dict[str, tuple[dict[str, Any], str]] = {
    "DoRA": ({"use_dora": True}, "DoRA"),
    "biases": ({"bias": "lora_only"}, "LoRA with biases"),
    "biases of factors": ({"lora_bias": True}, "LoRA with biases"),
    "whole modules": ({"modules_to_save": ["input_layernorm"]}, "whole modules"),
    "tokens": ({"trainable_token_indices": [1, 2]}, "trained tokens"),
    "PiSSA": ({"init_lora_weights": "pissa"}, "changes its base"),
    "OLoRA": ({"init_lora_weights": "olora"}, "changes its base"),
    "repeated layers": ({"layer_replication": [[0, 2], [1, 2]]}, "repeated layers"),
}


@pytest.mark.parametrize("name", OTHER_KINDS)
@pytest.mark.filterwarnings("ignore:.*lora_bias.*", "ignore:.*invalid shape.*")
def test_other_kinds_of_lora_are_refused_by_name(base: Path, tmp_path: Path, name: str) -> None:
    values, said = OTHER_KINDS[name]
    config = LoraConfig(**({"r": 4, "target_modules": ["q_proj"], "task_type": "CAUSAL_LM"} | values))
    get_peft_model(transformer(base), config).save_pretrained(tmp_path / "a")
    with pytest.raises(ExpertError, match=said):
        load_adapter(tmp_path / "a")


@pytest.mark.filterwarnings("ignore:.*tied.*", "ignore:.*tie_word_embeddings.*", "ignore:.*save_embedding_layers.*")
@pytest.mark.parametrize(("module", "part"), [("lm_head", "output layer"), ("embed_tokens", "embeddings")])
def test_changes_of_embeddings_and_output_are_refused_in_clear_words(
    base: Path, tmp_path: Path, module: str, part: str
) -> None:
    config = LoraConfig(r=4, target_modules=["q_proj", module], task_type="CAUSAL_LM")
    get_peft_model(transformer(base), config).save_pretrained(tmp_path / "a")
    with pytest.raises(ExpertError, match=rf"changes the {part} \(.*{module}\).*leave {module} out of target_modules"):
        load_adapter(tmp_path / "a")


def test_an_output_layer_of_other_ids_is_refused_in_clear_words() -> None:
    adapter = Adapter({"lm_head": Factors(torch.ones(2, 32), torch.ones(40, 2))})
    check_fit(adapter, {"lm_head": (40, 32)}, "a")
    with pytest.raises(
        ExpertError, match=r"the output layer of a base of 40 ids, and this one has 57.*leave lm_head out"
    ):
        check_fit(adapter, {"lm_head": (57, 32)}, "a")


def test_adapters_that_are_no_lora_are_refused_by_name(base: Path, tmp_path: Path) -> None:
    from peft import IA3Config, LoHaConfig

    kinds = {
        "IA3": IA3Config(target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"]),
        "LOHA": LoHaConfig(target_modules=["q_proj"]),
    }
    for name, config in kinds.items():
        get_peft_model(transformer(base), config).save_pretrained(tmp_path / name)
        with pytest.raises(ExpertError, match=f"another kind: {name}"):
            load_adapter(tmp_path / name)


class _Trap:
    """Unpickling it would make a file."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("name", ["adapter_model.bin", "weights.pt", "weights.PKL", WEIGHTS_FILE])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_is_refused_without_being_opened(expert: Path, tmp_path: Path, name: str, zipped: bool) -> None:
    (expert / WEIGHTS_FILE).unlink()
    trap = {"x": _Trap(tmp_path / "sprung")}
    torch.save(trap, expert / name, _use_new_zipfile_serialization=zipped)  # noqa: TID251
    with pytest.raises(ExpertError, match="is a pickle, which may run code: it was not opened"):
        load_adapter(expert)
    assert not (tmp_path / "sprung").exists()


def test_a_pickle_beside_safetensors_is_left_alone(expert: Path) -> None:
    (expert / "optimizer.pt").write_bytes(b"\x80\x04.")  # as in a checkpoint of transformers' Trainer
    assert same(load_adapter(expert), toy_adapter())


def _broken(key_end: str, change: Callable[[torch.Tensor], torch.Tensor | None]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS_FILE)
        key = next(key for key in tensors if key.endswith(key_end))
        changed = change(tensors.pop(key))
        save_file(tensors | ({key: changed} if changed is not None else {}), folder / WEIGHTS_FILE)

    return damage


def _with_value(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    def change(tensor: torch.Tensor) -> torch.Tensor:
        tensor[0, 0] = value
        return tensor

    return change


def _renamed(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS_FILE)
    save_file({key.replace("lora_A", "lora_X"): tensor for key, tensor in tensors.items()}, folder / WEIGHTS_FILE)


def _cut(folder: Path) -> None:
    data = (folder / WEIGHTS_FILE).read_bytes()
    (folder / WEIGHTS_FILE).write_bytes(data[: len(data) // 2])


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "NaN": (_broken("q_proj.lora_A.weight", _with_value(float("nan"))), "not finite"),
    "infinity": (_broken("q_proj.lora_B.weight", _with_value(float("inf"))), "not finite"),
    "a factor is missing": (_broken("q_proj.lora_B.weight", lambda tensor: None), "has not two factors"),
    "a factor of another rank": (_broken("q_proj.lora_B.weight", lambda tensor: tensor[:, :3].clone()), "rank 4 by"),
    "a rank of zero": (_broken("q_proj.lora_A.weight", lambda tensor: tensor[:0].clone()), "has not two factors"),
    "three axes": (_broken("q_proj.lora_A.weight", lambda tensor: tensor[None].clone()), "has not two factors"),
    "whole numbers": (_broken("q_proj.lora_A.weight", lambda tensor: tensor.to(torch.int8)), "quantized"),
    "an unknown tensor": (_renamed, "which is no LoRA factor"),
    "nothing in it": (lambda folder: save_file({}, folder / WEIGHTS_FILE), "holds no factors"),
    "cut off": (_cut, "is damaged"),
    "empty": (lambda folder: (folder / WEIGHTS_FILE).write_bytes(b""), "is damaged"),
    "no weights": (lambda folder: (folder / WEIGHTS_FILE).unlink(), f"{WEIGHTS_FILE} is missing"),
    "weights that are a folder": (
        lambda folder: ((folder / WEIGHTS_FILE).unlink(), (folder / WEIGHTS_FILE).mkdir(), None)[-1],
        "is damaged",
    ),
    "no config": (lambda folder: (folder / CONFIG_FILE).unlink(), f"missing: .*{CONFIG_FILE}"),
    "a config that is no JSON": (lambda folder: _write(folder / CONFIG_FILE, "{"), "is damaged"),
    "a config that is no text": (lambda folder: (folder / CONFIG_FILE).write_bytes(b"\xff\xfe\x00"), "is damaged"),
    "a config that is a list": (lambda folder: _write(folder / CONFIG_FILE, "[]"), "no JSON object"),
    "another rank in the config": (lambda folder: edit(folder, r=16), "rank 16 by its config, 4"),
    "another rank in a pattern": (lambda folder: edit(folder, rank_pattern={"q_proj": 2}), "rank 2 by its config"),
    "patterns that are a list": (lambda folder: edit(folder, alpha_pattern=["q"]), "must be settings by name"),
    "a pattern that is no pattern": (lambda folder: edit(folder, rank_pattern={"(": 2}), "malformed"),
    "an alpha that is text": (lambda folder: edit(folder, lora_alpha="8"), "its alpha of"),
    "an alpha that is not finite": (lambda folder: edit(folder, lora_alpha=float("nan")), "its alpha of"),
}


def _write(path: Path, text: str) -> None:
    path.write_text(text)


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_adapter_is_one_line(expert: Path, name: str) -> None:
    damage, said = DAMAGE[name]
    damage(expert)
    with pytest.raises(ExpertError, match=said) as caught:
        load_adapter(expert)
    assert "\n" not in str(caught.value)


def test_an_adapter_that_does_not_fit_the_base_is_refused() -> None:
    linears = toy_linears()
    check_fit(toy_adapter(), linears, "a")
    (linear, (out, size)), *_ = linears.items()
    for factors, said in (
        ({"model.layers.7.self_attn.q_proj": Factors(torch.ones(2, size), torch.ones(out, 2))}, "has no linear"),
        ({linear: Factors(torch.ones(2, size + 1), torch.ones(out, 2))}, f"takes {size} and gives {out} numbers"),
        ({linear: Factors(torch.ones(2, size), torch.ones(out * 2, 2))}, f"its factors {size} and {out * 2}"),
    ):
        with pytest.raises(ExpertError, match=said):
            check_fit(Adapter(factors), linears, "a")


def test_an_adapter_without_factors_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(ExpertError, match="without factors"):
        save_adapter(Adapter({}), tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_is_loaded_does_not_change_with_its_file(tmp_path: Path) -> None:
    save_adapter(toy_adapter(), tmp_path, torch.float32)
    loaded = load_adapter(tmp_path)
    with (tmp_path / WEIGHTS_FILE).open("r+b") as file:
        file.seek(-4000, 2)
        file.write(bytes(4000))
    assert same(loaded, toy_adapter())


# cards and sizes -------------------------------------------------------------------------------------------------


def test_a_card_comes_back_as_it_was(tmp_path: Path) -> None:
    card = ExpertCard(
        "causal",
        "causal",
        "what follows",
        BASE,
        "da7a" * 16,
        12,
        ("a", "b"),
        {"exact": 0.25},
        {"exact": 0.5},
        "now",
        "x",
    )
    save_card(card, tmp_path)
    assert load_card(tmp_path) == card
    values = json.loads((tmp_path / CARD_FILE).read_text())
    _write(tmp_path / CARD_FILE, json.dumps(values | {"of a later version": 1}))
    assert load_card(tmp_path) == card
    with pytest.raises(ExpertError, match="not finite"):
        save_card(toy_card(after={"exact": float("nan")}), tmp_path)
    assert load_card(tmp_path) == card


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is damaged"),
        ("[]", "a JSON object with at least a name"),
        ('{"name": "../up"}', "is damaged: an expert's name"),
        ('{"name": 7}', "the card's name is 7"),
        ('{"name": "a", "data_size": "many"}', "the card's data_size"),
    ],
)
def test_a_damaged_card_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    _write(tmp_path / CARD_FILE, text)
    with pytest.raises(ExpertError, match=said):
        load_card(tmp_path)


def test_an_expert_is_held_to_its_base(expert: Path) -> None:
    card, adapter = check_expert(expert, BASE, toy_linears())
    assert card == toy_card()
    assert same(adapter, toy_adapter())
    with pytest.raises(ExpertError, match="'causal' was trained on the base ba5eba5eba5…; this one is 07he7"):
        check_expert(expert, "07he7" * 12, toy_linears())
    save_card(toy_card(base=""), expert)
    with pytest.raises(ExpertError, match="unknown base"):
        check_expert(expert, BASE)
    (expert / CARD_FILE).unlink()
    with pytest.raises(ExpertError, match=f"missing: .*{CARD_FILE}"):
        check_expert(expert, BASE)


def test_sizes_are_read_from_the_head_of_the_file(tmp_path: Path) -> None:
    adapter = toy_adapter(ranks={"q_proj": 6})
    save_adapter(adapter, tmp_path)
    told = describe_adapter(tmp_path)
    assert told == {
        "rank": 6,
        "num_linears": len(adapter.factors),
        "num_parameters": adapter.nbytes // 4,
        "dtype": "BF16",
        "bytes": (tmp_path / WEIGHTS_FILE).stat().st_size,
    }
    data = (tmp_path / WEIGHTS_FILE).read_bytes()
    for damage in (data[:40], b"", b"\xff" * 90, b"\x02" + bytes(7) + b"[]", b"\x0a" + bytes(7) + b'{"a": "b"}'):
        (tmp_path / WEIGHTS_FILE).write_bytes(damage)
        with pytest.raises(ExpertError, match="is damaged"):
            describe_adapter(tmp_path)
    with pytest.raises(ExpertError, match="is missing"):
        describe_adapter(tmp_path / "nowhere")


def test_a_base_is_named_by_its_weights(base: Path, tmp_path: Path) -> None:
    one = base_hash(base)
    shutil.copytree(base, tmp_path / "b")
    assert base_hash(tmp_path / "b") == one
    assert base_hash(base, {"model.safetensors": "known"}) == "known"
    save_file({"more": torch.ones(2)}, tmp_path / "b" / "model-2.safetensors")
    assert base_hash(tmp_path / "b") != one
    with pytest.raises(BundleError, match="holds no"):
        base_hash(tmp_path)
    _write(tmp_path / "b" / "config.json", "{")
    with pytest.raises(BundleError, match="is damaged"):
        base_linears(tmp_path / "b")
