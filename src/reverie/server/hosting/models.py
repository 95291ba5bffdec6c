"""A bundle at work: its engine on a thread of its own, and what its files say of it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from reverie.bundles import load_bundle
from reverie.bundles.bundle import MANIFEST, read_manifest
from reverie.bundles.experts import open_library
from reverie.bundles.gaps import gaps_of
from reverie.dreaming.engine_speaker import EngineSpeaker
from reverie.dreaming.gap_notes import GapNotes
from reverie.dreaming.minds import JoinedMind, Mind, PictureMind
from reverie.dreaming.model import Model
from reverie.dreaming.preview import RuntimeConfig
from reverie.dreaming.question import Question
from reverie.dreaming.session import Session
from reverie.dreaming.words import WordMind
from reverie.engine import Engine, Worker
from reverie.errors import BundleError, UsageError
from reverie.experts.contract import Choice
from reverie.experts.library import Library
from reverie.files import sha256_of
from reverie.growth.gaps import Gaps
from reverie.jsonio import read_object
from reverie.memory.attempts import GapLog
from reverie.server.hosting.kept import FILE, Kept, read_kept
from reverie.server.hosting.settings import HostingConfig
from reverie.tokens.base_words import ChatTemplate
from reverie.tokens.questions import MAX_CHARS

__all__ = ["HostedModel", "ModelFacts", "bundle_facts", "joined_session"]

T = TypeVar("T")

_BYTES = {"fp32": 4.0, "bf16": 2.0, "int8": 1.1, "auto": 4.0}  # of a weight in memory; auto: the most that it may be
_SPREAD = 1.2  # what else a model holds
_PATIENCE = 50.0  # of the router: an expert that was added is chosen within about a second where there are a thousand


@dataclass(frozen=True)
class ModelFacts:
    """What a bundle's files say, without loading it.

    Args:
        created: seconds since 1970, of its manifest
        num_bytes: of its files
        digest: SHA-256 of its manifest, which holds that of every file, and of what is kept with it
        architecture: as transformers calls it
        num_weights: of its backbone
        context: positions
        talks: it answers a talk in its own words; else it dreams before it answers
        quantization: how its weights are saved
        template: its chat template, "" where it has none
        experts: names of its own experts and the user's, sorted
        kept: with it, for whoever asks it
    """

    name: str
    folder: Path
    created: int
    num_bytes: int
    digest: str
    architecture: str
    num_weights: int
    context: int
    hidden_size: int
    talks: bool
    quantization: str
    template: str
    licence: str
    experts: tuple[str, ...]
    kept: Kept | None = None

    @property
    def dreams(self) -> bool:
        """It answers by what it dreamed, in pictures and words."""
        return not self.talks


def bundle_facts(name: str, folder: Path, library: Path | None = None) -> ModelFacts:
    """Raises BundleError for a folder that holds no bundle."""
    manifest, path = read_manifest(folder), folder / MANIFEST
    base, config = manifest.get("base", {}), _config(folder)
    files = {one: int(said.get("bytes", 0)) for one, said in manifest["files"].items()}
    told = folder / "backbone" / "tokenizer_config.json"
    known = read_object(told, BundleError, "the words of a base") if told.is_file() else {}
    template = ChatTemplate.read(folder / "backbone", known)
    return ModelFacts(
        name,
        folder,
        int(path.stat().st_mtime),
        sum(files.values()),
        _digest(folder),
        (config.get("architectures") or ["LlamaForCausalLM"])[0],
        _num_weights(folder),
        int(config.get("max_position_embeddings") or 0),
        int(config.get("hidden_size") or 0),
        bool(base),
        str(base.get("quantized") or base.get("dtype") or "bf16"),
        "" if template is None else template.source,
        str(base.get("licence") or ""),
        tuple(open_library(folder, manifest, library).names()),
        read_kept(folder),
    )


def _digest(folder: Path) -> str:
    own, kept = sha256_of(folder / MANIFEST), folder / FILE
    return hashlib.sha256(f"{own}:{sha256_of(kept)}".encode()).hexdigest() if kept.is_file() else own


def _config(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / "backbone" / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(f"the bundle {folder} is damaged: its backbone has no config") from error
    return found if isinstance(found, dict) else {}


def _num_weights(folder: Path) -> int:
    """By the heads of its files alone."""
    count = 0
    for path in (folder / "backbone").glob("*.safetensors"):
        with path.open("rb") as file:
            head = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        count += sum(math.prod(one["shape"]) for name, one in head.items() if name != "__metadata__")
    return count


class HostedModel:
    """One bundle in memory. Making it loads it, which takes a while; call it from a thread of its own.

    ``worker`` runs its engine; ``asking`` is the one thread on which its session is asked.
    """

    def __init__(self, facts: ModelFacts, config: HostingConfig):
        self.facts, self.config = facts, config
        self.num_bytes = memory_of(facts, config)
        found: list[Model] = []

        def make() -> Engine:
            self._bundle = load_bundle(facts.folder, weights=config.weights)
            found.append(self._bundle.open(config.library))
            engine = found[0].engine
            assert isinstance(engine, Engine)
            return engine

        self.worker = Worker(make)
        self._alone = found[0]  # for work on the engine's own thread
        if (router := self._alone.experts.router) is not None:
            router.patience = _PATIENCE
        self.model = self._alone.through(self.worker)
        self.speaker: EngineSpeaker | None = self._bundle.speaker(self.model)
        self.asking = ThreadPoolExecutor(1, thread_name_prefix=f"reverie-asking-{facts.name}")

    @property
    def library(self) -> Library | None:
        return self.model.experts.library

    @cached_property
    def mind(self) -> Any:
        return self._bundle.mind(self.model)

    @cached_property
    def session(self) -> Session:
        """What is asked with dreams. On the thread ``asking`` alone."""
        model = self.mind.model if isinstance(self.mind, PictureMind) else self.model
        return _session(model, self.config, self.mind)

    def gaps(self) -> Gaps:
        """What it does not know, by the gap log of its memory; nothing where it has none. Takes a while; call it from a
        thread of its own."""
        if not self.config.memory:
            return Gaps((), (), np.zeros((0, 2)))
        with GapLog(self.config.memory) as log:
            return gaps_of(self._bundle, self.model, log)

    @property
    def words(self) -> WordMind:
        """Who answers beside another bundle. Raises UsageError where nobody speaks here."""
        if not isinstance(self.mind, WordMind):
            raise UsageError(f"{self.facts.name} dreams in pictures itself; join a model that speaks, such as smol")
        return self.mind

    def choose(self, text: str) -> Choice:
        """Whom the router chooses for what is asked. On the engine's thread alone."""
        library = self.library
        asked = text.strip()[-MAX_CHARS // 2 :]
        if not asked or library is None or not library.names():
            return ()
        chosen = self._bundle.choose(self._alone, Question(asked))
        return tuple((name, weight) for name, weight in chosen if name in library)  # some may be gone since

    def on_engine(self, work: Callable[[Engine], T]) -> Any:
        """The future of what ``work`` gives on the engine's thread, between two steps."""
        engine = self._alone.engine
        assert isinstance(engine, Engine)
        return self.worker.run(lambda: work(engine))

    def close(self) -> None:
        """Let go of everything; waits for a question that is being answered."""
        if "session" in self.__dict__:
            self.asking.submit(self.session.close)
        self.asking.shutdown(wait=True)
        self.worker.close()


_RUNTIME = RuntimeConfig(enable_gpt51_codex_preview=False)  # a server asks nobody elsewhere


def joined_session(first: HostedModel, second: HostedModel) -> Session:
    """What the first was taught it pictures, the rest is left to the second."""
    if first.facts.talks:
        raise UsageError(f"{first.facts.name} was taught no pictures, so nothing is joined to it; begin with nano")
    joined = JoinedMind(replace(first.model), lambda: second.words, second.facts.name)
    return _session(first.model, first.config, joined)


def _session(model: Model, config: HostingConfig, mind: Mind) -> Session:
    notes = GapNotes(config.memory or False)
    return Session(model, config.memory or None, None, _RUNTIME, observers=[notes], mind=mind)


def memory_of(facts: ModelFacts, config: HostingConfig) -> int:
    """Bytes that it takes once it is loaded, by its weights; estimated."""
    kind = config.weights if facts.talks else "fp32"
    return int(facts.num_weights * _BYTES[kind] * _SPREAD)
