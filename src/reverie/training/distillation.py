"""Distillation: a student learns from a teacher's traces, an expert of a bundle, or all weights of a small one.

What the traces tell decides what is learned: the teacher's words alone (hard labels); its likeliest ids at each place
with the rest of the mass in one bucket; or, with a bundle as teacher at hand, all its logits, and its states. Ids of
another tokenizer are put into the student's by their bytes, see ``alignment``.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from reverie.errors import ConfigError, DataError
from reverie.experts.contract import ExpertCard, check_name
from reverie.experts.files import base_hash, save_adapter
from reverie.experts.lowrank import LoraConfig, attach
from reverie.files import atomic_write_json, sha256_of
from reverie.model import Backbone
from reverie.model.transformers_base import TransformersBackbone
from reverie.progress import Progress, no_progress
from reverie.splits import share_of
from reverie.teachers.traces import Trace, read_traces
from reverie.training.alignment import Expected, SoftTargets, soft_targets
from reverie.training.distillation_losses import Told, chunk_loss, feature_loss, full_loss, top_loss, uld_loss
from reverie.training.documents import pad
from reverie.training.judging import judged
from reverie.training.local_teacher import LocalTeacher, Recalled
from reverie.training.word_models import WordModel

__all__ = ["DistillData", "DistillObjective", "Soft", "split_traces"]

logger = logging.getLogger("reverie.training")
Soft = Literal["auto", "none", "top", "full", "uld"]
Batch = list[dict[str, Tensor]]


@dataclass(frozen=True)
class DistillData:
    """Who learns, from what, and which losses weigh how much."""

    traces: str = ""  # JSONL, see ``teachers.traces``; a tenth of the prompts, by their hash, is kept for testing
    bundle: str = "nano"  # the student: its name or folder
    whole: bool = False  # all weights of a small bundle are trained; else low-rank changes, an expert
    name: str = "distilled"  # of the expert
    description: str = ""
    teacher: str = ""  # a bundle, whose logits and states are then used; else what the traces tell
    soft: Soft = "auto"  # what the student is held to beside the words: all logits where there is a teacher, else the
    # likeliest ids where the traces tell them, else nothing; uld: sorted probabilities, whatever the ids say
    hard_weight: float = 0.1  # of the teacher's words themselves; 1 where there is nothing else
    soft_weight: float = 1.0
    chunk_weight: float = 0.1  # of the probability of common chunks, where tokenizers differ
    feature_weight: float = 0.0  # of the teacher's states, by a learned projection
    feature_layers: tuple[int, ...] = ()  # of the student; none: its middle and its last. The teacher's are as deep
    temperature: float = 1.0  # both distributions are softened by it
    lora: LoraConfig = field(default_factory=lambda: LoraConfig(rank=16, alpha=32.0))
    batch_size: int = 8  # traces a step
    buckets: int = 2  # a step's traces are sorted by length and padded in this many groups
    max_ids: int = 512  # of a prompt and its answer, which is cut there
    eval_rows: int = 64  # prompts in an evaluation
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.batch_size, self.buckets, self.eval_rows) < 1 or self.max_ids < 8:
            raise ConfigError("distill: batch_size, buckets and eval_rows are at least 1, max_ids at least 8")
        weights = (self.hard_weight, self.soft_weight, self.chunk_weight, self.feature_weight)
        if not (all(0 <= weight < 1e6 for weight in weights) and sum(weights) > 0 and 0 < self.temperature <= 100):
            raise ConfigError(
                f"distill: weights are 0 or more, one of them above, and the temperature lies above 0 and up to 100; "
                f"got {', '.join(f'{weight:g}' for weight in weights)} and {self.temperature:g}"
            )
        if self.soft == "full" and not self.teacher:
            raise ConfigError("distill: soft=full needs a bundle as teacher: name it as data.teacher")
        if self.feature_weight and not self.teacher:
            raise ConfigError("distill: states can be matched with a bundle as teacher alone: name it as data.teacher")
        check_name(self.name)


@dataclass(frozen=True)
class _Taught:
    """One trace in the student's ids."""

    asked: list[int]
    said: list[int]
    num_bytes: int
    targets: SoftTargets | None
    recalled: Recalled | None


