"""What a step of training an expert on a base made elsewhere costs: ours against plain PEFT, in turns.

Both train the same changes of all linears in float32 on the same random ids, every one of which is predicted; a step is
forward, backward and AdamW. ``times_peft`` is the median of the rounds' ratios: each round is one step of each, so that
a busy machine slows both. ``loss_difference`` is of the first step, in nats.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from reverie.errors import ConfigError, UsageError
from reverie_bench.contract import BenchConfig, Benchmark, Findings

__all__ = ["BENCHMARK", "LoraTrainingOptions"]

NUM_ROUNDS = 5


@dataclass(frozen=True)
class LoraTrainingOptions:
    """The size of a step."""

    rank: int = 8
    rows: int = 8
    length: int = 64  # ids of a row

    def __post_init__(self) -> None:
        if self.rank < 1 or self.rows < 1 or self.length < 2:
            raise ConfigError("lora-training: rank and rows are at least 1, length at least 2")


def run(settings: BenchConfig) -> Findings:
    import torch

    from reverie.bundles.bundle import find_bundle, read_manifest
    from reverie.experts.lowrank import LoraConfig, attach
    from reverie.model.transformers_base import TransformersBackbone, load_model
    from reverie.settings import load_settings
    from reverie.tokens.grammar_files import load_grammar

    options = load_settings(LoraTrainingOptions, None, settings.options)
    folder = find_bundle(settings.model)
    if (about := read_manifest(folder).get("base")) is None or about.get("quantized"):
        raise UsageError(
            f"lora-training is for a bundle made by 'reverie init' without --quantize; {settings.model} is none"
        )
    num_grammar = load_grammar(folder).vocabulary.text_start
    own = TransformersBackbone(load_model(folder / "backbone", dtype=torch.float32).eval(), num_grammar)
    module, _ = attach(own, LoraConfig(rank=options.rank), torch.Generator().manual_seed(settings.seed))
    ids = torch.randint(
        own.ids.num_text, (options.rows, options.length), generator=torch.Generator().manual_seed(settings.seed)
    )
    turned, weights = own.ids.to_grammar_ids(ids), torch.ones(ids.shape)
    plain = _peft_model(load_model(folder / "backbone", dtype=torch.float32), options.rank)
    ways = {
        "ours": _step(lambda: own.loss(turned, weights)[0], list(module.parameters())),
        "peft": _step(lambda: plain(input_ids=ids, labels=ids, use_cache=False).loss,
                      [parameter for parameter in plain.parameters() if parameter.requires_grad]),
    }  # fmt: skip
    first = {name: step() for name, step in ways.items()}
    rounds, seconds = settings.limit or NUM_ROUNDS, {name: list[float]() for name in ways}
    for place in range(rounds):
        settings.progress("racing", place, rounds)
        for name, step in ways.items():
            started = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - started)
    settings.progress("racing", rounds, rounds)
    rates = {name: ids.numel() / statistics.median(each) for name, each in seconds.items()}
    return Findings(
        n=rounds,
        figures={
            "ids_per_second": rates["ours"],
            "times_peft": statistics.median(b / a for a, b in zip(seconds["ours"], seconds["peft"], strict=True)),
            "loss_difference": abs(first["ours"] - first["peft"]),
        },
        baselines={"peft": {"ids_per_second": rates["peft"]}},
        settings={"architecture": own.config.architecture, "rank": options.rank, "ids": list(ids.shape)},
    )


def _step(loss: Callable[[], Any], parameters: list[Any]) -> Callable[[], float]:
    """A step of training; gives its loss."""
    import torch

    optimizer = torch.optim.AdamW(parameters, lr=1e-4, fused=True)

    def step() -> float:
        value = loss()
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
        return float(value.detach())

    return step


def _peft_model(model: Any, rank: int) -> Any:
    import peft

    return peft.get_peft_model(model, peft.LoraConfig(r=rank, lora_alpha=16, target_modules="all-linear")).train()


BENCHMARK = Benchmark(
    name="lora-training",
    about="Training an expert on a base made elsewhere: ids a second, against plain PEFT in the same run.",
    run=run,
    options=LoraTrainingOptions,
)
