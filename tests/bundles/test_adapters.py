"""Adapters that PEFT trained on the model that a bundle was made of fit the bundle, and say so; others do not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from bases import quiet, save_base
from reverie.bundles import load_bundle, read_manifest
from reverie.bundles.experts import open_library
from reverie.bundles.init import InitConfig, init_bundle
from reverie.cli import main
from reverie.errors import ExpertError
from reverie.experts import inject
from reverie.experts.files import CONFIG_FILE
from reverie.experts.library import Library
from reverie.model.gguf_base import load_gguf, read_gguf
from toy_gguf import tiny_gguf

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*(ties|tied|tie_word_embeddings|save_embedding_layers).*"),  # of PEFT
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning"),
]
FULL = InitConfig(dtype="fp32")


def train(base: Path, folder: Path, name: str = "default", **settings: Any) -> Path:
    """An adapter with random factors, saved as PEFT saves it."""
    from peft import LoraConfig, get_peft_model

    with torch.random.fork_rng(), quiet():
        torch.manual_seed(3)
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        config = LoraConfig(**{"r": 4, "target_modules": ["q_proj", "v_proj"], "init_lora_weights": False} | settings)
        get_peft_model(model, config, adapter_name=name).save_pretrained(folder)
    return folder


def renamed(adapter: Path, copy: Path, said: str) -> Path:
    shutil.copytree(adapter, copy)
    config = json.loads((copy / CONFIG_FILE).read_text()) | {"base_model_name_or_path": said}
    (copy / CONFIG_FILE).write_text(json.dumps(config))
    return copy


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_base(tmp_path_factory.mktemp("bases") / "tiny-llama")


@pytest.fixture(scope="module")
def bundle(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return init_bundle(base, tmp_path_factory.mktemp("made") / "bundle", FULL)


@pytest.fixture(scope="module")
def adapter(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(base, tmp_path_factory.mktemp("trained") / "poems")


def library_of(bundle: Path, tmp_path: Path, default: bool = False) -> Library:
    return open_library(bundle, read_manifest(bundle), None if default else tmp_path / "library")


def test_an_adapter_of_the_very_folder_is_taken_and_does_what_peft_does(
    base: Path, bundle: Path, adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from peft import PeftModel

    assert main(["experts", "add", str(adapter), "--model", str(bundle), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["notes"] == "a PEFT adapter"
    ids = torch.tensor([[3, 7, 9, 20, 5]])
    with quiet(), torch.inference_mode():
        bare = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        theirs = PeftModel.from_pretrained(bare, adapter)(input_ids=ids).logits
    ours = load_bundle(bundle, trainable=True).backbone.base  # type: ignore[union-attr]
    injection = inject(ours, library_of(bundle, tmp_path, default=True))
    with torch.inference_mode(), injection.rows([injection.resolve((("poems", 1.0),))]):
        with_it = ours(input_ids=ids).logits[..., : theirs.shape[-1]]
    with torch.inference_mode():
        assert not torch.allclose(ours(input_ids=ids).logits[..., : theirs.shape[-1]], theirs, atol=1e-2)
    assert torch.allclose(with_it, theirs, atol=1e-5)


def test_names_prove_less_than_weights(base: Path, bundle: Path, adapter: Path, tmp_path: Path) -> None:
    library = library_of(bundle, tmp_path)
    with pytest.raises(ExpertError, match=r"made for '/gone/tiny-llama', which cannot be compared .*--trust-base"):
        library.add(renamed(adapter, tmp_path / "a", "/gone/tiny-llama"))
    assert "base taken by its name (tiny-llama)" in library.add(renamed(adapter, tmp_path / "b", "tiny-llama")).notes
    other = save_base(tmp_path / "other", seed=1)
    with pytest.raises(ExpertError, match="was made for another base"):  # its weights lie here, and differ
        library.add(renamed(adapter, tmp_path / "c", str(other)), trust_base=True)


def test_a_bundle_of_a_gguf_file_is_known_by_the_names_of_its_original(tmp_path: Path) -> None:
    """Packed weights are nobody's: a folder of the original can be neither held to them nor told from another."""
    packed, original = tiny_gguf(tmp_path), tmp_path / "original"
    made = init_bundle(packed, tmp_path / "bundle", FULL, said={"known_as": ["someone/tiny"]})
    with quiet():
        load_gguf(read_gguf(packed), torch.float32).save_pretrained(original)
    trained = train(original, tmp_path / "poems")
    library = library_of(made, tmp_path)
    with pytest.raises(ExpertError, match=r"cannot be compared .*--trust-base"):
        library.add(trained)
    assert "on trust" in library.add(trained, trust_base=True).notes
    named = library.add(renamed(trained, tmp_path / "verses", "someone/tiny"))
    assert "base taken by its name (someone/tiny), its weights were not compared" in named.notes


def test_a_bundle_that_does_not_say_what_it_was_made_of_takes_adapters_on_trust(
    bundle: Path, adapter: Path, tmp_path: Path
) -> None:
    manifest = read_manifest(bundle)
    older = {key: value for key, value in manifest["base"].items() if not key.startswith("source_")}
    library = open_library(bundle, manifest | {"base": older}, tmp_path / "library")
    with pytest.raises(ExpertError, match="cannot be compared"):
        library.add(adapter)
    assert "on trust" in library.add(adapter, trust_base=True).notes


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"target_modules": ["q_proj", "lm_head"]}, "lm_head"),
        ({"target_modules": ["q_proj", "embed_tokens"]}, "embed_tokens"),
        ({"modules_to_save": ["lm_head"]}, "lm_head"),
        ({"modules_to_save": ["embed_tokens"]}, "embed_tokens"),
        ({"trainable_token_indices": [3, 4]}, "trained tokens"),
    ],
)
@pytest.mark.parametrize("tied", [True, False])
def test_adapters_of_the_head_or_the_embeddings_are_refused_in_those_words(
    settings: dict[str, Any], said: str, tied: bool, tmp_path: Path
) -> None:
    base = save_base(tmp_path / "base", tie_word_embeddings=tied)
    trained = train(base, tmp_path / "adapter", **settings)
    library = library_of(init_bundle(base, tmp_path / "bundle", FULL), tmp_path)
    with pytest.raises(ExpertError) as caught:
        library.add(trained)
    assert said in str(caught.value)
    assert "base_layer" not in str(caught.value)
    assert library.names() == []


def test_an_adapter_that_was_saved_under_a_name_is_found_in_the_folder_around(
    base: Path, bundle: Path, tmp_path: Path
) -> None:
    train(base, tmp_path / "saved", name="my_v1")
    assert (tmp_path / "saved" / "my_v1" / CONFIG_FILE).exists()
    assert library_of(bundle, tmp_path).add(tmp_path / "saved").name == "my_v1"
