"""Does an exported model say what it says here? GGUF files under llama.cpp beside our own engine, in fp32.

``ids_equal`` counts odd texts that both cut into the same ids; ``words_equal`` the questions to which both answer the
same ids greedily; ``largest_difference`` is between two log-probabilities over the whole vocabulary, after each of the
questions (logits less what is common to all of a row). With experts the file is the bare base and they are adapters.

What would be without care stands beside it: the file with GPT-2's way of cutting texts, and with one that is for no
vocabulary at all; for experts the bare base.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from reverie.errors import ConfigError
from reverie.settings import load_settings
from reverie_bench.contract import BenchConfig, Benchmark, Figures, Findings
from reverie_bench.odd_texts import odd_texts
from reverie_bench.rows import thin

if TYPE_CHECKING:
    from reverie.experts.contract import Choice
    from reverie.export import Source
    from reverie_bench.llama_file import LlamaFile

_QUESTIONS = (
    "What happens when you drop an egg?",
    "What is the capital of France?",
    "Why is the sky blue?",
    "How many legs has a spider?",
    "What is a glass made of?",
    "Who wrote Hamlet?",
    "What happens if you push a glass off the table?",
    "Write a line about rain.",
    "What is 17 plus 25?",
    "Name three colours.",
    "What do bees make?",
    "Does ice float on water?",
    "Was ist Wasser?",
    "¿Dónde está Madrid?",
    "Explain gravity to a child.",
    "What comes after Tuesday?",
)
_KINDS = ("f32", "f16", "q8_0")


@dataclass(frozen=True)
class Options:
    """How much is compared."""

    texts: int = 1000
    new_ids: int = 40  # of each greedy answer
    experts: str = ""  # such as causal@1,spatial@0.5; their effect is measured, too
    kinds: tuple[str, ...] = _KINDS

    def __post_init__(self) -> None:
        if self.texts < 1 or self.new_ids < 1:
            raise ConfigError(f"texts and new_ids are at least 1, got {self.texts} and {self.new_ids}")
        if unknown := [kind for kind in self.kinds if kind not in _KINDS]:
            raise ConfigError(f"kinds are among {', '.join(_KINDS)}, got {unknown[0]}")


def run(settings: BenchConfig) -> Findings:
    from reverie.export import open_source
    from reverie.export.experts import parse_experts
    from reverie.export.gguf_files import write_base
    from reverie.export.vocabulary import pre_tokenizer_name

    options = load_settings(Options, None, settings.options)
    source, experts = open_source(settings.model), parse_experts(options.experts)
    ours = _Ours(source, settings)
    asked = thin([*map(ours.asked, _QUESTIONS)], settings.limit)
    texts = odd_texts(options.texts, settings.seed)
    by: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        truth = [ours.says(ids, (), options.new_ids) for ids in asked]
        for place, kind in enumerate(options.kinds):
            settings.progress("comparing", place, len(options.kinds) + 2)
            write_base(source, folder / f"{kind}.gguf", kind)
            with _opened(folder / f"{kind}.gguf", ours.max_ids) as file:
                by[kind] = _compared(file, source, asked, truth, {}, options.new_ids)
                if kind == options.kinds[0]:
                    by[kind] |= _cut(file, source, texts)
        baselines = {f"pre_{name}": _wrong_pre(source, folder, name, texts) for name in ("gpt-2", "default")
                     if name != pre_tokenizer_name(source.tokenizer)}  # fmt: skip
        settings.progress("comparing", len(options.kinds) + 1, len(options.kinds) + 2)
        if experts:
            by["experts"], baselines["bare_base"] = _adapters(source, ours, folder, asked, experts, options)
    return Findings(
        n=options.texts + len(asked),
        figures=by[options.kinds[0]] | {f"experts_{name}": value for name, value in by.get("experts", {}).items()},
        by=by,
        baselines={name.replace("-", ""): found for name, found in baselines.items()},
        settings={"bundle": source.name, "num_ids": source.num_ids, "experts": dict(experts), "questions": len(asked)},
    )


class _Ours:
    """Our own engine on the same base, in fp32, asked in the base's numbering."""

    def __init__(self, source: Source, settings: BenchConfig):
        from reverie.bundles import load_bundle
        from reverie.engine import Engine, open_decoder
        from reverie.tokens.base_words import ChatTemplate

        bundle = load_bundle(source.folder)
        vocabulary = bundle.grammar.vocabulary
        self.source = source
        self._shift = 0 if source.manifest.get("base") is None else vocabulary.text_start
        self._size = vocabulary.size
        self.max_ids = min(bundle.backbone.config.max_positions, 512)
        self._decoder = open_decoder(bundle.backbone, source.library())
        self._engine = Engine(self._decoder)
        named = {f"{name}_token": source.token(token) for name, token in source.specials.items()}
        self._template = ChatTemplate(source.template, named)

    def asked(self, question: str) -> list[int]:
        said = self._template.render([{"role": "user", "content": question}])
        return list(self.source.tokenizer.encode(said, add_special_tokens=False).ids)

    def says(self, ids: Sequence[int], experts: Choice, new_ids: int) -> tuple[np.ndarray, list[int]]:
        """Log-probabilities of the id that follows, float32 (num_ids,), and the likeliest ids from there on."""
        import torch

        from reverie.engine import Request, Sampling
        from reverie.engine.contract import Read

        given = (np.asarray(ids, dtype=np.int64) + self._shift) % self._size
        logits, _ = self._decoder.read([Read(given, None, self._decoder.resolve(experts))])[0]
        row = torch.as_tensor(logits).float().flatten().roll(-self._shift)[: self.source.num_ids]
        ends = frozenset((end + self._shift) % self._size for end in self.source.ends)
        asked = Request(tuple(given.tolist()), 0, Sampling(0.0), None, new_ids, ends, experts)
        said = self._engine.generate([asked])[0].ids
        return row.log_softmax(-1).numpy(), [(token - self._shift) % self._size for token in said]


