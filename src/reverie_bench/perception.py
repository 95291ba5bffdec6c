"""Perception: 1 against 2 and 4 experts of vision, graph and text each, and every modality taken away.

Each variant is trained from nothing on the same lessons with several seeds, and answers the same questions about unseen
scenes: a picture, a few facts of which one decides, and a question that calls the thing "this thing". ``--model`` names
the bundle whose backbone and image tokenizer they stand on.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from reverie.errors import ConfigError
from reverie.settings import load_settings
from reverie_bench.contract import BenchConfig, Benchmark, Figures, Findings
from reverie_bench.figures import share

if TYPE_CHECKING:
    from reverie.model.orchestrator import OrchestratorConfig
    from reverie.training.perception import PerceptionData, Recorded

_EXPERTS = {  # of vision, graph and text
    "one": (("tokens",), ("attention",), ("states",)),
    "other_one": (("lite",), ("triples",), ("words",)),
    "two": (("tokens", "lite"), ("attention", "triples"), ("states", "words")),
    "two_ungated": (("tokens", "lite"), ("attention", "triples"), ("states", "words")),
    "four": (("tokens", "lite") * 2, ("attention", "triples") * 2, ("states", "words") * 2),
}
VARIANTS = (*_EXPERTS, "without_vision", "without_graph", "without_text")  # the last three have two experts otherwise


@dataclass(frozen=True)
class PerceptionBenchConfig:
    """What `bench perception` lets one set."""

    steps: int = 2500  # of training, each variant and seed; after a few hundred none has learned to look
    seeds: int = 1  # of weights and order; the lessons are the same
    scenes: int = 3000
    lessons: int = 6000
    eval_lessons: int = 600
    batch_size: int = 32
    lr: float = 2e-3
    variants: tuple[str, ...] = VARIANTS

    def __post_init__(self) -> None:
        object.__setattr__(self, "variants", tuple(self.variants))
        if min(self.steps, self.seeds) < 1 or not self.variants or not set(self.variants) <= set(VARIANTS):
            raise ConfigError(
                f"perception: steps and seeds are at least 1, variants are some of {', '.join(VARIANTS)}; "
                f"got {self.steps}, {self.seeds} and {list(self.variants)}"
            )


def run(settings: BenchConfig) -> Findings:
    from reverie.bundles import find_bundle
    from reverie.training.perception import PerceptionData, Recorded

    options = load_settings(PerceptionBenchConfig, overrides=settings.options)
    data = PerceptionData(
        bundle=str(find_bundle(settings.model)),
        batch_size=options.batch_size,
        scenes=options.scenes,
        lessons=options.lessons,
        eval_lessons=min(settings.limit or options.eval_lessons, options.eval_lessons),
        data_seed=settings.seed,
    )
    settings.progress("recording scenes", 0, 1)
    recorded = Recorded(data)
    settings.progress("recording scenes", 1, 1)
    by: dict[str, Figures] = {}
    total = len(options.variants) * options.seeds
    for place, name in enumerate(options.variants):
        found = []
        for seed in range(options.seeds):
            settings.progress(f"training {name}", place * options.seeds + seed, total)
            found.append(_measure(variant(replace(data, seed=settings.seed + seed), name), recorded, options))
        figures = {key: float(np.mean([one[key] for one in found])) for key in found[0]}
        spread = float(np.std([one["answers_share"] for one in found], ddof=1)) if len(found) > 1 else float("nan")
        by[name] = {"n": len(recorded.test.lessons) * len(found)} | figures | {"answers_spread": spread}
    settings.progress("training", total, total)
    main = by.get("two") or next(iter(by.values()))
    return Findings(
        n=len(recorded.test.lessons),
        figures={name: value for name, value in main.items() if name != "n"},
        by=by,
        baselines=_baselines(recorded),
        settings={"steps": options.steps, "seeds": options.seeds, "answers": len(recorded.answers)},
    )


def variant(data: PerceptionData, name: str) -> PerceptionData:
    """The settings of one of ``VARIANTS``."""
    without = (name.removeprefix("without_"),) if name.startswith("without_") else ()
    vision, graph, text = _EXPERTS["two" if without else name]
    model: OrchestratorConfig = data.model
    kinds = tuple(replace(model.vision[0], kind=kind) for kind in vision)
    gates = replace(model.gates, gated=name != "two_ungated")
    return replace(
        data,
        model=replace(model, vision=kinds, graph=graph, text=text, gates=gates),
        without=without,  # type: ignore[arg-type]
    )


def _measure(data: PerceptionData, recorded: Recorded, options: PerceptionBenchConfig) -> Figures:
    from reverie.training.loop import train
    from reverie.training.perception import PerceptionObjective
    from reverie.training.settings import LoopConfig

    objective = PerceptionObjective(data, recorded)
    loop = LoopConfig(
        steps=options.steps, lr=options.lr, weight_decay=0.01, schedule="wsd", decay_fraction=0.4,
        final_lr_fraction=0.02, warmup_steps=min(30, options.steps), precision="fp32", eval_every=0,
        checkpoint_every=0, tensorboard=False, curves=False, seed=data.seed,
    )  # fmt: skip
    with TemporaryDirectory() as folder:
        result = train(objective, loop, Path(folder) / "run", progress=False)
    names = ("answers_share", "told_share", "true_share", "experts", "nobody_share", "steps_per_s")
    figures = {name: float(result.metrics[name]) for name in names if name in result.metrics}
    return figures | {"parameters": float(sum(p.numel() for p in objective.module.parameters() if p.requires_grad))}


def _baselines(recorded: Recorded) -> dict[str, Figures]:
    """``constant``: the one answer that suits most (chosen on these lessons: it flatters itself).
    ``like_question``: the answer of the training lesson whose question is most alike.
    ``world``: the share of lessons whose deciding fact is true; whoever knows the world and hears no facts gets that.
    """
    test, train = recorded.test, recorded.train
    answers = [one.answer for one in test.lessons]
    nearest = (test.asked @ train.asked.T).argmax(1).tolist()
    like = [train.lessons[place].answer == answer for place, answer in zip(nearest, answers, strict=True)]
    return {
        "constant": {"answers_share": max(Counter(answers).values()) / len(answers)},
        "like_question": {"answers_share": share(like)},
        "world": {"answers_share": share([not one.told for one in test.lessons])},
    }


BENCHMARK = Benchmark(
    name="perception",
    about="questions about a picture and facts: 1 against 2 and 4 gated experts a modality, each modality taken away",
    run=run,
    options=PerceptionBenchConfig,
)
