"""A base in a GGUF file becomes a bundle that says what llama.cpp says; a file that cannot be one costs one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from reverie.bundles import load_bundle, read_manifest, verify_bundle
from reverie.bundles.bundle import gguf_of
from reverie.bundles.init import InitConfig, init_bundle
from reverie.errors import BundleError, MissingExtraError, ReverieError, UsageError
from reverie.files import sha256_of
from reverie.model.gguf_base import gguf_tokenizer, load_gguf, read_gguf
from toy_gguf import tiny_gguf

FULL = InitConfig(dtype="fp32")
MIXED = "On 24 December I'd paid 12,345.67 €, don't!  two  spaces\n\nZürich <|im_start|>user\nhi<|im_end|> 東京 x²½"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gguf(tmp_path_factory.mktemp("gguf"))


@pytest.fixture(scope="module")
def bundle(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return init_bundle(tiny, tmp_path_factory.mktemp("made") / "tiny", FULL, keep_gguf=True)


def llama_cpp(path: Path) -> Any:
    """llama.cpp's own server over a file, its cache in fp32."""
    xllamacpp = pytest.importorskip("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path, params.n_ctx, params.warmup, params.cpuparams.n_threads = str(path), 512, False, 1
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED  # which rounds to fp16
    return xllamacpp.Server(params)


def said_by_llama_cpp(server: Any, ids: list[int], num: int) -> tuple[list[int], list[float]]:
    """Its likeliest next ids, and their log-probabilities in nats."""
    asked = {"prompt": ids, "n_predict": num, "temperature": 0.0, "n_probs": 1, "cache_prompt": False}
    chosen = server.handle_completions(asked)["choices"][0]["logprobs"]["content"]
    return [one["id"] for one in chosen], [one["logprob"] for one in chosen]


def assert_same(ours: tuple[list[int], list[float]], theirs: tuple[list[int], list[float]]) -> None:
    """llama.cpp tells nothing of an id that ends within a letter."""
    said = dict(enumerate(zip(*theirs, strict=True)))
    place = 0
    for id, nats in zip(*ours, strict=True):
        if place in said and said[place][0] == id:
            assert abs(said[place][1] - nats) < 1e-4
            place += 1
    assert place == len(said) >= len(ours[0]) - 2


def said_by(model: Any, ids: list[int], num: int) -> tuple[list[int], list[float]]:
    row, nats = list(ids), []
    for _ in range(num):
        with torch.inference_mode():
            scores = model(input_ids=torch.tensor([row])).logits[0, -1].float().log_softmax(-1)
        row.append(int(scores.argmax()))
        nats.append(float(scores.max()))
    return row[len(ids) :], nats


def test_it_answers_as_llama_cpp_does(tiny: Path, bundle: Path) -> None:
    loaded = load_bundle(bundle, trainable=True)
    words = AutoTokenizer.from_pretrained(bundle / "backbone")
    ids = words("the red ball rolls off the")["input_ids"]
    theirs = said_by_llama_cpp(llama_cpp(tiny), ids, 12)
    num_text = loaded.grammar.vocabulary.num_text

    class OwnIds:  # without the grammar's, which a base has never seen
        def __call__(self, input_ids: torch.Tensor) -> Any:
            out = loaded.backbone.base(input_ids=input_ids)  # type: ignore[union-attr]
            out.logits = out.logits[..., :num_text]
            return out

    assert_same(said_by(OwnIds(), ids, 12), theirs)
    answer = loaded.session(memory=False).ask("What rolls off the table?", branches=0)
    assert answer.text


def test_the_manifest_says_of_which_file_it_was_made(tiny: Path, bundle: Path) -> None:
    base = read_manifest(bundle)["base"]
    assert (base["source"], base["source_kind"], base["licence"]) == ("tiny", "gguf", "apache-2.0")
    assert base["source_sha256"] == sha256_of(tiny)
    assert (base["architecture"], base["prompt"]) == ("LlamaForCausalLM", "chat")
    kept = gguf_of(bundle)
    assert kept is not None
    assert sha256_of(kept) == sha256_of(tiny)
    assert not any(name.startswith("gguf/") for name in verify_bundle(bundle)["files"])  # loading need not read it


def test_without_the_file_a_bundle_has_none(tiny: Path, tmp_path: Path) -> None:
    assert gguf_of(init_bundle(tiny, tmp_path / "bundle", FULL)) is None
    assert not (tmp_path / "bundle" / "gguf").exists()


@pytest.mark.parametrize("pre", ["gpt-2", "smollm", "llama-bpe", "qwen2"])
def test_words_are_cut_as_llama_cpp_cuts_them(pre: str, tmp_path: Path) -> None:
    path = tiny_gguf(tmp_path, fields={"tokenizer.ggml.pre": pre})
    words = gguf_tokenizer(read_gguf(path))
    server = llama_cpp(path)
    import httpx

    asked = {"content": MIXED, "parse_special": True}
    theirs = httpx.post(f"{server.listening_address}/tokenize", json=asked).json()["tokens"]
    assert words(MIXED)["input_ids"] == theirs
    assert words.decode(theirs) == MIXED
    assert len(words) == len(words.get_vocab()) == read_gguf(path).fields["tokenizer.ggml.tokens"]


@pytest.mark.parametrize("arch", ["qwen2", "qwen3"])
def test_other_families_say_what_llama_cpp_says(arch: str, tmp_path: Path) -> None:
    path = tiny_gguf(tmp_path, arch, arch=arch, fields={"tokenizer.ggml.pre": "qwen2"})
    model, ids = load_gguf(read_gguf(path), torch.float32), list(range(30, 70))
    assert model.config.model_type == arch
    assert_same(said_by(model, ids, 8), said_by_llama_cpp(llama_cpp(path), ids, 8))


def test_linears_can_be_packed_again(tiny: Path, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    folder = init_bundle(tiny, tmp_path / "bundle", InitConfig(dtype="fp32", quantize="8bit"))
    assert load_bundle(folder).session(memory=False).ask("What rolls?", branches=0).text


def test_positions_are_stretched_as_the_file_says(tmp_path: Path) -> None:
    """Llama 3's factors, a linear factor, and none: what is said far into a text is llama.cpp's."""
    ids = list(range(20, 220))
    seen = []
    wavelengths = 2 * np.pi * 10000.0 ** (np.arange(8) / 8)
    kept = np.clip((8192 / wavelengths - 1) / 3, 0, 1)
    factors = (1 / ((1 - kept) / 8 + kept)).astype(np.float32)
    for name, fields, rope in (
        ("plain", {}, None),
        ("linear", {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4.0}, None),
        ("llama3", {}, factors),
    ):
        path = tiny_gguf(tmp_path, name, fields=fields, rope_factors=rope)
        model = load_gguf(read_gguf(path), torch.float32)
        model.save_pretrained(tmp_path / f"{name}-saved")
        model = type(model).from_pretrained(tmp_path / f"{name}-saved").eval()
        assert_same(said_by(model, ids, 8), said_by_llama_cpp(llama_cpp(path), ids, 8))
        seen.append(model.config.rope_parameters["rope_type"])
    assert seen == ["default", "linear", "llama3"]


def test_packed_weights_are_unpacked(tmp_path: Path) -> None:
    whole, packed = (
        load_gguf(read_gguf(tiny_gguf(tmp_path, name, packed=name == "q8")), torch.float32) for name in ("f32", "q8")
    )
    for (name, one), other in zip(whole.state_dict().items(), packed.state_dict().values(), strict=True):
        assert torch.allclose(one, other, atol=0.01), name
    assert not all(map(torch.equal, whole.state_dict().values(), packed.state_dict().values()))


# bad input ----------------------------------------------------------------------------------------------------


def refused(path: Path, tmp_path: Path, match: str, kind: type[ReverieError] = BundleError) -> None:
    with pytest.raises(kind, match=match) as caught:
        init_bundle(path, tmp_path / "out" / "bundle", FULL)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(path))
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("share", [0.001, 0.05, 0.2, 0.5, 0.999])
def test_a_file_that_is_cut_short(share: float, tiny: Path, tmp_path: Path) -> None:
    whole = tiny.read_bytes()
    (tmp_path / "cut.gguf").write_bytes(whole[: int(len(whole) * share)])
    refused(tmp_path / "cut.gguf", tmp_path, "cut short or damaged")


def test_what_is_no_gguf_file(tmp_path: Path) -> None:
    for name, content in (("empty", b""), ("page", b"<html>not found</html>")):
        (tmp_path / f"{name}.gguf").write_bytes(content)
        refused(tmp_path / f"{name}.gguf", tmp_path, "does not begin with GGUF")
    refused(tmp_path / "nowhere.gguf", tmp_path, "no base", UsageError)


@pytest.mark.parametrize(
    ("fields", "arch", "match"),
    [
        ({"general.type": "mmproj"}, "clip", "the part of a model that reads pictures"),
        ({"general.type": "adapter"}, "llama", "holds an adapter"),
        ({"general.type": "imatrix"}, "llama", "statistics"),
        ({"bert.pooling_type": 1}, "bert", "an embedding model"),
        ({"llama.pooling_type": 1}, "llama", "an embedding model"),
        ({"split.count": 3}, "llama", "one part of a model in several files"),
        ({}, "mystery9", "architecture 'mystery9'"),
        ({}, "t5", "architecture 't5'"),
        ({"tokenizer.ggml.tokens": None, "tokenizer.ggml.merges": None}, "llama", "holds no tokenizer"),
        ({"tokenizer.ggml.merges": ["zz qq", "xx yy"]}, "llama", "tokenizer in .* is broken"),
        ({"tokenizer.ggml.merges": None}, "llama", "tokenizer in .* is broken"),
        ({"tokenizer.ggml.model": "wordpiece9"}, "llama", "tokenizer in .* is broken"),
        ({"tokenizer.ggml.eos_token_id": 99999}, "llama", "tokenizer in .* is broken"),
        ({"llama.block_count": 3}, "llama", "damaged"),
        ({"llama.embedding_length": 96}, "llama", "damaged"),
    ],
)
def test_files_that_cannot_be_a_base(fields: dict[str, Any], arch: str, match: str, tmp_path: Path) -> None:
    refused(tiny_gguf(tmp_path, arch=arch, fields=fields), tmp_path, match)


def test_a_part_is_known_by_its_name(tiny: Path, tmp_path: Path) -> None:
    part = tiny_gguf(tmp_path, "big-00001-of-00003")
    refused(part, tmp_path, "llama-gguf-split --merge")


def test_weights_that_are_not_finite(tmp_path: Path) -> None:
    path = tiny_gguf(tmp_path)
    reader = gguf.GGUFReader(path, "r+")
    next(one for one in reader.tensors if one.name == "blk.1.ffn_up.weight").data[3, 3] = np.nan
    reader.data.flush()
    refused(path, tmp_path, "not finite")


def test_a_folder_of_gguf_files_points_to_them(tiny: Path, tmp_path: Path) -> None:
    refused(tiny.parent, tmp_path, r"give one of them, such as .*tiny\.gguf")


def test_a_missing_part_is_named_with_its_install_command(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib.util import find_spec

    monkeypatch.setattr("reverie.model.gguf_base.find_spec", lambda name: None if name == "gguf" else find_spec(name))
    refused(tiny, tmp_path, r"pip install 'reverie\[bases\]'", MissingExtraError)


def test_a_tokenizer_beside_it_is_taken(tmp_path: Path) -> None:
    words = gguf_tokenizer(read_gguf(tiny_gguf(tmp_path)))
    words.save_pretrained(tmp_path / "words")
    bare = tiny_gguf(tmp_path, "bare", fields={"tokenizer.ggml.tokens": None, "tokenizer.ggml.merges": None})
    folder = init_bundle(bare, tmp_path / "bundle", FULL, tokenizer=tmp_path / "words")
    assert AutoTokenizer.from_pretrained(folder / "backbone")("the egg") == words("the egg")
