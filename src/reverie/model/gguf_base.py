"""A base that lies in one GGUF file, as llama.cpp runs it: held to what it says, then read through transformers.

transformers rebuilds config, weights (packed ones are unpacked) and tokenizer from the file; what it leaves out is
added here.
"""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from reverie.errors import BundleError, MissingExtraError, shorten
from reverie.logs import quiet_transformers
from reverie.model.transformers_base import load_checked

__all__ = ["GgufHead", "gguf_tokenizer", "load_gguf", "read_gguf"]

_MAGIC = b"GGUF"
_PART = re.compile(r"-\d{5}-of-\d{5}$")
_OTHER_KINDS = {
    "mmproj": "the part of a model that reads pictures",
    "adapter": "an adapter",
    "imatrix": "statistics for packing a model",
    "vocab": "a tokenizer without a model",
}
_ENCODERS = ("bert", "t5encoder", "clip")  # what names of architectures that generate nothing contain
_DIGIT_BY_DIGIT = ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b")  # else as GPT-2


_LLAMA3 = {  # of every Llama 3.1 to 3.3; the factor is 8 or 32
    "rope_type": "llama3",
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


@dataclass(frozen=True)
class GgufHead:
    """What a GGUF file says of itself. ``fields``: its head by name, lists as their lengths."""

    path: Path
    architecture: str
    fields: Mapping[str, Any]
    config: Any  # of transformers
    num_parameters: int
    rope_factors: torch.Tensor | None  # float (head_dim / 2,), by which rotary wavelengths are stretched

    @property
    def licence(self) -> str:
        return str(self.fields.get("general.license", ""))


def read_gguf(path: Path) -> GgufHead:
    """The head of a causal language model in one whole file. Raises BundleError for any other file, and
    MissingExtraError where the package ``gguf`` is not installed."""
    if not all(map(find_spec, ("transformers", "gguf", "accelerate"))):  # without either transformers reads none
        raise MissingExtraError("a base in a GGUF file", "bases")
    from gguf import GGUFReader

    with path.open("rb") as file:
        if file.read(4) != _MAGIC:
            raise BundleError(f"{path} is no GGUF file: it does not begin with GGUF")
    try:
        reader = GGUFReader(path)
        fields = {name: _value(field) for name, field in reader.fields.items()}
    except Exception as error:  # whatever a head that ends or lies makes the reader raise
        raise BundleError(f"{path} is cut short or damaged: {shorten(str(error))}. Fetch it again.") from error
    _check_kind(path, fields)
    factors = next(
        (torch.from_numpy(one.data.copy()) for one in reader.tensors if one.name == "rope_freqs.weight"), None
    )
    count = sum(int(one.n_elements) for one in reader.tensors)
    config = _config(path, fields)
    return GgufHead(path, str(fields["general.architecture"]), fields, config, count, factors)


def load_gguf(head: GgufHead, dtype: torch.dtype) -> Any:
    """The causal language model, unpacked into ``dtype``. Raises BundleError where transformers finds it damaged."""
    import transformers

    unpacked = transformers.GgufConfig(dequantize=True)
    with redirect_stderr(io.StringIO()):  # a bar of tqdm, which asks nobody
        model = load_checked(
            head.path,
            lambda: transformers.AutoModelForCausalLM.from_pretrained(
                head.path.parent,
                config=head.config,
                quantization_config=unpacked,
                output_loading_info=True,
                dtype=dtype,
                **_place(head.path),
            ),
        )
    if scaling := _rope_scaling(head, model.config):
        model.config.rope_parameters = {**model.config.rope_parameters, **scaling}
    return model


def gguf_tokenizer(head: GgufHead) -> Any:
    """Its tokenizer, with its chat template. Raises BundleError where the file holds none that is whole."""
    from transformers import AutoTokenizer

    if not isinstance(head.fields.get("tokenizer.ggml.tokens"), int):
        raise BundleError(f"{head.path} holds no tokenizer; give that of the model with --tokenizer")
    try:
        with quiet_transformers():
            words = AutoTokenizer.from_pretrained(head.path.parent, config=head.config, **_place(head.path))
            return _mended(words, head)
    except BaseException as error:  # tokenizers panics, which is no Exception, at merges that its tokens lack
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        raise BundleError(f"the tokenizer in {head.path} is broken: {shorten(str(error), 120)}") from error


def _mended(words: Any, head: GgufHead) -> Any:
    """The tokenizer without the tokens that its class brings along, and with digits apart where the file says so."""
    from tokenizers import Tokenizer
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
    from transformers import PreTrainedTokenizerFast

    known = head.fields["tokenizer.ggml.tokens"]
    parts = json.loads(words.backend_tokenizer.to_str())
    parts["added_tokens"] = [token for token in parts["added_tokens"] if token["id"] < known]
    backend = Tokenizer.from_str(json.dumps(parts))
    if head.fields.get("tokenizer.ggml.pre") in _DIGIT_BY_DIGIT:
        backend.pre_tokenizer = Sequence([Digits(True), ByteLevel(add_prefix_space=False)])
    ids = {token: words.convert_tokens_to_ids(text) for token, text in words.special_tokens_map.items()}
    special = {
        token: words.special_tokens_map[token] for token, id in ids.items() if isinstance(id, int) and id < known
    }
    return PreTrainedTokenizerFast(tokenizer_object=backend, chat_template=words.chat_template, **special)


def _check_kind(path: Path, fields: Mapping[str, Any]) -> None:
    architecture = fields.get("general.architecture")
    if not isinstance(architecture, str):
        raise BundleError(f"{path} is damaged: its head names no architecture")
    said = shorten(architecture, 30)
    if fields.get("split.count", 1) > 1 or _PART.search(path.stem):
        hint = "Join them with llama.cpp's `llama-gguf-split --merge`, or take a file that is whole."
        raise BundleError(f"{path} is one part of a model in several files. {hint}")
    other = _OTHER_KINDS.get(str(fields.get("general.type", "model")))
    if other or architecture == "clip":
        kind = other or _OTHER_KINDS["mmproj"]
        raise BundleError(f"{path} holds {kind} ({said}), which is no language model by itself")
    if fields.get(f"{architecture}.pooling_type") or any(part in architecture for part in _ENCODERS):
        raise BundleError(f"{path} holds an embedding model ({said}); a base is a causal language model")


def _config(path: Path, fields: Mapping[str, Any]) -> Any:
    """What transformers makes of the head. Raises BundleError where it knows no such causal language model."""
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    architecture = str(fields["general.architecture"])
    try:
        with quiet_transformers():
            config = AutoConfig.from_pretrained(path.parent, **_place(path))
        if config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
            width = fields.get(f"{architecture}.attention.key_length")
            if width and hasattr(config, "head_dim"):  # of some families only the usual one is taken
                config.head_dim = width
            return config
    except (OSError, ValueError, KeyError):
        pass
    said, hint = shorten(architecture, 30), "Take the model's original folder (--base DIR), or another model."
    raise BundleError(f"{path} is of the architecture '{said}', which transformers does not read from GGUF. {hint}")


def _place(path: Path) -> dict[str, Any]:
    return {"gguf_file": path.name, "local_files_only": True}


def _rope_scaling(head: GgufHead, config: Any) -> dict[str, Any]:
    """What the file says of stretched positions, which transformers leaves out, as its config says it; {} for none.

    Raises BundleError where factors are no Llama 3's: a config has no words for those.
    """
    if head.rope_factors is not None and head.architecture in ("llama", "deci"):
        scaling = {**_LLAMA3, "factor": float(head.rope_factors.max())}
        wanted = _llama3_factors(scaling, config.rope_parameters["rope_theta"], len(head.rope_factors))
        if not torch.allclose(head.rope_factors.float(), wanted, rtol=1e-3):
            raise BundleError(f"{head.path} stretches its positions in a way that transformers does not know")
        return {} if scaling["factor"] == 1 else scaling
    kind = head.fields.get(f"{head.architecture}.rope.scaling.type")
    factor = head.fields.get(f"{head.architecture}.rope.scaling.factor", 0.0)
    if kind not in ("linear", "yarn") or not factor:
        return {}
    original = head.fields.get(f"{head.architecture}.rope.scaling.original_context_length")
    return {"rope_type": kind, "factor": factor} | ({"original_max_position_embeddings": original} if original else {})


def _llama3_factors(scaling: Mapping[str, Any], theta: float, count: int) -> torch.Tensor:
    """By what each of ``count`` wavelengths is stretched: long ones by the factor, short ones not, others between."""
    wavelengths = 2 * math.pi * theta ** (torch.arange(count, dtype=torch.float64) / count)
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    turns = scaling["original_max_position_embeddings"] / wavelengths
    kept = ((turns - low) / (high - low)).clamp(0, 1)
    return (1 / ((1 - kept) / scaling["factor"] + kept)).float()


def _value(field: Any) -> Any:
    """A field of the head; of a list its length."""
    return len(field.data) if len(field.types) > 1 else field.contents()
