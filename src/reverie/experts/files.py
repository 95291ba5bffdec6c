"""An expert on disk: a folder that PEFT itself loads (``adapter_model.safetensors``, ``adapter_config.json``) + a card.

Nothing here runs what it reads: weights are safetensors, and a pickle is refused unopened.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from reverie.errors import BundleError, ExpertError, UsageError, nearest, shorten
from reverie.experts.cache import own_pages
from reverie.experts.contract import Adapter, ExpertCard, Factors
from reverie.files import atomic_write_bytes, atomic_write_json, sha256_of
from reverie.jsonio import read_json, read_object

__all__ = [
    "CARD_FILE",
    "CONFIG_FILE",
    "WEIGHTS_FILE",
    "base_hash",
    "base_linears",
    "check_base",
    "check_expert",
    "check_fit",
    "describe_adapter",
    "find_adapter",
    "load_adapter",
    "load_card",
    "read_config",
    "read_factors",
    "refuse_pickle",
    "save_adapter",
    "save_card",
]

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
CARD_FILE = "card.json"
Shapes = Mapping[str, tuple[int, int]]  # a base's linears: names → (out, in)

_PREFIX = "base_model.model."
_KEY = re.compile(r"base_model\.model\.(?P<linear>.+)\.lora_(?P<side>[AB])(\.[^.]+)?\.weight")
_OUTPUTS = ("lm_head", "embed_out")  # what makes logits of states
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
# What makes more, or other, of LoRA than x @ A.T @ B.T × scale beside an unchanged base.
_BEYOND_LORA = {
    "use_dora": "DoRA",
    "use_qalora": "QALoRA",
    "use_bdlora": "BD-LoRA",
    "lora_bias": "LoRA with biases",
    "alora_invocation_tokens": "aLoRA",
    "arrow_config": "Arrow",
    "kasa_config": "KaSA",
    "monteclora_config": "MonteCLoRA",
    "layer_replication": "LoRA on repeated layers",
    "target_parameters": "LoRA on bare parameters",
    "modules_to_save": "LoRA with whole modules beside it",
    "trainable_token_indices": "LoRA with trained tokens beside it",
}
_CHANGES_BASE = ("pissa", "corda", "olora", "loftq", "lora_ga")  # init_lora_weights that move weights out of the base
_TRANSPOSED = ("gpt2", "openai-gpt", "imagegpt")  # architectures whose linears are Conv1D: weights (in, out)


# the base -------------------------------------------------------------------------------------------------------


def base_hash(folder: Path, hashes: Mapping[str, str] | None = None) -> str:
    """The SHA-256 that names a base: of its ``*.safetensors`` (one file: the file's own).

    ``hashes``: of its files by name, where they are known already (a bundle's manifest), so that nothing is read.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise BundleError(f"no weights to name the base by: {folder} holds no *.safetensors")
    known = hashes or {}
    found = [known.get(file.name) or sha256_of(file) for file in files]
    return found[0] if len(found) == 1 else hashlib.sha256("".join(found).encode()).hexdigest()


def base_linears(folder: Path) -> dict[str, tuple[int, int]]:
    """The linears of a base, names → (out, in), from the heads of its files; none where it is quantized.

    Raises BundleError for files that cannot be read.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    config = read_object(folder / "config.json", BundleError, "the config of a base")
    try:
        for file in sorted(folder.glob("*.safetensors")):
            shapes |= {key: shape for key, (_, shape) in _read_head(file).items()}
    except (OSError, ValueError) as error:
        raise BundleError(f"the base {folder} cannot be read: {shorten(str(error))}") from error
    if config.get("quantization_config"):
        return {}
    flip = config.get("model_type") in _TRANSPOSED
    linears: dict[str, tuple[int, int]] = {}
    for key, shape in shapes.items():
        name, _, kind = key.rpartition(".")
        if kind != "weight" or len(shape) != 2:
            continue
        if re.search(r"embed|wte$|wpe$", name):
            if "position" not in name and not name.endswith("wpe"):
                linears.setdefault("lm_head", (shape[0], shape[1]))  # where it is tied to the embedding
        elif flip and name != "lm_head":
            linears[name] = (shape[1], shape[0])
        else:
            linears[name] = (shape[0], shape[1])
    return linears


# writing --------------------------------------------------------------------------------------------------------


def save_adapter(adapter: Adapter, folder: Path, dtype: torch.dtype = torch.bfloat16) -> None:
    """Write the two files that ``peft.PeftModel.from_pretrained`` reads. The scale is 1: it is in the weights."""
    from safetensors.torch import save

    ranks = {linear: factors.rank for linear, factors in adapter.factors.items()}
    if not ranks:
        raise ExpertError("an adapter without factors cannot be saved")
    rank = Counter(ranks.values()).most_common(1)[0][0]
    others = {linear: own for linear, own in ranks.items() if own != rank}
    tensors = {}
    for linear, factors in adapter.factors.items():
        for side, tensor in (("A", factors.down), ("B", factors.up)):
            tensors[f"{_PREFIX}{linear}.lora_{side}.weight"] = tensor.detach().to("cpu", dtype).contiguous()
    atomic_write_bytes(folder / WEIGHTS_FILE, save(tensors, metadata={"format": "pt"}))
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": None,
        "r": rank,
        "lora_alpha": rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": sorted(ranks),
        "rank_pattern": others,
        "alpha_pattern": others,
        "inference_mode": True,
        "use_rslora": False,
        "use_dora": False,
        "fan_in_fan_out": False,
    }
    atomic_write_json(folder / CONFIG_FILE, config)


def save_card(card: ExpertCard, folder: Path) -> None:
    """Write ``card.json``. Raises ExpertError where a figure on it is not finite."""
    try:
        atomic_write_json(folder / CARD_FILE, asdict(card))
    except ValueError as error:
        raise ExpertError(f"the card of '{card.name}' holds a figure that is not finite") from error


# reading --------------------------------------------------------------------------------------------------------


def load_card(folder: Path) -> ExpertCard:
    """The card of an expert's folder, under the folder's name. Raises ExpertError where there is none to read."""
    values = read_json(folder / CARD_FILE, ExpertError, "the card of an expert")
    try:
        return ExpertCard.from_json(values)
    except (ExpertError, UsageError) as error:
        raise ExpertError(f"{folder / CARD_FILE} is damaged: {error}") from error


def read_config(folder: Path) -> dict[str, Any]:
    """The ``adapter_config.json`` of a plain LoRA adapter. Raises ExpertError for any other."""
    path = folder / CONFIG_FILE
    config = read_object(path, ExpertError, "the config of an adapter")
    if not isinstance(config.get("peft_type"), str):
        raise ExpertError(f"{path} describes no LoRA adapter")
    kind = config["peft_type"] if config["peft_type"] != "LORA" else _kind_beyond_lora(config)
    if kind:
        raise ExpertError(f"the adapter {folder} is of another kind: {shorten(kind)}. Experts are plain LoRA adapters.")
    return config


def find_adapter(folder: Path) -> Path:
    """``folder``, or the one in it where PEFT's ``save_pretrained`` put an adapter that has a name of its own.

    Raises ExpertError where there are several.
    """
    if any((folder / file).exists() for file in (CARD_FILE, CONFIG_FILE, WEIGHTS_FILE)):
        return folder
    inner = sorted(path.parent for path in folder.glob(f"*/{CONFIG_FILE}"))
    if len(inner) > 1:
        names = shorten(", ".join(str(one) for one in inner), 200)
        raise ExpertError(f"{folder} holds {len(inner)} adapters. Give the folder of one: {names}")
    return inner[0] if inner else folder


def load_adapter(folder: Path) -> Adapter:
    """Read what PEFT or ``save_adapter`` wrote. Raises ExpertError for what is no LoRA adapter, or a damaged one."""
    found = read_factors(folder)
    for layer, (down, up, _) in found.items():
        if down.dim() != 2 or up.dim() != 2:
            raise ExpertError(f"the adapter {folder} is damaged: {layer} has not two factors A and B of a linear")
    # Copies, since a tensor of the file itself would change with the file.
    memory = own_pages(sum(down.numel() + up.numel() for down, up, _ in found.values()))
    pieces = iter(memory.split([side.numel() for down, up, _ in found.values() for side in (down, up)]))
    factors = {
        linear: Factors(
            next(pieces).view(down.shape).copy_(down),
            next(pieces).view(up.shape).copy_(up).mul_(scale),
        )
        for linear, (down, up, scale) in found.items()
    }
    if not torch.stack(torch.aminmax(memory)).isfinite().all():  # NaN is smallest and largest where there is one
        raise ExpertError(f"the adapter {folder} is damaged: {_not_finite(factors)} holds values that are not finite")
    return Adapter(factors)


def read_factors(folder: Path) -> dict[str, tuple[torch.Tensor, torch.Tensor, float]]:
    """Layer → factors A (rank, in, …) and B (out, rank, …) as they lie in the file, and the scale of their product.

    Of linears, and of convolutions too. Raises ExpertError for what is no LoRA adapter, or a damaged one.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    refuse_pickle(folder)
    config = read_config(folder)
    try:
        tensors = load_file(folder / WEIGHTS_FILE)
    except FileNotFoundError as error:
        raise ExpertError(f"no adapter here: {folder / WEIGHTS_FILE} is missing") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise ExpertError(f"the adapter {folder / WEIGHTS_FILE} is damaged: {shorten(str(error))}") from error
    sides: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        found = _KEY.fullmatch(key)
        if found is None:
            raise ExpertError(f"the adapter {folder} {_no_factor(key)}")
        if found["side"] in sides.setdefault(found["linear"], {}):
            raise ExpertError(
                f"the folder {folder} holds two adapters in one: {found['linear']} has two factors A or B"
            )
        if not tensor.is_floating_point():
            raise ExpertError(
                f"the adapter {folder} is quantized: {found['linear']} is {tensor.dtype}, which is no float"
            )
        sides[found["linear"]][found["side"]] = tensor
    if not sides:
        raise ExpertError(f"the adapter {folder} holds no factors")
    scales = {layer: _scale(folder, config, layer, pair) for layer, pair in sides.items()}
    return {layer: (pair["A"], pair["B"], scales[layer]) for layer, pair in sides.items()}


def describe_adapter(folder: Path) -> dict[str, Any]:
    """Sizes of an adapter from the head of its file: rank (largest), num_linears, num_parameters, dtype, bytes.

    Raises ExpertError where it cannot be read.
    """
    path = folder / WEIGHTS_FILE
    try:
        head, size = _read_head(path), path.stat().st_size
    except FileNotFoundError as error:
        raise ExpertError(f"no adapter here: {path} is missing") from error
    except (OSError, ValueError) as error:
        raise ExpertError(f"the adapter {path} is damaged: {shorten(str(error))}") from error
    downs = [shape for key, (_, shape) in head.items() if ".lora_A" in key and len(shape) == 2]
    return {
        "rank": max((shape[0] for shape in downs), default=0),
        "num_linears": len(downs),
        "num_parameters": sum(math.prod(shape) for _, shape in head.values()),
        "dtype": ", ".join(sorted({dtype for dtype, _ in head.values()})),
        "bytes": size,
    }


# checks ---------------------------------------------------------------------------------------------------------


def check_expert(folder: Path, base: str, linears: Shapes | None = None) -> tuple[ExpertCard, Adapter]:
    """The expert of ``folder``, held to the base of that hash and those linears.

    Raises ExpertError at the first fault: a file that is missing, damaged or no plain LoRA; another base; a linear
    that the base does not have; factors that do not fit it.
    """
    card = load_card(folder)
    check_base(card, base)
    adapter = load_adapter(folder)
    if linears:
        check_fit(adapter, linears, card.name)
    return card, adapter


def check_base(card: ExpertCard, base: str) -> None:
    """Raises ExpertError where the card names no base, or another."""
    if card.base != base:
        given = f"the base {shorten(card.base, 12)}" if card.base else "an unknown base"
        raise ExpertError(f"the expert '{card.name}' was trained on {given}; this one is {shorten(base, 12)}")


def check_fit(adapter: Adapter, linears: Shapes, name: str) -> None:
    """Raises ExpertError where ``adapter`` adds to a linear that the base does not have, or that has another shape."""
    for linear, factors in adapter.factors.items():
        if linear not in linears:
            near = nearest(linear, linears)
            hint = f" (nearest: {near})" if near else ""
            raise ExpertError(f"the expert '{name}' does not fit: the base has no linear '{shorten(linear)}'{hint}")
        given, needed = (factors.up.shape[0], factors.down.shape[1]), linears[linear]
        if given != needed and linear.rpartition(".")[2] in _OUTPUTS:
            raise ExpertError(
                f"the expert '{name}' does not fit: it changes the output layer of a base of {given[0]} ids, and this "
                f"one has {needed[0]}. Train it on other linears: leave {shorten(linear)} out of target_modules."
            )
        if given != needed:
            raise ExpertError(
                f"the expert '{name}' does not fit: {shorten(linear)} takes {needed[1]} and gives {needed[0]} numbers, "
                f"its factors {given[1]} and {given[0]}"
            )


def _kind_beyond_lora(config: Mapping[str, Any]) -> str:
    """What a LoRA config asks for beyond plain LoRA; "" where nothing."""
    for field, kind in _BEYOND_LORA.items():
        if given := config.get(field):
            named = ", ".join(map(str, given)) if field == "modules_to_save" and isinstance(given, list) else ""
            return f"{kind} ({named})" if named else kind
    init = config.get("init_lora_weights")
    if isinstance(init, str) and init.lower().startswith(_CHANGES_BASE):
        return f"LoRA that changes its base ({init}; save it with path_initial_model_for_weight_conversion)"
    if config.get("bias", "none") != "none":
        return "LoRA with biases"
    return ""


def refuse_pickle(folder: Path) -> None:
    """Raises ExpertError where the weights of ``folder``, or the file given, are a pickle: by name or first bytes."""
    if folder.is_file() and folder.suffix.lower() in _PICKLES:
        raise _pickle(folder)
    path = folder / WEIGHTS_FILE
    pickles = sorted(file.name for file in folder.glob("*") if file.suffix.lower() in _PICKLES)
    if pickles and not path.exists():
        raise _pickle(folder / pickles[0])
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError:
        return  # whoever loads it says what is wrong
    if start == b"PK\x03\x04" or start[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        raise _pickle(path)


def _pickle(path: Path) -> ExpertError:
    return ExpertError(
        f"{path} is a pickle, which may run code: it was not opened. Save the adapter as safetensors "
        "(save_pretrained does by default)."
    )


def _no_factor(key: str) -> str:
    """What an adapter does that holds ``key``, which is no factor of a linear."""
    module = re.sub(
        r"\.(base_layer|modules_to_save|lora_embedding_[AB]|weight|bias)\b.*", "", key.removeprefix(_PREFIX)
    )
    last = module.rpartition(".")[2]
    if last in _OUTPUTS or re.search(r"embed|^wte$|^wpe$", last):
        part = "output layer" if last in _OUTPUTS else "embeddings"
        return (
            f"changes the {part} ({shorten(module)}) or holds a copy of it, and an expert changes linears within the "
            f"layers alone. Train it on those: leave {last} out of target_modules."
        )
    return f"holds '{shorten(key)}', which is no LoRA factor of a linear"


def _scale(folder: Path, config: Mapping[str, Any], linear: str, pair: Mapping[str, torch.Tensor]) -> float:
    """What the factor B of a linear is multiplied by. Raises ExpertError where the two factors do not fit together."""
    if pair.keys() != {"A", "B"} or any(side.dim() not in (2, 4) or not side.numel() for side in pair.values()):
        raise ExpertError(f"the adapter {folder} is damaged: {linear} has not two factors A and B")
    rank, other = pair["A"].shape[0], pair["B"].shape[1]
    said = _of_linear(config, "rank_pattern", linear, config.get("r", 8))
    if other != rank or said != rank:
        raise ExpertError(
            f"the adapter {folder} is damaged: {linear} has rank {said} by its config, {rank} and {other} "
            "in its factors"
        )
    alpha = _of_linear(config, "alpha_pattern", linear, config.get("lora_alpha", 8))
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not math.isfinite(alpha):
        raise ExpertError(f"the adapter {folder} is damaged: its alpha of {linear} is {shorten(repr(alpha))}")
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _not_finite(factors: Mapping[str, Factors]) -> str:
    sound = (one.down.isfinite().all() and one.up.isfinite().all() for one in factors.values())
    return next(linear for linear, is_sound in zip(factors, sound) if not is_sound)


def _read_head(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Of a safetensors file: keys → (dtype, shape), without its tensors. Raises OSError, ValueError."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= path.stat().st_size - 8:
            raise ValueError("it has no head")
        head = json.loads(file.read(length))
    try:
        return {key: (str(one["dtype"]), tuple(one["shape"])) for key, one in head.items() if key != "__metadata__"}
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("its head is malformed") from error


def _of_linear(config: Mapping[str, Any], pattern_field: str, linear: str, usual: Any) -> Any:
    """A setting of one linear as PEFT finds it: the first pattern that matches its name, or the end of it."""
    patterns = config.get(pattern_field) or {}
    if not isinstance(patterns, dict):
        raise ExpertError(f"the {pattern_field} in {CONFIG_FILE} must be settings by name")
    for pattern, own in patterns.items():
        try:
            if re.match(rf"(.*\.)?({pattern})$", linear):
                return own
        except re.error as error:
            raise ExpertError(f"the pattern '{shorten(pattern)}' in {CONFIG_FILE} is malformed: {error}") from error
    return usual
