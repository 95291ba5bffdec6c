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
from reverie.dreaming.engine_speaker import EngineSpeaker
from reverie.dreaming.evaluators import Evaluator
from reverie.dreaming.minds import JoinedMind, Mind, PictureMind
from reverie.dreaming.model import Model, Prompter, open_model
from reverie.dreaming.preview import RuntimeConfig
from reverie.dreaming.prompting import ChatPrompter, GrammarPrompter
from reverie.dreaming.question import Question
from reverie.dreaming.session import Session
from reverie.dreaming.word_dreams import WordDreamer
from reverie.dreaming.words import WordMind
from reverie.engine import AnyBackbone, WeightKind
from reverie.errors import BundleError, UsageError
from reverie.experts.contract import Choice
from reverie.experts.features import question_features
from reverie.model import Backbone
from reverie.model.llama_base import LlamaBase
from reverie.model.transformers_base import TransformersBackbone
from reverie.paths import pulled_bundles
from reverie.precision import usual_device
from reverie.settings import build_settings
from reverie.speakers import is_speaker, open_speaker
from reverie.tokens.base_words import BaseWords
from reverie.tokens.grammar import Grammar
from reverie.tokens.grammar_files import load_grammar
from reverie.tokens.image import ImageTokenizer

if TYPE_CHECKING:
    from reverie.experts.library import Library
    from reverie.memory.memory import Memory

__all__ = ["AUTO", "open_words", "SPOKEN", "USUAL", "Bundle", "load", "load_bundle", "usual_model"]

AUTO = "auto"  # the usual model: USUAL, joined with SPOKEN where that was pulled
USUAL, SPOKEN = "nano", "smol"


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
    weights: WeightKind = "fp32"  # how the engine keeps the backbone's
    words: BaseWords | None = None  # of a base made elsewhere: what it has to answer in its own words

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
            weights=self.weights,
            always=_always(self.manifest.get("base")),
        )

    def session(
        self,
        runtime: RuntimeConfig | None = None,
        memory: Memory | str | Path | bool | None = None,
        starter_facts: Iterable[Row] | None = None,
        library: Path | None = None,
    ) -> Session:
        """A session with a model of its own; ``memory`` and ``starter_facts`` as ``Session`` takes them."""
        model = self.open(library)
        return Session(model, memory, starter_facts, runtime, mind=self.mind(model))

    def mind(self, model: Model, evaluators: Sequence[str | Evaluator] = ()) -> Mind:
        """Who answers with ``model``, opened from this bundle: in dreams of the grammar, in the base's own words, or in
        both, with a base that was taught the grammar."""
        pictures = replace(model, arbiter=model.arbiter.beside(evaluators))
        if self.words is None:
            return PictureMind(pictures)
        words, style = self.words, self.manifest["base"]["prompt"]
        if isinstance(self.prompter, ChatPrompter):
            return self._word_mind(model, self.prompter, words, evaluators)
        prompter = ChatPrompter(words, self.grammar, style)
        return JoinedMind(pictures, lambda: self._word_mind(model, prompter, words, evaluators), self.name)

    def _word_mind(
        self, model: Model, prompter: ChatPrompter, words: BaseWords, evaluators: Sequence[str | Evaluator]
    ) -> WordMind:
        speaker = self._speaker(model, words)
        dreamer = WordDreamer(speaker)
        dreamer.arbiter = dreamer.arbiter.beside(evaluators)
        choose = partial(_chosen, model, prompter)
        calibrated = self.confidence if self.confidence is not None and self.confidence.guarantee else None
        learned = model.experts.lessons
        return WordMind(dreamer, prompter.style, choose, speaker.credit, confidence=calibrated, learned=learned)

    def speaker(self, model: Model) -> EngineSpeaker | None:
        """Who speaks in the base's own words with ``model``, opened from this bundle; None where it has none."""
        return None if self.words is None else self._speaker(model, self.words)

    def _speaker(self, model: Model, words: BaseWords) -> EngineSpeaker:
        vocabulary, positions = self.grammar.vocabulary, model.dreamer.max_positions
        return EngineSpeaker(self.name, model.engine, words, vocabulary.text_start, vocabulary.size, positions)

    def choose(self, model: Model, question: Question) -> Choice:
        """Who of the experts helps with a question: those that it names, else whom the router chooses."""
        return _chosen(model, self._asker, question)

    def asked(self, question: str) -> Sequence[int]:
        """The ids of a question, as its router sees them. Raises UsageError for one that it cannot read."""
        return self._asker.ids(question)

    @property
    def _asker(self) -> Prompter:
        if self.words is None:
            return self.prompter
        return ChatPrompter(self.words, self.grammar, self.manifest["base"]["prompt"])

    def open_library(self, library: Path | None = None) -> Library:
        """Its own experts and those of ``library``, by default the user's for this base."""
        return open_library(self.folder, self.manifest, library)


def load_bundle(name: str | Path = "nano", *, trainable: bool = False, weights: WeightKind = "fp32") -> Bundle:
    """Verify a bundle, by name or folder, and load its parts.

    ``trainable``: its backbone is a module that can be trained and looked into, whatever base it is; else a base in
    Llama layout is read on a CPU for the engine alone, which takes a fraction of the time. ``weights``: how the engine
    keeps the matrices of such a base there: ``fp32`` as exact as they are, ``int8`` and ``bf16`` smaller and faster,
    ``auto`` what this processor is made for.

    Raises UsageError for a name that is not known, BundleError for a bundle that is damaged, foreign or too new.
    """
    folder = find_bundle(name)
    manifest = verify_bundle(folder)
    grammar, base = load_grammar(folder), manifest.get("base")
    words = None if base is None else BaseWords.read(folder / "backbone")
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
        if base is None or words is None or base["taught"]
        else ChatPrompter(words, grammar, base["prompt"]),
        words=words,
        weights="fp32" if base is None else weights,
    )
    _check_fit(folder, bundle)
    return bundle


