"""A fine-tuned generator: the low-rank changes of an adapter in the weights of their base. Needs no PEFT."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from reverie.errors import BundleError, ExpertError, shorten
from reverie.experts.files import CARD_FILE, WEIGHTS_FILE, read_config, refuse_pickle
from reverie.files import sha256_of
from reverie.generator.bundle import read_generator_manifest
from reverie.generator.generator import Generator
from reverie.generator.network import GeneratorNetwork
from reverie.generator.priors import Prior, load_prior

__all__ = ["PREFIX", "load_with_lora", "merge_factors", "merged_network", "owner_of"]

PREFIX = "base_model.model."  # before every name in PEFT's files


def load_with_lora(generator_dir: str | Path, adapter_dir: str | Path, trust_base: bool = False) -> Generator:
    """The generator of ``generator_dir`` with the fine-tuning of ``adapter_dir`` in its weights.

    Raises BundleError where the generator is none, and ExpertError where the fine-tuning is none, damaged, or belongs
    to another base. ``trust_base`` takes one whose base is another or not named, as long as every factor fits.
    """
    generator_dir, adapter_dir = Path(generator_dir), Path(adapter_dir)
    owner = owner_of(generator_dir)
    refuse_pickle(adapter_dir)
    card = _read_card(adapter_dir)
    if not trust_base:
        _check_base(adapter_dir, card, owner)
    base = Generator.load(generator_dir)
    network = merged_network(base, adapter_dir)
    folders = sorted((adapter_dir / "priors").glob("*"))
    priors = {folder.name: _load_prior(folder, base.config.latent_size) for folder in folders}
    default = str(card.get("default_prior") or next(iter(priors), ""))
    if not priors and default != "normal":  # made by PEFT alone
        priors, default = base.priors, base.default_prior
    if default not in {*priors, "normal"}:
        raise ExpertError(f"the fine-tuning {adapter_dir} is damaged: its prior '{shorten(default)}' is missing")
    told = {key: value for key, value in card.items() if key not in ("files", "name")}
    named = {"name": card.get("name", adapter_dir.name), "lora": told, "base": base.card}
    return Generator(network, base.tokenizer, priors, default, named)


def merge_factors(state: Mapping[str, Tensor], adapter_dir: Path) -> dict[str, Tensor]:
    """The weights of a base with those of an adapter added: W + alpha / rank · B · A, of linears and convolutions.

    Raises ExpertError where the adapter is none, damaged, or does not fit.
    """
    config, sides = read_config(adapter_dir), _read_factors(adapter_dir)
    if config.get("rank_pattern") or config.get("alpha_pattern"):
        raise ExpertError(f"the adapter {adapter_dir} has other ranks from layer to layer, which is not read here")
    alpha = config.get("lora_alpha", 8)
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not math.isfinite(alpha):
        raise ExpertError(f"the adapter {adapter_dir} is damaged: its alpha is {shorten(repr(alpha))}")
    merged = {name: tensor.float().clone() for name, tensor in state.items()}
    for layer, pair in sides.items():
        weight = merged.get(f"{layer}.weight")
        if weight is None:
            raise ExpertError(f"the adapter {adapter_dir} does not fit: this base has no '{shorten(layer)}'")
        if pair.keys() != {"A", "B"} or not all(side.isfinite().all() for side in pair.values()):
            raise ExpertError(f"the adapter {adapter_dir} is damaged: {layer} has not two factors that are finite")
        down, up = pair["A"].float(), pair["B"].float()
        if up.flatten(1).shape != (len(weight), len(down)) or down.shape[1:] != weight.shape[1:]:
            raise ExpertError(
                f"the adapter {adapter_dir} does not fit: {shorten(layer)} is {tuple(weight.shape)} in this base, "
                f"its factors are {tuple(down.shape)} and {tuple(up.shape)}"
            )
        scale = alpha / (math.sqrt(len(down)) if config.get("use_rslora") else len(down))
        weight += scale * (up.flatten(1) @ down.flatten(1)).view(weight.shape)
    return merged


def _read_factors(adapter_dir: Path) -> dict[str, dict[str, Tensor]]:
    """Layer → its factors A and B."""
    path = adapter_dir / WEIGHTS_FILE
    try:
        tensors = load(path.read_bytes())
    except FileNotFoundError as error:
        raise ExpertError(f"no adapter here: {path} is missing") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise ExpertError(f"the adapter {path} is damaged: {shorten(str(error))}") from error
    sides: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        layer, found, side = key.removeprefix(PREFIX).removesuffix(".weight").rpartition(".lora_")
        if not found or side not in ("A", "B"):
            raise ExpertError(f"the adapter {path} holds '{shorten(key)}', which is no LoRA factor")
        sides.setdefault(layer, {})[side] = tensor
    return sides


def merged_network(base: Generator, adapter_dir: Path) -> GeneratorNetwork:
    """A network of its own, with ``merge_factors``; that of ``base`` stays as it is."""
    network = GeneratorNetwork(base.config)
    network.load_state_dict(merge_factors(base.network.state_dict(), adapter_dir))
    return network.eval().requires_grad_(False)


def _read_card(adapter_dir: Path) -> dict[str, Any]:
    """The card, every file held to it; nothing where PEFT alone made the folder."""
    path = adapter_dir / CARD_FILE
    if not path.exists():
        return {}
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        files: dict[str, str] = card["files"]
        for name, checksum in files.items():
            if Path(name).is_absolute() or ".." in Path(name).parts or sha256_of(adapter_dir / name) != checksum:
                raise ExpertError(f"the fine-tuning {adapter_dir} is damaged: {name} differs from what was saved")
    except FileNotFoundError as error:
        raise ExpertError(f"the fine-tuning {adapter_dir} is damaged: {error.filename} is missing") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ExpertError(f"{path} cannot be read: {shorten(str(error))}") from error
    return dict(card)


def _load_prior(folder: Path, latent_size: int) -> Prior:
    try:
        prior = load_prior(folder)
    except BundleError as error:
        raise ExpertError(str(error)) from error
    if prior.latent_size != latent_size:
        raise ExpertError(f"the prior in {folder} is for latents of {prior.latent_size} numbers, not {latent_size}")
    return prior


def owner_of(base_dir: Path) -> dict[str, str]:
    """What names the base in ``base_dir`` on a card: the SHA-256 of its weights, and its name. Raises BundleError."""
    manifest = read_generator_manifest(base_dir)
    weights = manifest["files"].get("model.safetensors")
    if not isinstance(weights, dict) or not isinstance(weights.get("sha256"), str):
        raise BundleError(f"the generator {base_dir} is damaged: its manifest names no weights")
    return {"base": weights["sha256"], "base_name": manifest["name"]}


def _check_base(adapter_dir: Path, card: Mapping[str, Any], owner: Mapping[str, str]) -> None:
    if card.get("base") == owner["base"]:
        return
    made_for = (
        f"'{card.get('base_name')}' ({str(card['base'])[:12]})" if card.get("base") else "a base that it does not name"
    )
    raise ExpertError(
        f"the fine-tuning {adapter_dir} was made for {made_for}; this generator is '{owner['base_name']}' "
        f"({owner['base'][:12]}). If it fits all the same, trust it (--trust-base)."
    )
