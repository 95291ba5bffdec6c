"""A fine-tuned generator: the low-rank changes of an adapter in the weights of their base. Needs no PEFT."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from reverie.errors import BundleError, ExpertError, shorten
from reverie.experts.files import CARD_FILE, read_factors
from reverie.generator.bundle import read_generator_manifest
from reverie.generator.generator import Generator
from reverie.generator.network import GeneratorNetwork
from reverie.generator.priors import Prior, load_prior
from reverie.manifest import verify

__all__ = ["PREFIX", "load_with_lora", "merge_factors", "merged_network", "owner_of"]

PREFIX = "base_model.model."  # before every name in PEFT's files


def load_with_lora(generator_dir: str | Path, adapter_dir: str | Path, trust_base: bool = False) -> Generator:
    """The generator of ``generator_dir`` with the fine-tuning of ``adapter_dir`` in its weights.

    Raises BundleError where the generator is none, and ExpertError where the fine-tuning is none, damaged, or belongs
    to another base. ``trust_base`` takes one whose base is another or not named, as long as every factor fits.
    """
    generator_dir, adapter_dir = Path(generator_dir), Path(adapter_dir)
    owner = owner_of(generator_dir)
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
    merged = {name: tensor.float().clone() for name, tensor in state.items()}
    for layer, (down, up, scale) in read_factors(adapter_dir).items():
        weight = merged.get(f"{layer}.weight")
        if weight is None:
            raise ExpertError(f"the adapter {adapter_dir} does not fit: this base has no '{shorten(layer)}'")
        down, up = down.float(), up.float()
        if not down.isfinite().all() or not up.isfinite().all():
            raise ExpertError(f"the adapter {adapter_dir} is damaged: {layer} holds values that are not finite")
        if up.flatten(1).shape != (len(weight), len(down)) or down.shape[1:] != weight.shape[1:]:
            raise ExpertError(
                f"the adapter {adapter_dir} does not fit: {shorten(layer)} is {tuple(weight.shape)} in this base, "
                f"its factors are {tuple(down.shape)} and {tuple(up.shape)}"
            )
        weight += scale * (up.flatten(1) @ down.flatten(1)).view(weight.shape)
    return merged


def merged_network(base: Generator, adapter_dir: Path) -> GeneratorNetwork:
    """A network of its own, with ``merge_factors``; that of ``base`` stays as it is."""
    network = GeneratorNetwork(base.config)
    network.load_state_dict(merge_factors(base.network.state_dict(), adapter_dir))
    return network.eval().requires_grad_(False)


def _read_card(adapter_dir: Path) -> dict[str, Any]:
    """The card, every file held to it; nothing where PEFT alone made the folder."""
    if not (adapter_dir / CARD_FILE).exists():
        return {}
    return verify(adapter_dir, ExpertError, "the fine-tuning", CARD_FILE)


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
