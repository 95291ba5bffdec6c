"""What a new small student learns from smol's words and probabilities, in nats a byte of what smol answers to prompts
that nobody learned from.

The teacher is smol: its GGUF file in llama.cpp answers varied prompts and tells its 20 likeliest ids at each place; its
bundle, the same weights, gives all logits of the same answers. Students start from the same random weights, a seed
each, and learn the same answers in the same order for as many steps; those of one row differ in nothing but what they
are held to:

- with smol's tokenizer: its words alone (hard), its 20 likeliest ids (top), all its logits (full);
- with a byte-level BPE learned from the answers: the same three, and sorted probabilities (uld, arXiv 2402.12030, with
  all logits, at the places where both tokenizers cut, beside hard labels, which it cannot do without).

Every student is judged as it was at the best of its evaluations on a tenth of the prompts, so that hard labels are not
blamed for learning by heart. A gain is what a student is better by than the one of hard labels with its own tokenizer.
``top_of_full``: the gain from 20 ids a place over that from all logits. ``across_of_same``: the gain across tokenizers
over that with smol's own, both from the 20 likeliest; ``across_of_same_full``: both from all logits. Losses' weights,
learning rates and numbers of steps were chosen on answers to other prompts, the latter two with hard labels.

Where trl is installed (nobody needs it but this benchmark) its own ``GKDTrainer`` trains the same student on the same
answers in the same order for ``trl_steps`` steps towards the same divergence from the same logits, beside ours.
"""

from __future__ import annotations

import importlib
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reverie.errors import ConfigError, DataError, UsageError
from reverie.settings import load_settings
from reverie_bench.contract import BenchConfig, Benchmark, Figures, Findings

if TYPE_CHECKING:
    from reverie.bundles.fresh import FreshConfig
    from reverie.teachers import Trace
    from reverie.training.distillation import DistillData

__all__ = ["BENCHMARK", "DistillOptions"]

EVALUATIONS = 10  # of a student while it learns
_SAME = ("hard", "top", "full")
_FRESH = (*_SAME, "uld")
# chosen on answers to other prompts: 0 for what a student is not held to
_WEIGHTS: dict[str, dict[str, float]] = {
    "hard": {"hard_weight": 1.0, "chunk_weight": 0.0},
    "top": {},
    "full": {},
    "uld": {"hard_weight": 1.0, "soft_weight": 1.5, "chunk_weight": 0.0},  # 1.5 as its authors have it
}


@dataclass(frozen=True)
class DistillOptions:
    """How much is asked and learned."""

    prompts: int = 260  # to learn from; a tenth of them is left out of training
    test_prompts: int = 60
    max_ids: int = 64  # of an answer
    steps: int = 150  # with the teacher's tokenizer
    fresh_steps: int = 300  # with their own, in which an answer is longer and the words have to be learned, too
    seeds: tuple[int, ...] = (0, 1)  # of the students' weights and of the order
    text_size: int = 2048  # ids of the students' own tokenizer
    trl_steps: int = 40  # 0: trl is left out
    hidden_size: int = 128
    num_layers: int = 3
    batch_size: int = 8
    lr: float = 3e-3  # with the teacher's tokenizer
    fresh_lr: float = 6e-3
    same: tuple[str, ...] = _SAME
    fresh: tuple[str, ...] = field(default=_FRESH)

    def __post_init__(self) -> None:
        if min(self.prompts, self.test_prompts, self.max_ids, self.steps, self.fresh_steps) < 2 or not self.seeds:
            raise ConfigError(
                "distill: prompts, test_prompts, max_ids, steps and fresh_steps are at least 2, and there is a seed"
            )
        if strange := {*self.same, *self.fresh} - set(_FRESH):
            raise ConfigError(f"distill: students are held to {', '.join(_FRESH)}, got {min(strange)}")


