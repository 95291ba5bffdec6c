"""From a bundle's folder to a model at work."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reverie.bundles.bundle import find_bundle, verify_bundle
from reverie.dreaming.confidence import ConfidenceModel
from reverie.dreaming.preview import RuntimeConfig
from reverie.dreaming.session import Reverie
from reverie.errors import BundleError
from reverie.model import Backbone
from reverie.settings import build_settings
from reverie.tokens.grammar import Grammar
from reverie.tokens.grammar_files import load_grammar
from reverie.tokens.image import ImageTokenizer

__all__ = ["Bundle", "load", "load_bundle"]


@dataclass(frozen=True)
class Bundle:
    """The parts of a bundle in memory. ``worlds``: the worlds taught -> pixels per code of their pictures."""

    name: str
    manifest: dict[str, Any]
    grammar: Grammar
    tokenizer: ImageTokenizer
    backbone: Backbone
    worlds: dict[str, int]
    confidence: ConfidenceModel | None

    def session(self, runtime: RuntimeConfig | None = None) -> Reverie:
        return Reverie(
            self.grammar, self.tokenizer, self.backbone, self.worlds, self.confidence, runtime, name=self.name
        )


def load_bundle(name: str | Path = "nano") -> Bundle:
    """Verify a bundle, by name or folder, and load its parts.

    Raises UsageError for a name that is not known, BundleError for a bundle that is damaged, foreign or too new.
    """
    folder = find_bundle(name)
    manifest = verify_bundle(folder)
    bundle = Bundle(
        name=manifest["name"],
        manifest=manifest,
        grammar=load_grammar(folder),
        tokenizer=ImageTokenizer.load(folder / "image_tokenizer"),
        backbone=Backbone.load(folder / "backbone"),
        worlds={world: int(cell_px) for world, cell_px in manifest["worlds"].items()},
        confidence=ConfidenceModel.load(folder / "confidence.json") if "confidence.json" in manifest["files"] else None,
    )
    _check_fit(folder, bundle)
    return bundle


def load(name: str | Path = "nano", runtime: RuntimeConfig | None = None, **switches: Any) -> Reverie:
    """A session with a bundle: ``reverie.load("nano").ask("What happens when you drop an egg?")``.

    ``switches`` are settings of ``RuntimeConfig``, such as ``enable_gpt51_codex_preview=False``; ConfigError names one
    that does not exist. Otherwise raises as ``load_bundle`` does.
    """
    settings = build_settings(RuntimeConfig, switches) if switches or runtime is None else runtime
    return load_bundle(name).session(settings)


def _check_fit(folder: Path, bundle: Bundle) -> None:
    """The parts must speak of the same ids."""
    given, needed = bundle.backbone.config.vocab_size, bundle.grammar.vocabulary.size
    if given != needed:
        raise BundleError(
            f"the bundle {folder} does not fit together: its backbone has {given} ids, its words {needed}"
        )
    codes, told = bundle.tokenizer.num_codes, bundle.grammar.vocabulary.num_codes
    if codes != told:
        raise BundleError(f"the bundle {folder} does not fit together: its pictures have {codes} codes, its ids {told}")
