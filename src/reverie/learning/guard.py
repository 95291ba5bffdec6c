"""What must not be forgotten: probe questions and lessons held back, judged before and after each step of the weights.

A probe with ``others`` is right where its answer is likelier than each of them; one without, where every id of its
answer is the likeliest. Probes are judged as they would be answered: by the expert where its prototype lets them in, by
the bare base, which no step changes, elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reverie.dreaming.prompting import ChatPrompter
from reverie.errors import DataError, UsageError
from reverie.experts.contract import Adapter
from reverie.experts.features import cumulative_features
from reverie.experts.prototypes import Prototype, fit_prototype
from reverie.experts.router import Router, RouterConfig
from reverie.jsonio import json_lines
from reverie.training.adapted import Adapted, documents_of
from reverie.training.documents import pad

__all__ = ["Guard", "Judgement", "Probe", "prototype_of", "read_probes"]

_PACKAGED = Path(__file__).parent / "probes"
_FEWEST = 8  # questions that a prototype is made of as they are
_SIDE_BY_SIDE = 16  # questions that are looked at together
_NEARER = 0.9  # of the distance up to which fewer let a question in


@dataclass(frozen=True)
class Probe:
    """A question, its answer, and answers that it is not."""

    question: str
    answer: str
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Judgement:
    """Shares of right answers in [0, 1] by set, and the number of probes of each that the expert answers."""

    accuracy: dict[str, float] = field(default_factory=dict)
    let_in: dict[str, int] = field(default_factory=dict)

    def fallen(self, before: Judgement, margin: float) -> str:
        """Which set fell by more than ``margin``, and how far; "" where none did."""
        for name, now in self.accuracy.items():
            was = before.accuracy.get(name, now)
            if was - now > margin + 1e-9:
                return f"{name} fell from {was:.3f} to {now:.3f}, more than the margin of {margin:g}"
        return ""


def read_probes(path: Path) -> list[Probe]:
    """Probes of JSON lines {"question", "answer"} and, if any, "others". Raises DataError that names the line."""
    probes = []
    for number, row in json_lines(path, DataError, "the probe set"):
        others = row.get("others", [])
        texts = [row.get("question"), row.get("answer"), *(others if isinstance(others, list) else [None])]
        if not all(isinstance(text, str) and text.strip() for text in texts):
            raise DataError(f"{path}, line {number}: a probe has a question, an answer and a list of others, all texts")
        probes.append(Probe(str(texts[0]), str(texts[1]), tuple(map(str, texts[2:]))))
    if not probes:
        raise UsageError(f"the probe set {path} holds no probes")
    return probes


def packaged_probes(adapted: Adapted) -> list[Probe]:
    """Common knowledge for bases that answer in their own words; what nano was taught, for those that dream."""
    kind = "words" if isinstance(adapted.prompter, ChatPrompter) else "nano"
    return read_probes(_PACKAGED / f"{kind}.jsonl")


class Guard:
    """Judges an expert by sets of probes. What the bare base answers, and sees of a question, is found once.

    Args:
        sets: probes by name that every step is judged by
    """

    def __init__(self, adapted: Adapted, sets: Mapping[str, Sequence[Probe]]):
        self.adapted, self._sets = adapted, dict(sets)
        self._bare: dict[Probe, bool] = {}
        self._features: dict[str, Tensor] = {}

    def judge(
        self, adapter: Adapter | None, prototype: Prototype | None, more: Mapping[str, Sequence[Probe]] | None = None
    ) -> Judgement:
        """With ``adapter`` where ``prototype`` lets a probe in, everywhere without one. The changes of the base are
        others after that."""
        sets = {name: [*probes] for name, probes in {**self._sets, **(more or {})}.items() if probes}
        everybody = list(dict.fromkeys(probe for probes in sets.values() for probe in probes))
        inside = self._inside(everybody, adapter, prototype)
        chosen = [one for one, within in zip(everybody, inside, strict=True) if within]
        self._judge_bare([one for one, within in zip(everybody, inside, strict=True) if not within])
        self.adapted.put(adapter)
        right = self._bare | dict(zip(chosen, self._right(chosen), strict=True))
        return Judgement(
            {name: sum(right[one] for one in probes) / len(probes) for name, probes in sets.items()},
            {name: sum(one in set(chosen) for one in probes) for name, probes in sets.items()},
        )

    def _inside(self, probes: Sequence[Probe], adapter: Adapter | None, prototype: Prototype | None) -> Sequence[bool]:
        if adapter is None or prototype is None:
            return [adapter is not None] * len(probes)
        return self.let_in([one.question for one in probes], prototype)

    def let_in(self, questions: Sequence[str], prototype: Prototype) -> list[bool]:
        """Whether a router that knows this prototype alone would choose its expert."""
        router = Router((), prototype.size, RouterConfig()).eval().with_prototypes({"it": prototype})
        gates = router.gates(self.features(questions))[:, 0]
        return [bool(gate >= RouterConfig().threshold) for gate in gates]

    def features(self, questions: Sequence[str]) -> Tensor:
        """What a router sees of questions: float32 (n, D), of the bare base."""
        if unknown := [one for one in dict.fromkeys(questions) if one not in self._features]:
            kept = self.adapted.adapter()
            self.adapted.put(None)
            for start in range(0, len(unknown), _SIDE_BY_SIDE):
                some = unknown[start : start + _SIDE_BY_SIDE]
                self._features |= dict(zip(some, _features(self.adapted, some), strict=True))
            self.adapted.put(kept)
        return torch.stack([self._features[one] for one in questions])

    def _judge_bare(self, probes: Sequence[Probe]) -> None:
        if unknown := [one for one in probes if one not in self._bare]:
            self.adapted.put(None)
            self._bare |= dict(zip(unknown, self._right(unknown), strict=True))

    def _right(self, probes: Sequence[Probe]) -> list[bool]:
        rows = [(one.question, said) for one in probes for said in (one.answer, *one.others)]
        nats, _, exact = self.adapted.judge(documents_of(self.adapted.prompter, rows))
        right, start = [], 0
        for one in probes:
            end = start + 1 + len(one.others)
            right.append(nats[start] < min(nats[start + 1 : end]) if one.others else exact[start])
            start = end
        return right


def prototype_of(guard: Guard, questions: Sequence[str]) -> Prototype:
    """The prototype of an expert that learned ``questions``. Few of them are worded in several ways, and what is a
    little farther away is no longer let in: of three questions on smol the prototype alone let in 9 of 48 probes."""
    different = list(dict.fromkeys(questions))
    if len(different) >= _FEWEST:
        return fit_prototype(guard.features(different))
    worded = [text for one in different for text in _worded(one)]
    fitted = fit_prototype(guard.features(worded))
    return replace(fitted, limit=_NEARER * fitted.limit)


def _worded(question: str) -> list[str]:
    bare = question.rstrip("?.! ")
    inner = bare[:1].lower() + bare[1:]
    return [
        *(question, bare, question.lower(), question.upper(), f"Please tell me: {inner}?"),
        *(f"Can you tell me {inner}?", f"{bare}? Answer briefly.", f"So, {inner}?"),
    ]


@torch.no_grad()
def _features(adapted: Adapted, questions: Sequence[str]) -> list[Tensor]:
    """What a router sees of each question; what pads the shorter ones comes behind them, where nothing looks."""
    backbone: Any = adapted.backbone
    asked = [adapted.prompter.ids(one) for one in questions]
    ids, _ = pad([([*one], [0.0] * len(one)) for one in asked])
    states: Tensor = backbone.hidden(ids.to(next(backbone.parameters()).device)).float().cpu()
    return [cumulative_features(own[: len(one)])[-1] for own, one in zip(states, asked, strict=True)]
