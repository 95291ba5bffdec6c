"""The arbiter: joins what the evaluators say and picks the branch that the answer is worded from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reverie.dreaming.evaluators import Context, Evaluator, default_evaluators, make_evaluator
from reverie.dreaming.question import check_list
from reverie.nouns import DIRECT, Dream, Verdict

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Arbiter", "report"]


@dataclass(frozen=True)
class Arbiter:
    """Scores every branch by the weighted mean of its evaluators; ties go to the more probable dream."""

    evaluators: Sequence[Evaluator] = field(default_factory=default_evaluators)

    @classmethod
    def of(cls, *names: str) -> Arbiter:
        """An arbiter who hears the evaluators of these names."""
        return cls([make_evaluator(name) for name in names])

    def beside(self, others: Sequence[str | Evaluator]) -> Arbiter:
        """This arbiter, who hears ``others`` too: evaluators, or names of registered ones (else UnknownNameError)."""
        made = [make_evaluator(one) if isinstance(one, str) else one for one in check_list("evaluators", others)]
        heard = {one.name for one in made}
        return Arbiter([*(one for one in self.evaluators if one.name not in heard), *made])

    def decide(self, dreams: Sequence[Dream], context: Context) -> tuple[tuple[Dream, ...], Verdict]:
        """The dreams with their scores, in the order given, and the verdict on them."""
        if not dreams:
            return (), DIRECT
        scored = self.score(dreams, context)
        branch = max(range(len(scored)), key=lambda index: (_rounded(scored[index]), scored[index].log_prob, -index))
        return scored, Verdict(branch, _reason(scored, branch))

    def score(self, dreams: Sequence[Dream], context: Context) -> tuple[Dream, ...]:
        """The dreams with ``scores`` by evaluator and their weighted mean; silent evaluators do not count."""
        judged = {evaluator.name: evaluator.judge(dreams, context) for evaluator in self.evaluators}
        weights = {one.name: one.weight for one in self.evaluators if judged[one.name] is not None}
        total = sum(weights.values())
        scored = []
        for index, dream in enumerate(dreams):
            scores = {name: given[index] for name, given in judged.items() if given is not None}
            mean = sum(weights[name] * score for name, score in scores.items()) / total if total else 0.0
            scored.append(dream.with_scores(scores, mean))
        return tuple(scored)


def _reason(dreams: Sequence[Dream], branch: int) -> str:
    best = dreams[branch]
    marks = ", ".join(f"{name} {score:.2f}" for name, score in best.scores.items())
    if len(dreams) == 1:
        return f"the only dream, with score {best.score:.2f} ({marks})"
    second = max(_rounded(dream) for index, dream in enumerate(dreams) if index != branch)
    which = f"dream {branch + 1} of {len(dreams)}"
    if second >= _rounded(best):
        return f"{which} shares the best score {best.score:.2f} ({marks}) and is the most probable"
    return f"{which} has the best score, {best.score:.2f} ({marks}); the next has {second:.2f}"


def _rounded(dream: Dream) -> float:
    """Scores that differ by rounding alone are equal."""
    return round(dream.score, 9)


def report(dreams: Sequence[Dream], winner: int = -1) -> Table:
    """The scored table of all branches for people; the one at index ``winner`` is marked."""
    from rich.table import Table

    names = list(dict.fromkeys(name for dream in dreams for name in dream.scores))
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("dream", justify="right")
    table.add_column("what it says", overflow="fold")
    for name in (*names, "score", "nats"):
        table.add_column(name, justify="right")
    for index, dream in enumerate(dreams):
        won = index == winner
        marks = [f"{dream.scores[name]:.2f}" for name in names]
        said = dream.said or " → ".join(triplet.result.text or "(a picture)" for triplet in dream.triplets)
        row = [f"{'★ ' if won else ''}{index + 1}", said, *marks, f"{dream.score:.2f}", f"{dream.log_prob:.1f}"]
        table.add_row(*row, style="bold" if won else None)
    return table