def run(settings: BenchConfig) -> Findings:
    import torch

    from reverie.paths import find_bundle

    options = load_settings(DistillOptions, None, settings.options)
    if settings.limit:
        options = replace(
            options, prompts=max(settings.limit, 20), test_prompts=max(settings.limit // 4, 5), seeds=options.seeds[:1],
            steps=min(options.steps, 40), fresh_steps=min(options.fresh_steps, 40),
            trl_steps=min(options.trl_steps, 10),
        )  # fmt: skip
    teacher = find_bundle("smol" if settings.model == "nano" else settings.model)
    threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as scratch:
        try:
            work = Work(Path(scratch), teacher, options, settings)
            found = work.students()
            beside = work.trl() if options.trl_steps else {}
        finally:
            torch.set_num_threads(threads)
    return _findings(found, beside, options, len(work.tests))


def _findings(
    found: dict[str, list[float]], beside: dict[str, Figures], options: DistillOptions, count: int
) -> Findings:
    mean = {name: statistics.fmean(each) for name, each in found.items()}
    gains = {name: mean[f"{name.split('_')[0]}_hard"] - value for name, value in mean.items()
             if f"{name.split('_')[0]}_hard" in mean and not name.endswith("hard")}  # fmt: skip
    figures: Figures = {
        f"{name}_nats_a_byte": value for name, value in mean.items() if name[-4:] not in ("hard", "_uld")
    }
    figures |= {f"{name}_gain": value for name, value in gains.items() if not name.endswith("uld")}
    for name, (one, other) in {"top_of_full": ("same_top", "same_full"), "across_of_same": ("fresh_top", "same_top"),
                               "across_of_same_full": ("fresh_full", "same_full")}.items():  # fmt: skip
        if one in gains and other in gains:
            figures[name] = gains[one] / gains[other] if gains[other] > 0 else float("nan")
    baselines: dict[str, Figures] = {
        name: {"nats_a_byte": mean[name]} for name in ("same_hard", "fresh_hard", "fresh_uld") if name in mean
    }
    by = {name: {f"seed_{seed}": value for seed, value in zip(options.seeds, each, strict=True)}
          for name, each in found.items()}  # fmt: skip
    if beside:
        baselines["trl_gkd"] = beside["trl"]
        figures |= {f"beside_trl_{name}": value for name, value in beside["ours"].items()}
    told = {} if beside or not options.trl_steps else {"trl": "not installed: pip install --no-deps trl datasets"}
    return Findings(count, figures, by, baselines or {"none": {"nats_a_byte": float("nan")}},
                    {"options": vars(options)} | told)  # fmt: skip


class Work:
    """The answers, and students that learn them in ``scratch``."""

    def __init__(self, scratch: Path, teacher: Path, options: DistillOptions, settings: BenchConfig):
        from reverie.teachers import Traces, read_traces

        self.scratch, self.teacher, self.options, self.settings = scratch, teacher, options, settings
        self.progress = settings.progress
        told = list(read_traces(settings.data)) if settings.data else self._ask()
        rng = np.random.default_rng([settings.seed, 5])
        order = [told[place] for place in rng.permutation(len(told))]
        if len(order) < 8:
            raise DataError(f"{len(order)} answers are too few: at least 8 are needed")
        self.tests = order[: min(options.test_prompts, len(order) // 3)]
        self.traces = scratch / "learned.jsonl"
        with Traces(self.traces) as written:
            for trace in order[len(self.tests) :]:
                written.append(trace)
        self.learned = order[len(self.tests) :]

    def _ask(self) -> list[Trace]:
        """The teacher's answers to prompts that nothing was chosen on."""
        from reverie.bundles.bundle import gguf_of
        from reverie.teachers import TeacherConfig, Traces, open_teacher
        from reverie.training.varied_prompts import MOST_PROMPTS, varied_prompts

        file = gguf_of(self.teacher)
        if file is None:
            raise UsageError(f"{self.teacher} keeps no GGUF file to be asked; give traces with --data, or pull smol")
        seen = set(varied_prompts(260))
        wanted = self.options.prompts + self.options.test_prompts
        prompts = [one for one in varied_prompts(MOST_PROMPTS, self.settings.seed + 7) if one not in seen][:wanted]
        config = TeacherConfig(max_ids=self.options.max_ids, temperature=1.0, seed=self.settings.seed)
        with closing(open_teacher(f"llama:{file}", config)) as teacher, Traces(self.scratch / "asked.jsonl") as traces:
            return list(teacher.teach(prompts, traces, self.progress))

    def students(self) -> dict[str, list[float]]:
        """Nats a byte by student, a figure a seed."""
        found = defaultdict[str, list[float]](list)
        wanted = [("same", soft) for soft in self.options.same] + [("fresh", soft) for soft in self.options.fresh]
        for place, (words, soft) in enumerate(wanted):
            for turn, seed in enumerate(self.options.seeds):
                self.progress(f"students  {words} {soft}", place * len(self.options.seeds) + turn,
                              len(wanted) * len(self.options.seeds))  # fmt: skip
                found[f"{words}_{soft}"].append(self._student(words, soft, seed))
        return dict(found)

    def _student(self, words: str, soft: str, seed: int) -> float:
        from reverie.training import train
        from reverie.training.distillation import DistillObjective

        objective = DistillObjective(self._data(words, soft, seed))
        with tempfile.TemporaryDirectory() as run:
            steps = self.options.steps if words == "same" else self.options.fresh_steps
            lr = self.options.lr if words == "same" else self.options.fresh_lr
            train(objective, self._loop(steps, seed, lr), run, progress=False)
        return nats_a_byte(objective, self.tests)

    def _data(self, words: str, soft: str, seed: int, **changes: Any) -> DistillData:
        from reverie.training.distillation import DistillData

        settings: dict[str, Any] = {
            "traces": str(self.traces),
            "bundle": str(self._start(words, seed)),
            "whole": True,
            "soft": {"hard": "none"}.get(soft, soft),
            "teacher": str(self.teacher) if soft in ("full", "uld") else "",
            "batch_size": self.options.batch_size,
            "seed": seed,
        }
        return DistillData(**{**settings, **_WEIGHTS[soft], **changes})

    def _loop(self, steps: int, seed: int, lr: float, best: bool = True) -> Any:
        """``best``: the weights of the best evaluation are kept, else the last."""
        from reverie.training import LoopConfig

        return LoopConfig(
            steps=steps, lr=lr, weight_decay=0.0, warmup_steps=min(20, steps // 2),
            eval_every=max(1, steps // EVALUATIONS), patience=EVALUATIONS + 1 if best else 0, checkpoint_every=0,
            tensorboard=False, seed=seed,
        )  # fmt: skip

    def _start(self, words: str, seed: int) -> Path:
        """A student before it learned."""
        from reverie.bundles.fresh import fresh_bundle, fresh_words, words_of

        folder = self.scratch / f"{words}-{seed}"
        if not folder.exists():
            own = [trace.text for trace in self.learned]
            known = words_of(f"bundle:{self.teacher}") if words == "same" else fresh_words(own, self.options.text_size)
            fresh_bundle(folder, known, self._size(seed), name=words)
        return folder

    def _size(self, seed: int) -> FreshConfig:
        from reverie.bundles.fresh import FreshConfig

        width = self.options.hidden_size
        return FreshConfig(
            hidden_size=width, intermediate_size=3 * width, num_layers=self.options.num_layers, num_heads=4,
            max_positions=512, seed=seed,
        )  # fmt: skip

    def trl(self) -> dict[str, Figures]:
        """Ours and trl's trainer with the same student, data, order, steps and divergence; {} where it is not there."""
        import logging

        try:
            gkd = importlib.import_module("trl.experimental.gkd")
        except ImportError:
            logging.getLogger("reverie.bench").warning("trl is not installed: nobody stands beside our trainer")
            return {}
        from reverie.training import train
        from reverie.training.distillation import DistillObjective
        from reverie_bench.distill_trl import train_with_trl

        steps, seed = self.options.trl_steps, self.options.seeds[0]
        loop = self._loop(steps, seed, self.options.lr, best=False)
        figures: dict[str, Figures] = {}
        data = self._data("same", "full", seed, hard_weight=0.0, chunk_weight=0.0, buckets=1)
        for name in ("ours", "trl"):
            self.progress("beside trl", len(figures), 2)
            started = time.perf_counter()
            # trl's reads the teacher itself, at every step; ours once before the first, which is counted
            objective = DistillObjective(data if name == "ours" else replace(data, soft="none", teacher=""))
            with tempfile.TemporaryDirectory() as run:
                if name == "ours":
                    train(objective, loop, run, progress=False)
                else:
                    train_with_trl(gkd, objective, self.teacher, loop, Path(run))
            seconds = time.perf_counter() - started
            figures[name] = {"nats_a_byte": nats_a_byte(objective, self.tests), "steps_per_second": steps / seconds}
        return figures


def nats_a_byte(objective: Any, traces: Sequence[Trace]) -> float:
    """Of the teacher's answers, by the student of an objective."""
    objective.module.eval()
    return float(objective.nats_a_byte(traces))


BENCHMARK = Benchmark(
    name="distill",
    about="What a new small student learns from smol's probabilities, with its tokenizer and across tokenizers.",
    run=run,
    data="traces of a teacher (JSONL, as `reverie distill` leaves them); else smol's GGUF file is asked",
    options=DistillOptions,
)  # fmt: skip