def _opened(path: Path, max_ids: int, adapters: Sequence[Path] = ()) -> LlamaFile:
    import torch

    from reverie_bench.llama_file import LlamaFile

    return LlamaFile(path, adapters, max_ids, torch.get_num_threads())


def _compared(
    file: LlamaFile,
    source: Source,
    asked: Sequence[list[int]],
    truth: Sequence[tuple[np.ndarray, list[int]]],
    scales: dict[int, float],
    new_ids: int,
) -> Figures:
    apart, same = [], []
    for ids, (wanted, said) in zip(asked, truth, strict=True):
        apart.append(np.abs(file.log_probs(ids, source.num_ids, scales) - wanted))
        theirs = file.greedy(ids, new_ids, scales)
        same.append(
            [one for one in theirs if one not in source.ends] == [one for one in said if one not in source.ends]
        )
    return {
        "words_equal": float(np.mean(same)),
        "largest_difference": float(max(each.max() for each in apart)),
        "mean_difference": float(np.mean([each.mean() for each in apart])),
    }


def _cut(file: LlamaFile, source: Source, texts: Sequence[str]) -> Figures:
    same = [file.ids(text) == source.tokenizer.encode(text).ids for text in texts]
    return {"ids_equal": float(np.mean(same)), "texts": len(texts)}


def _wrong_pre(source: Source, folder: Path, name: str, texts: Sequence[str]) -> Figures:
    """How many texts are cut alike where the file names another way of cutting."""
    from reverie.export.gguf_files import write_base
    from reverie.export.vocabulary import gguf_words

    words = gguf_words(source.tokenizer, source.num_ids, source.specials)
    write_base(source, folder / "other.gguf", "f16", words=replace(words, pre=name))
    with _opened(folder / "other.gguf", 64) as file:
        return _cut(file, source, texts)


def _adapters(
    source: Source, ours: _Ours, folder: Path, asked: Sequence[list[int]], experts: Choice, options: Options
) -> tuple[Figures, Figures]:
    """Each expert as an adapter with its weight, and what the bare base would be off by."""
    from reverie.export.experts import resolve_experts
    from reverie.export.gguf_files import write_adapter, write_base

    if not (folder / "f32.gguf").exists():
        write_base(source, folder / "f32.gguf", "f32")
    paths = []
    for name, _, adapter in resolve_experts(source.library(), experts):
        paths.append(folder / f"{name}-lora.gguf")
        write_adapter(source, adapter, paths[-1], name)
    truth = [ours.says(ids, experts, options.new_ids) for ids in asked]
    scales = {place: share for place, (_, share) in enumerate(experts)}
    with _opened(folder / "f32.gguf", ours.max_ids, paths) as file:
        with_them = _compared(file, source, asked, truth, scales, options.new_ids)
        return with_them, _compared(file, source, asked, truth, {}, options.new_ids)


BENCHMARK = Benchmark(
    name="export",
    about="an exported GGUF under llama.cpp beside our engine: ids of odd texts, logits, greedy words, experts",
    run=run,
    options=Options,
)
