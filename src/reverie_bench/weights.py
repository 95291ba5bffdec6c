"""What do smaller weights cost, and what do they bring? A base in our engine as fp32, bf16 and int8, in one run.

Accuracy: ``nats_per_id`` of a text, ``next_id_equal`` (the likeliest next id is that of fp32) and
``largest_difference`` of a log-probability over all places of it; with ``--questions`` the right options of a quiz.
Speed: ids a second, drawn by one and by sixteen rows and read, as ``base-speed`` measures them, in turns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reverie.errors import ConfigError, UsageError
from reverie.settings import load_settings
from reverie_bench import base_speed
from reverie_bench.contract import BenchConfig, Benchmark, Figures, Findings

if TYPE_CHECKING:
    from reverie.bundles import Bundle
    from reverie.engine import Decoder

DATA = (
    "a text file, or a folder of them (*.txt), such as a part of wikitext-2; --questions: OpenTriviaQA, as for choice"
)
_NAMES = base_speed.OURS


@dataclass(frozen=True)
class Options:
    """How much is measured."""

    pieces: int = 16  # of the text, spread evenly
    piece_ids: int = 256
    rounds: int = 3  # of the race
    new_ids: int = 32

    def __post_init__(self) -> None:
        for name in ("pieces", "rounds", "new_ids"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is at least 1, got {getattr(self, name)}")
        if self.piece_ids < 2:
            raise ConfigError(f"piece_ids is at least 2, got {self.piece_ids}")


def run(settings: BenchConfig) -> Findings:
    from reverie.bundles import load_bundle
    from reverie.engine import open_decoder
    from reverie.model.llama_base import LlamaBase

    options = load_settings(Options, None, settings.options)
    bundle = load_bundle("smol" if settings.model == "nano" else settings.model)
    if not isinstance(bundle.backbone, LlamaBase) or bundle.words is None:
        raise UsageError(
            f"{bundle.name} has no base in Llama layout on this machine's CPU: its weights are kept one way"
        )
    pieces = _pieces(bundle, settings.data, options)
    speeds, absent = _speeds(bundle, options, settings)
    found: dict[str, Figures] = {}
    truth: list[np.ndarray] = []
    for place, kind in enumerate(_NAMES):
        if kind not in speeds:
            continue
        settings.progress("reading", place, len(_NAMES))
        decoder = open_decoder(bundle.backbone, weights=kind)  # type: ignore[arg-type]
        read = [_log_probs(decoder, piece) for piece in pieces]
        truth = truth or read
        found[kind] = _accuracy(pieces, read, truth) | _quiz(bundle, kind, settings) | speeds[kind]
    settings.progress("reading", len(_NAMES), len(_NAMES))
    return Findings(
        n=len(pieces),
        figures=_costs(found),
        by={kind: found[kind] for kind in found if kind != "fp32"} or {"none": {"kinds": 0}},
        baselines={"fp32": found["fp32"]},
        settings={"bundle": bundle.name, "absent": absent, "piece_ids": options.piece_ids},
    )


def _pieces(bundle: Bundle, data: Path | None, options: Options) -> list[np.ndarray]:
    """int64 (piece_ids,) each, in the engine's numbering, spread over the text."""
    if data is None or not data.exists():
        raise UsageError(f"the benchmark weights needs --data: {DATA}")
    files = sorted(data.rglob("*.txt")) if data.is_dir() else [data]
    text = "\n".join(file.read_text(encoding="utf-8", errors="replace") for file in files)
    assert bundle.words is not None
    ids = np.asarray(bundle.words.encode(text[: 400 * options.pieces * options.piece_ids], whole=False), dtype=np.int64)
    count = min(options.pieces, len(ids) // options.piece_ids)
    if not count:
        raise UsageError(f"{data} holds {len(ids)} ids of text, fewer than the {options.piece_ids} of one piece")
    starts = np.linspace(0, len(ids) - options.piece_ids, count).astype(int)
    shift = bundle.grammar.vocabulary.text_start
    return [ids[start : start + options.piece_ids] + shift for start in starts]


def _speeds(bundle: Bundle, options: Options, settings: BenchConfig) -> tuple[dict[str, Figures], dict[str, str]]:
    race = base_speed.Options(new_ids=options.new_ids, rounds=options.rounds, prefill_ids=256)
    work = base_speed.Work(bundle, race, settings.seed)
    systems: dict[str, base_speed.System] = {}
    absent: dict[str, str] = {}
    for kind in _NAMES:
        made = work.ours(kind)
        if isinstance(made, str):
            absent[kind] = made
        else:
            systems[kind] = made
    seconds = base_speed.race(systems, race, settings)
    return {kind: base_speed.speed_figures(seconds[kind], race) for kind in systems}, absent


def _log_probs(decoder: Decoder, piece: np.ndarray) -> np.ndarray:
    """float32 (T - 1, V): after each id of the piece but the last."""
    import torch

    from reverie.engine.contract import Read

    logits: Any = decoder.read([Read(piece[:-1], keep=len(piece) - 1)])[0][0]
    found: np.ndarray = torch.as_tensor(logits).float().view(len(piece) - 1, -1).log_softmax(-1).numpy()
    return found


def _accuracy(pieces: Sequence[np.ndarray], read: Sequence[np.ndarray], truth: Sequence[np.ndarray]) -> Figures:
    nats = [-rows[np.arange(len(rows)), piece[1:]] for piece, rows in zip(pieces, read, strict=True)]
    equal = [rows.argmax(1) == wanted.argmax(1) for rows, wanted in zip(read, truth, strict=True)]
    apart = [np.abs(rows - wanted).max() for rows, wanted in zip(read, truth, strict=True)]
    return {
        "nats_per_id": float(np.concatenate(nats).mean()),
        "next_id_equal": float(np.concatenate(equal).mean()),
        "largest_difference": float(max(apart)),
    }


def _quiz(bundle: Bundle, kind: str, settings: BenchConfig) -> Figures:
    """The share of right options, where questions are given."""
    if settings.questions is None:
        return {}
    from reverie.bundles.loading import open_words
    from reverie.dreaming.choosing import choose_many
    from reverie_bench.choice import read_choices
    from reverie_bench.rows import thin

    rows = thin(read_choices(settings.questions), settings.limit or 200)
    speaker = open_words(str(bundle.folder), weights=kind).speaker  # type: ignore[arg-type]
    chosen = choose_many(speaker, [row.asked for row in rows])
    return {"quiz_accuracy": float(np.mean([one.winner == row.label for one, row in zip(chosen, rows, strict=True)]))}


def _costs(found: dict[str, Figures]) -> Figures:
    """Of each kind against fp32: nats more an id, and how many times as fast."""
    costs: Figures = {"kinds": len(found)}
    for kind in found.keys() - {"fp32"}:
        costs[f"{kind}_nats_more"] = found[kind]["nats_per_id"] - found["fp32"]["nats_per_id"]
        costs[f"{kind}_next_id_equal"] = found[kind]["next_id_equal"]
        for name in ("ids_per_second_1", "ids_per_second_16", "prefill_ids_per_second"):
            costs[f"{kind}_speedup_{name}"] = found[kind][name] / found["fp32"][name]
    return costs


BENCHMARK = Benchmark(
    name="weights",
    about="fp32, bf16 and int8 weights of a base in our engine: nats, next ids, quiz, and ids a second, in one run",
    run=run,
    data=DATA,
    options=Options,
)