def _always(base: dict[str, Any] | None) -> Choice:
    """The packaged expert that a base dreams with, where it was taught the grammar by one."""
    return ((base["grammar_expert"], 1.0),) if base is not None and base.get("grammar_expert") else ()


def _load_backbone(folder: Path, base: dict[str, Any] | None, num_grammar: int, trainable: bool) -> AnyBackbone:
    if base is None:
        return Backbone.load(folder)
    found = None if trainable or usual_device() != "cpu" else LlamaBase.find(folder, num_grammar)
    return found or TransformersBackbone.load(folder, num_grammar)


def load(
    name: str | Path = AUTO,
    runtime: RuntimeConfig | None = None,
    *,
    memory: Memory | str | Path | bool | None = None,
    library: str | Path | None = None,
    evaluators: Sequence[str | Evaluator] = (),
    weights: WeightKind = "auto",
    **switches: Any,
) -> Session:
    """A session with a model: ``reverie.load().ask("What happens when you drop an egg?")``.

    ``name``: a bundle's name or folder; a speaker such as ``ollama:llama3.2`` (see ``open_speaker``); two joined by a
    plus, the first of which dreams in pictures what it was taught and leaves the rest to the second, as in
    ``nano+smol``; or ``auto``, which is ``nano+smol`` where smol was pulled, else ``nano``.

    ``memory`` is what its answers rest on: an address such as ``"kg.db"``, which is made if needed, an open Memory,
    None for what the bundle knows of its worlds (kept nowhere), or False for nothing. ``library``: the folder of your
    experts, which stand beside the bundle's own. ``evaluators``: more judges of dreams, by the names that they are
    registered under; UnknownNameError suggests the nearest. ``weights``: of a base, as ``load_bundle`` takes it.
    ``switches`` are settings of ``RuntimeConfig``, such as ``enable_gpt51_codex_preview=False``; ConfigError names one
    that does not exist. Otherwise raises as ``load_bundle`` and ``open_speaker`` do.
    """
    settings = build_settings(RuntimeConfig, switches) if switches or runtime is None else runtime
    evaluators, own = Arbiter(()).beside(evaluators).evaluators, Path(library) if library else None
    first, others = _parts(name)
    if not isinstance(first, Path) and is_speaker(first):
        return Session(None, memory, (), settings, mind=open_words(first, evaluators, None, weights))
    bundle = load_bundle(first, weights=weights)
    model = bundle.open(own)
    if not others:
        mind = bundle.mind(model, evaluators)
        return Session(mind.model if isinstance(mind, PictureMind) else model, memory, None, settings, mind=mind)
    if isinstance(bundle.prompter, ChatPrompter):
        raise UsageError(
            f"{bundle.name} was taught no pictures, so nothing is joined to it; begin with one that was: nano"
        )
    model = replace(model, arbiter=model.arbiter.beside(evaluators))
    _check_known(others)
    joined = JoinedMind(model, lambda: open_words(others, evaluators, own, weights), others.rpartition("/")[2])
    return Session(model, memory, None, settings, mind=joined)


def usual_model() -> str:
    """What ``auto`` stands for here."""
    return f"{USUAL}+{SPOKEN}" if SPOKEN in pulled_bundles() else USUAL


def _parts(name: str | Path) -> tuple[str | Path, str]:
    """Who dreams in pictures, and who speaks beside it, "" for nobody."""
    if isinstance(name, Path):
        return name, ""
    name = usual_model() if name == AUTO else name
    first, _, others = name.partition("+")
    joined = first and others and not is_speaker(first) and not Path(name).exists() and name not in pulled_bundles()
    return (first, others) if joined else (name, "")


def _check_known(name: str) -> None:
    """A name of nobody is refused at once, not at the first question that needs them."""
    if not is_speaker(name):
        find_bundle(name)


def open_words(
    name: str,
    evaluators: Sequence[str | Evaluator] = (),
    library: Path | None = None,
    weights: WeightKind = "fp32",
) -> WordMind:
    """The mind of a speaker, or of a bundle that answers in its own words; arguments as ``load`` takes them."""
    if is_speaker(name):
        dreamer = WordDreamer(open_speaker(name))
        dreamer.arbiter = dreamer.arbiter.beside(evaluators)
        return WordMind(dreamer)
    bundle = load_bundle(name, weights=weights)
    mind = bundle.mind(bundle.open(library), evaluators)
    if not isinstance(mind, WordMind):
        raise UsageError(f"{bundle.name} dreams in pictures itself; join a model that speaks to it, such as smol")
    return mind


def _chosen(model: Model, prompter: Prompter, question: Question) -> Choice:
    """Who helps with a question: those that it names, else whom the router chooses, where there are any."""
    library = model.experts.library
    if question.experts is None and (library is None or not library.names()):
        return ()
    if question.experts is not None:
        return model.experts.choose((), [question.experts])[0]
    read = partial(model.engine.embed_many, layers=model.experts.layers)
    features = question_features(read, [prompter.ids(question.text)])
    return model.experts.choose([*features], [question.experts])[0]


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
