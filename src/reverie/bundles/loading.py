"""From a bundle's folder to a model at work."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reverie.bundles.bundle import READER, STARTER_FACTS, find_bundle, verify_bundle
from reverie.bundles.experts import open_expert_pool, open_library
from reverie.data import BadRow, Row, make_reader
from reverie.dreaming.arbiter import Arbiter
from reverie.dreaming.confidence import ConfidenceModel
from reverie.dreaming.evaluators import Evaluator
from reverie.dreaming.model import Model, Prompter, open_model
from reverie.dreaming.preview import RuntimeConfig
from reverie.dreaming.prompting import ChatPrompter, GrammarPrompter
from reverie.dreaming.session import Session
from reverie.engine import AnyBackbone
from reverie.errors import BundleError
from reverie.model import Backbone
from reverie.model.llama_base import LlamaBase
from reverie.model.transformers_base import TransformersBackbone
from reverie.precision import usual_device
from reverie.settings import build_settings
from reverie.tokens.grammar import Grammar
from reverie.tokens.grammar_files import load_grammar
from reverie.tokens.image import ImageTokenizer

if TYPE_CHECKING:
    from reverie.experts.library import Library
    from reverie.memory.memory import Memory

__all__ = ["Bundle", "load", "load_bundle"]


@dataclass(frozen=True)
class Bundle:
    """The parts of a bundle in memory. ``worlds``: the worlds taught -> pixels per code of their pictures."""

    folder: Path
    name: str
    manifest: dict[str, Any]
    grammar: Grammar
    tokenizer: ImageTokenizer
    backbone: AnyBackbone
    worlds: dict[str, int]
    prompter: Prompter
    confidence: ConfidenceModel | None
    starter_facts: Path | None = None  # facts that a new memory starts with
    reader: Path | None = None  # graph attention over recalled facts

    def open(self, library: Path | None = None) -> Model:
        """The bundle as a model, which sessions may share; ``library`` as ``open_library`` takes it."""
        return open_model(
            self.grammar,
            self.tokenizer,
            self.backbone,
            self.worlds,
            name=self.name,
            prompter=self.prompter,
            confidence=self.confidence,
            experts=open_expert_pool(self.folder, self.manifest, library),
            facts=partial(_read_starter_facts, self.starter_facts),
            reader=self.reader,
        )

    def session(
        self,
        runtime: RuntimeConfig | None = None,
        memory: Memory | str | Path | bool | None = None,
        starter_facts: Iterable[Row] | None = None,
        library: Path | None = None,
    ) -> Session:
        """A session with a model of its own; ``memory`` and ``starter_facts`` as ``Session`` takes them."""
        return Session(self.open(library), memory, starter_facts, runtime)

    def open_library(self, library: Path | None = None) -> Library:
        """Its own experts and those of ``library``, by default the user's for this base."""
        return open_library(self.folder, self.manifest, library)


def load_bundle(name: str | Path = "nano", trainable: bool = False) -> Bundle:
    """Verify a bundle, by name or folder, and load its parts.

    ``trainable``: its backbone is a module that can be trained and looked into, whatever base it is; else a base in
    Llama layout is read on a CPU for the engine alone, which takes a fraction of the time.

    Raises UsageError for a name that is not known, BundleError for a bundle that is damaged, foreign or too new.
    """
    folder = find_bundle(name)
    manifest = verify_bundle(folder)
    grammar, base = load_grammar(folder), manifest.get("base")
    bundle = Bundle(
        folder=folder,
        name=manifest["name"],
        manifest=manifest,
        grammar=grammar,
        tokenizer=ImageTokenizer.load(folder / "image_tokenizer"),
        backbone=_load_backbone(folder / "backbone", base, grammar.vocabulary.text_start, trainable),
        worlds={world: int(cell_px) for world, cell_px in manifest["worlds"].items()},
        confidence=ConfidenceModel.load(folder / "confidence.json") if "confidence.json" in manifest["files"] else None,
        starter_facts=folder / STARTER_FACTS if STARTER_FACTS in manifest["files"] else None,
        reader=folder / "reader" if manifest["files"].keys() >= set(READER) else None,
        prompter=GrammarPrompter(grammar)
        if base is None or base["taught"]
        else ChatPrompter(folder / "backbone", grammar, base["prompt"]),
    )
    _check_fit(folder, bundle)
    return bundle


def _load_backbone(folder: Path, base: dict[str, Any] | None, num_grammar: int, trainable: bool) -> AnyBackbone:
    if base is None:
        return Backbone.load(folder)
    found = None if trainable or usual_device() != "cpu" else LlamaBase.find(folder, num_grammar)
    return found or TransformersBackbone.load(folder, num_grammar)


def load(
    name: str | Path = "nano",
    runtime: RuntimeConfig | None = None,
    *,
    memory: Memory | str | Path | bool | None = None,
    library: str | Path | None = None,
    evaluators: Sequence[str | Evaluator] = (),
    **switches: Any,
) -> Session:
    """A session with a bundle: ``reverie.load("nano").ask("What happens when you drop an egg?")``.

    ``memory`` is what its answers rest on: an address such as ``"kg.db"``, which is made if needed, an open Memory,
    None for what the bundle knows of its worlds (kept nowhere), or False for nothing. ``library``: the folder of your
    experts, which stand beside the bundle's own. ``evaluators``: more judges of dreams, by the names that they are
    registered under; UnknownNameError suggests the nearest. ``switches`` are settings of ``RuntimeConfig``, such as
    ``enable_gpt51_codex_preview=False``; ConfigError names one that does not exist. Otherwise raises as ``load_bundle``
    does.
    """
    settings = build_settings(RuntimeConfig, switches) if switches or runtime is None else runtime
    arbiter = Arbiter().beside(evaluators)
    model = load_bundle(name).open(Path(library) if library else None)
    return Session(replace(model, arbiter=arbiter), memory, runtime=settings)


def _read_starter_facts(path: Path | None) -> Iterator[Row]:
    """The rows of a bundle's facts; nothing is read before the first is asked for."""
    if path is not None:
        yield from make_reader("jsonl")(path, _refuse)


def _refuse(bad: BadRow) -> None:
    raise BundleError(f"the bundle's facts are damaged in line {bad.line}: {bad.problem}")


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