class DistillObjective:
    """Weighted sum of the losses of ``distillation_losses`` over the ids of the teacher's answers."""

    gives_up = True
    metrics: ClassVar[Mapping[str, str]] = {"distillation": "soft"}
    module: nn.Module

    def __init__(self, data: DistillData, progress: Progress = no_progress):
        self.data, self.progress = data, progress
        self.before: dict[str, float] = {}  # the loop fills it in
        progress("preparing  reading traces", 0, 0)
        traces = list(read_traces(data.traces))
        kept, tested = split_traces(traces, data.eval_rows)
        self.data_hash, self.data_size = sha256_of(Path(data.traces)), len(traces)
        progress(f"preparing  reading {data.bundle}", 0, 0)
        self.student = WordModel(data.bundle)
        self.tests = [self._taught(trace, None) for trace in tested]
        teacher = self._teacher(traces)
        self.soft = self._soft(kept, teacher)
        self.train = []
        for place, trace in enumerate(kept):
            progress("reading the teacher", place, len(kept))
            self.train.append(self._taught(trace, teacher))
        progress("reading the teacher", len(kept), len(kept))
        self.teacher = teacher
        self._warn()
        self.module = self._trained()

    def _teacher(self, traces: Sequence[Trace]) -> LocalTeacher | None:
        wanted = self.data.soft in ("auto", "full", "uld") or self.data.feature_weight
        if not self.data.teacher or not wanted:
            return None
        self.progress(f"preparing  reading {self.data.teacher}", 0, 0)
        return LocalTeacher(self.data.teacher, self.student, self.layers if self.data.feature_weight else ())

    @property
    def layers(self) -> tuple[int, ...]:
        """Of the student, whose states are matched. Raises ConfigError for one that it does not have."""
        count = self.student.num_layers
        chosen = self.data.feature_layers or tuple(sorted({count // 2, count - 1}))
        if strange := [layer for layer in chosen if not 0 <= layer < count]:
            raise ConfigError(f"data.feature_layers: the student has layers 0 to {count - 1}, got {strange[0]}")
        return chosen

    def _soft(self, traces: Sequence[Trace], teacher: LocalTeacher | None) -> Soft:
        """What there is to be held to."""
        told = any(one.top for trace in traces for one in trace.ids)
        if self.data.soft == "auto":
            return "full" if teacher else "top" if told else "none"
        if self.data.soft in ("top", "uld") and not (told or (teacher and self.data.soft == "uld")):
            logger.warning("the teacher told no probabilities: its words alone are learned (hard labels)")
            return "none"
        return self.data.soft

    def _taught(self, trace: Trace, teacher: LocalTeacher | None) -> _Taught:
        student, data = self.student, self.data
        text = trace.text.strip()
        asked, said = student.ids(trace.prompt), student.answer(trace.prompt, text)
        if not trace.finished and not student.pieces(said[-1:])[0]:
            said = said[:-1]  # nobody said that it ends here
        most = min(data.max_ids, student.backbone.config.max_positions)
        asked = asked if len(asked) < most else asked[-most // 2 :]
        room = most - len(asked)
        pieces, spelled = student.pieces(said), text.encode()
        expected = Expected([one.bytes for one in trace.ids], [one.log_prob for one in trace.ids],
                            [one.top for one in trace.ids])  # fmt: skip
        targets = soft_targets(pieces, expected, spelled, student.first_ids) if trace.ids else None
        recalled = teacher.recall(trace.prompt, text, pieces) if teacher else None
        num_bytes = len(b"".join(pieces[:room]))
        return _Taught(asked, said[:room], num_bytes, _cut(targets, room), recalled)

    def _warn(self) -> None:
        """Say of how many traces nothing but the words is learned."""
        lost = sum(one.targets is None and one.recalled is None for one in self.train)
        if self.soft != "none" and lost:
            why = "tell no probabilities, or are spelled otherwise by the student: hard labels"
            logger.warning("of %d of %d traces the words alone are learned (they %s)", lost, len(self.train), why)

    def _trained(self) -> nn.Module:
        generator = torch.Generator().manual_seed(self.data.seed)
        if self.data.whole:
            trained: nn.Module = self.student.backbone.requires_grad_(True)
        else:
            trained, self.adapter = attach(self.student.backbone, self.data.lora, generator)
        if not self.data.feature_weight or self.teacher is None:
            return trained
        ours, theirs = self.student.backbone.config.hidden_size, self.teacher.model.backbone.config.hidden_size
        self.projections = nn.ModuleList(nn.Linear(ours, theirs, bias=False) for _ in self.layers)
        for parameter in self.projections.parameters():
            nn.init.normal_(parameter, std=ours**-0.5, generator=generator)
        return nn.ModuleDict({"student": trained, "projections": self.projections})

    def batch(self, step: int) -> Batch:
        """Buckets of one step's traces: ids, weights (B, T), and for each id of their answers what is expected."""
        drawn = [self.train[place] for place in self._drawn(step)]
        ordered = sorted(drawn, key=lambda one: len(one.asked) + len(one.said))
        size = -(-len(ordered) // self.data.buckets)
        return [self._bucket(ordered[start : start + size]) for start in range(0, len(ordered), size)]

    def _drawn(self, step: int) -> list[int]:
        """Every trace comes once, before one comes again."""
        size, count = self.data.batch_size, len(self.train)
        numbers = range(step * size, (step + 1) * size)
        orders = {
            turn: np.random.default_rng([self.data.seed, 3, turn]).permutation(count)
            for turn in range(numbers[0] // count, numbers[-1] // count + 1)
        }
        return [int(orders[number // count][number % count]) for number in numbers]

    def _bucket(self, taught: Sequence[_Taught]) -> dict[str, Tensor]:
        ids, weights = pad([(one.asked + one.said, _weights(one)) for one in taught])
        found = {"ids": ids, "weights": weights}
        found |= _joined([one.targets or _nothing(len(one.said)) for one in taught])
        if self.teacher is not None:
            found |= self.teacher.batch([(one.recalled, len(one.said)) for one in taught])
        return found

    def compute_loss(self, batch: Batch) -> dict[str, Tensor]:
        device = batch[0]["ids"].device
        self.student.backbone.to(device)  # the frozen part is not in the module that the loop moves
        sums: dict[str, Tensor] = {}
        count = sum(int((bucket["weights"][:, 1:] > 0).sum()) for bucket in batch)
        for bucket in batch:
            parts, number = self._losses(bucket)
            for name, value in parts.items():
                sums[name] = sums.get(name, torch.zeros((), device=device)) + value * (number / count)
        weight = {"hard": self.hard_weight, "soft": self.data.soft_weight, "chunks": self.data.chunk_weight,
                  "features": self.data.feature_weight}  # fmt: skip
        loss = torch.stack([value * weight[name] for name, value in sums.items() if weight[name]]).sum()
        told = {name: value.detach() for name, value in sums.items()}
        return {"loss": loss, **told, "num_ids": torch.tensor(sum(bucket["ids"].numel() for bucket in batch))}

    @property
    def hard_weight(self) -> float:
        return self.data.hard_weight if self.soft != "none" else max(self.data.hard_weight, 1.0)

    def _losses(self, bucket: dict[str, Tensor]) -> tuple[dict[str, Tensor], int]:
        """The losses by name, and over how many ids."""
        data, where = self.data, bucket["weights"][:, 1:] > 0
        seen = self.student.seen(bucket["ids"], where, self.layers if data.feature_weight else ())
        logits, goals = self.student.logits(seen.final), bucket["ids"][:, 1:][where]
        log_norm = logits.logsumexp(1)
        log_q = logits.gather(1, goals[:, None])[:, 0] - log_norm
        parts = {"hard": -log_q.mean()}
        if self.soft == "top":
            candidates = logits.gather(1, bucket["top"]) - log_norm[:, None]
            parts["soft"] = top_loss(candidates, log_q, _told(bucket, goals), data.temperature)
        elif self.soft == "full" and self.teacher is not None:
            parts["soft"] = full_loss(logits, log_q, *self.teacher.expected(bucket), data.temperature)
        elif self.soft == "uld":
            both = bucket["probs"], bucket["told"] * (bucket["rest"] > 0)
            probs, told = self.teacher.probs(bucket) if self.teacher else both
            parts["soft"] = uld_loss((logits - log_norm[:, None]).exp(), probs, told)
        if self.soft in ("top", "full") and data.chunk_weight:
            parts["chunks"] = chunk_loss(log_q, bucket["chunk"], bucket["chunk_log_probs"], data.temperature)
        if data.feature_weight and self.teacher is not None:
            where, theirs = self.teacher.states(bucket)
            ours = [one[where].float() for one in seen.layers]
            parts["features"] = self._features(ours, theirs) if bool(where.any()) else parts["hard"] * 0.0
        return parts, len(goals)

    def _features(self, ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> Tensor:
        each = zip(self.projections, ours, theirs, strict=True)
        return torch.stack([feature_loss(project(mine), their) for project, mine, their in each]).mean()

    def evaluate(self, step: int) -> dict[str, float]:
        """``loss``: nats a byte of what the teacher answered to prompts that were kept back."""
        return {"loss": self._judge(self.tests), "prompts": len(self.tests)}

    def nats_a_byte(self, traces: Sequence[Trace]) -> float:
        """Of any answers, by the student as it is."""
        return self._judge([self._taught(trace, None) for trace in traces])

    def _judge(self, tests: Sequence[_Taught]) -> float:
        nats, num_bytes = 0.0, sum(one.num_bytes for one in tests)
        for start in range(0, len(tests), self.data.batch_size):
            self.progress("evaluating", start, len(tests))
            taught = tests[start : start + self.data.batch_size]
            ids, weights = pad([(one.asked + one.said, _weights(one)) for one in taught])
            log_probs, _ = judged(self.student.backbone, ids, weights[:, 1:] > 0)
            nats -= float(log_probs.sum())
        self.progress("evaluating", len(tests), len(tests))
        return nats / max(num_bytes, 1)

    def export(self, folder: Path) -> None:
        """An expert's folder: what PEFT loads, and its card; of all weights ``backbone/``."""
        if self.data.whole:
            save_whole(self.student.backbone, folder / "backbone")
            return
        save_adapter(self.adapter(), folder)
        atomic_write_json(folder / "card.json", asdict(self.card(self.evaluate(0))))

    def card(self, after: dict[str, float]) -> ExpertCard:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        return ExpertCard(
            self.data.name,
            self.data.name,
            self.data.description,
            base=base_hash(self.student.folder / "backbone"),
            data_hash=self.data_hash,
            data_size=self.data_size,
            before=self.before,
            after=after,
            created=now,
        )


def save_whole(backbone: Backbone | TransformersBackbone, folder: Path) -> None:
    if isinstance(backbone, Backbone):
        backbone.save(folder, torch.float32)
    else:
        backbone.save(folder)


def split_traces(traces: Sequence[Trace], most: int = 64) -> tuple[list[Trace], list[Trace]]:
    """(training, testing): a tenth of the prompts, those whose hashes are lowest, at most ``most`` and at least one.
    Raises DataError where there are fewer than two prompts."""
    by_prompt: dict[str, list[Trace]] = {}
    for trace in traces:
        if trace.text.strip():
            by_prompt.setdefault(str(trace.prompt), []).append(trace)
    if len(by_prompt) < 2:
        raise DataError(f"the teacher answered {len(by_prompt)} prompts: at least 2 are needed, one of them to test on")
    order = sorted(by_prompt, key=share_of)
    tested = set(order[: min(most, max(1, len(order) // 10))])
    parts: tuple[list[Trace], list[Trace]] = [], []
    for prompt, group in by_prompt.items():
        parts[prompt in tested].extend(group)
    return parts


def _weights(one: _Taught) -> list[float]:
    return [0.0] * len(one.asked) + [1.0] * len(one.said)


def _cut(targets: SoftTargets | None, room: int) -> SoftTargets | None:
    """Of the first ``room`` places; the chunk that ends beyond is none."""
    if targets is None or len(targets.told) <= room:
        return targets
    chunk = targets.chunk[:room].copy()
    chunk[chunk == targets.chunk[room]] = -1
    kept = {name: getattr(targets, name)[:room] for name in ("ids", "probs", "rest", "told", "other")}
    return replace(targets, chunk=chunk, **kept)


def _nothing(count: int) -> SoftTargets:
    """Nothing is told: the words alone are learned."""
    zeros, none = np.zeros((count, 1), np.float32), np.full(count, -1, np.int64)
    return SoftTargets(
        none[:, None] + 1, zeros, zeros[:, 0], zeros[:, 0], zeros[:, 0] + 1, none, np.zeros(1, np.float32)
    )


def _told(bucket: dict[str, Tensor], goals: Tensor) -> Told:
    """What of it begins like a candidate, said in other ids, is no other."""
    like = ((bucket["top"] == goals[:, None]) & (bucket["probs"] > 0)).any(1)
    return Told(bucket["probs"], bucket["rest"], bucket["told"], bucket["other"] * ~like)


def _joined(targets: Sequence[SoftTargets]) -> dict[str, Tensor]:
    """Row after row, padded to one width; chunks counted on."""
    width = max(one.ids.shape[1] for one in targets)

    def joined(name: str) -> np.ndarray:
        arrays = [getattr(one, name) for one in targets]
        wide = [np.pad(one, ((0, 0), (0, width - one.shape[1]))) if one.ndim > 1 else one for one in arrays]
        return np.concatenate(wide)

    starts = np.cumsum([0, *(len(one.chunk_log_probs) for one in targets)])
    chunks = [np.where(one.chunk >= 0, one.chunk + start, -1) for one, start in zip(targets, starts, strict=False)]
    found = {name: joined(name) for name in ("probs", "rest", "told", "other", "chunk_log_probs")}
    found |= {"top": joined("ids"), "chunk": np.concatenate(chunks)}
    return {name: torch.from_numpy(array) for name, array in found.items()}
