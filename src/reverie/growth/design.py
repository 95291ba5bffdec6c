"""The configuration of a new expert, from the size of its gap and the data; every choice says why.

Parts and passes were tried on tasks that no benchmark reports; rank, targets and rate are what the house's other small
experts are trained with (docs/decisions.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from reverie.errors import ConfigError, DataError
from reverie.experts.lowrank import LoraConfig
from reverie.training.settings import LoopConfig

__all__ = ["Design", "FEWEST_LESSONS", "design"]

FEWEST_LESSONS = 24  # of which an exam of a few dozen questions is left; fewer prove nothing
_BATCH = 8  # lessons a step
_PASSES = 16  # over the lessons, at most: of 64 unseen wordings of made-up facts 7 were right after 5, 28 after 16
_TINY = 20_000_000  # weights, below which a base has no words to build on, and learns slowly and cheaply
_MIN_STEPS, _MAX_STEPS = 30, 400
_EXAM, _MOST_EXAM, _HELD, _MOST_HELD = 0.4, 400, 0.1, 64


@dataclass(frozen=True)
class Design:
    """How an expert is made. ``reasons``: a sentence for each choice, for the card."""

    lora: LoraConfig = field(default_factory=LoraConfig)
    lr: float = 2e-3
    steps: int = 60  # optimizer steps at most
    batch_size: int = _BATCH
    eval_every: int = 10  # steps between two looks at the lessons that are held back
    patience: int = 3  # looks without a better one, after which it stops
    warm: bool = True  # whether it may start from a mixture of the experts that are there
    exam: int = 40  # lessons that nothing but the trial sees
    held: int = 10  # lessons by which training is stopped
    seed: int = 0
    reasons: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        least = min(self.steps, self.batch_size, self.eval_every, self.patience, self.exam, self.held)
        if least < 1 or not 0 < self.lr < math.inf:
            raise ConfigError(
                "a design needs steps, sizes, an exam and lessons held back of at least 1, and a lr above 0"
            )

    def loop(self, share: float = 1.0) -> LoopConfig:
        """Of the one training loop; ``share`` of the steps."""
        steps = max(round(share * self.steps), 1)
        return LoopConfig(
            steps=steps,
            lr=self.lr,
            weight_decay=0.0,
            warmup_steps=min(5, steps),
            eval_every=self.eval_every,
            patience=self.patience,
            checkpoint_every=self.eval_every,
            log_every=self.eval_every,
            keep_checkpoints=1,
            tensorboard=False,
            curves=False,
            seed=self.seed,
        )


def design(
    num_lessons: int,
    mean_ids: float = 40.0,
    answers: Sequence[str] = (),
    experts: int = 0,
    seed: int = 0,
    base_weights: int = 0,
) -> Design:
    """The design for so many different lessons.

    Args:
        mean_ids: ids of a question with its answer
        answers: of the lessons
        experts: that are there already, to start from
        base_weights: of the base's linears; 0: as many as of a small language model

    Raises DataError where there are too few lessons to prove anything by.
    """
    if num_lessons < FEWEST_LESSONS:
        raise DataError(
            f"{num_lessons} different lessons prove nothing: an expert needs at least {FEWEST_LESSONS}. Ask for more "
            "lessons, or let memory keep these (reverie learn)"
        )
    kinds = len(set(answers)) if answers else num_lessons
    by_heart = kinds > num_lessons / 2
    exam = min(round(_EXAM * num_lessons), _MOST_EXAM)
    held = min(max(round(_HELD * num_lessons), 4), _MOST_HELD)
    taught = num_lessons - exam - held
    rank = 4 if taught < 32 else 16 if by_heart and taught > 500 else 8
    tiny = 0 < base_weights < _TINY
    passes, batch, lr = (48, 32, 3e-3) if tiny else (_PASSES, _BATCH, 2e-3)
    wanted = math.ceil(passes * taught / batch)
    steps = min(max(wanted, _MIN_STEPS), _MAX_STEPS)
    eval_every = max(10, steps // 12)
    return Design(
        LoraConfig(rank=rank, alpha=2.0 * rank),
        lr=lr,
        batch_size=batch,
        steps=steps,
        eval_every=eval_every,
        warm=experts > 0,
        exam=exam,
        held=held,
        seed=seed,
        reasons={
            "parts": f"of {num_lessons} lessons {taught} are taught, {held} stop the training and {exam} are the exam, "
            "which nothing else sees: the exam is large, since what it cannot show is not admitted",
            "rank": f"rank {rank}: {_why_rank(rank, taught)}",
            "targets": "all linears: attention alone learns less (arXiv 2405.09673)",
            "lr": "3e-3: a tiny base has more to learn" if tiny else
            "2e-3 with a warm-up of 5 steps, as small experts of a small base are trained in all benchmarks here",
            "steps": f"at most {steps} steps of {batch} lessons of {mean_ids:.0f} ids, "
            f"{passes} times each: facts are learned by heart in so many, and what is learned sooner stops sooner",
            "patience": f"judged by the lessons held back every {eval_every} steps; over after 3 looks without a "
            "better one, with the best weights",
            "start": f"from a mixture of {experts} experts, if that is nearer than nothing" if experts else
            "from nothing: there is no expert to start from",
        },
    )  # fmt: skip


def _why_rank(rank: int, taught: int) -> str:
    few = f"{taught} lessons fill no more, and fewer weights find less to learn by heart that is not meant"
    many = f"{taught} lessons with answers of their own need room"
    return {4: few, 16: many}.get(rank, f"enough for {taught} lessons, in a few megabytes")
