"""What experts cost: several weighted ones a row against the bare base, beside PEFT's ways; and many in little memory.

Costs are ratios: what a batch with experts takes over what the same system takes bare, in turns within one process.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reverie.errors import ConfigError
from reverie.settings import load_settings
from reverie_bench.contract import BenchConfig, Benchmark, Figures, Findings

if TYPE_CHECKING:
    import torch

    from reverie.experts.contract import Adapter, Choice, ExpertSource
    from reverie.model import Backbone, BackboneConfig

BACKBONES = {  # (width, inner width, layers, heads); with 2,300 ids about as many parameters as they are called
    "10m": (384, 1024, 5, 6),
    "35m": (512, 1376, 10, 8),
    "tiny": (32, 48, 2, 2),
}
VOCAB = 2300
EACH = 4  # experts a row or token
RANKS = (2, 4, 8, 16, 64)  # of the crowd in little memory

Ways = Mapping[str, Callable[[], object]]


@dataclass(frozen=True)
class Options:
    """What is measured, and how much of it."""

    backbones: tuple[str, ...] = ("10m", "35m")
    rows: int = 16  # side by side, each with experts of its own
    experts: int = 8  # that they choose from
    rank: int = 8
    prefix_ids: int = 128
    new_ids: int = 32
    layer: int = 1024  # width of the one layer that is measured per token
    tokens: int = 1024  # that it is given
    loaded: int = 64  # experts that are loaded one after the other
    crowd: int = 200  # experts that share budget_mb
    budget_mb: int = 100
    rounds: int = 9
    cpu_time: bool = False  # count the process's own seconds on the CPU: steadier on a busy machine

    def __post_init__(self) -> None:
        unknown = [name for name in self.backbones if name not in BACKBONES]
        if unknown:
            raise ConfigError(f"backbones are among {', '.join(BACKBONES)}, got {unknown[0]}")
        for name, value in vars(self).items():
            least = EACH if name == "experts" else 1
            if isinstance(value, int) and name != "cpu_time" and value < least:
                raise ConfigError(f"{name} is at least {least}, got {value}")


def run(settings: BenchConfig) -> Findings:
    options = load_settings(Options, None, settings.options)
    import peft  # noqa: F401  # found missing before anything is measured

    figures: Figures = {}
    baselines: dict[str, Figures] = {"peft_mixed_batch": {}, "xlora_style": {}, "arrow_style": {}, "peft_loading": {}}
    stages = [*options.backbones, "one layer", "loading", "memory"]
    for place, stage in enumerate(stages):
        settings.progress(f"measuring {stage}", place, len(stages))
        with tempfile.TemporaryDirectory() as scratch:
            if stage in options.backbones:
                ours, theirs = _batches(stage, options, settings.seed, Path(scratch))
                figures |= {f"{name}_{stage}": value for name, value in ours.items()}
                baselines["peft_mixed_batch"] |= {f"{name}_{stage}": value for name, value in theirs.items()}
            elif stage == "one layer":
                for count in (32, 128):
                    layer = _layer(count, options, settings.seed)
                    figures[f"layer_ratio_{count}"] = layer["ours"]
                    baselines["xlora_style"][f"layer_ratio_{count}"] = layer["xlora"]
                    baselines["arrow_style"][f"layer_ratio_{count}"] = layer["arrow"]
            elif stage == "loading":
                ours, baselines["peft_loading"] = _loading(options, settings.seed, Path(scratch))
                figures |= ours
            else:
                figures |= _memory(options, settings.seed, Path(scratch))
    settings.progress("measuring", len(stages), len(stages))
    return Findings(
        n=options.rounds,
        figures=figures,
        baselines=baselines,
        settings={"each": EACH, "clock": "cpu" if options.cpu_time else "wall"},
    )


def race(ways: Ways, options: Options) -> dict[str, float]:
    """Median seconds of each way, turn by turn; the first turn warms up and is not counted."""
    clock = time.process_time if options.cpu_time else time.perf_counter
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(options.rounds + 1):
        for name, way in ways.items():
            start = clock()
            way()
            if turn:
                seconds[name].append(clock() - start)
    return {name: statistics.median(each) for name, each in seconds.items()}


def ratios(seconds: Mapping[str, float]) -> dict[str, float]:
    return {name: each / seconds["bare"] for name, each in seconds.items() if name != "bare"}


def _batches(name: str, options: Options, seed: int, scratch: Path) -> tuple[Figures, Figures]:
    """Decode and prefill of a batch with one and with four experts a row, in our engine; and with one in PEFT."""
    import torch

    from reverie.engine import Engine, Request, Sampling
    from reverie.model import Backbone

    config = _config(name, options)
    backbone = Backbone(config, torch.Generator().manual_seed(seed))
    adapters = _Adapters(
        {f"expert{place}": _adapter(config, options.rank, seed + place) for place in range(options.experts)}
    )
    rng = np.random.default_rng(seed)
    prefixes = rng.integers(VOCAB, size=(options.rows, options.prefix_ids)).tolist()
    choices: dict[str, list[Choice]] = {
        "bare": [()] * options.rows,
        "one": [_choose(rng, adapters, 1) for _ in prefixes],
        "four": [_choose(rng, adapters, EACH) for _ in prefixes],
    }
    engines = {
        "prefill": Engine(backbone, cached_ids=1, experts=adapters),
        "decode": Engine(backbone, experts=adapters),
    }

    def dream(what: str, who: list[Choice]) -> Callable[[], object]:
        ids = 1 if what == "prefill" else options.new_ids
        rows = enumerate(zip(prefixes, who, strict=True))
        requests = [Request(prefix, row, Sampling(0), None, ids, frozenset(), choice) for row, (prefix, choice) in rows]
        return lambda: engines[what].generate(requests)

    ours: Figures = {"parameters": backbone.num_parameters}
    for what in engines:
        found = ratios(race({name: dream(what, who) for name, who in choices.items()}, options))
        ours |= {f"{what}_ratio_{count}": ratio for count, ratio in found.items()}
    return ours, _peft_batches(backbone, adapters, prefixes, choices["one"], options, scratch)


def _peft_batches(
    backbone: Backbone,
    adapters: Mapping[str, Adapter],
    prefixes: Sequence[Sequence[int]],
    choices: Sequence[Choice],
    options: Options,
    scratch: Path,
) -> Figures:
    """The same rows in transformers, one expert a row as PEFT's mixed batches have it, over transformers alone."""
    import torch

    bare, mixed = _peft_models(backbone, adapters, scratch)
    ids, names = torch.tensor(prefixes), [choice[0][0] for choice in choices]

    def prefill(model: Any, **more: Any) -> Any:
        with torch.inference_mode():
            return model(input_ids=ids, use_cache=True, logits_to_keep=1, **more).past_key_values

    def decode(model: Any, past: Any, **more: Any) -> None:
        with torch.inference_mode():
            for _ in range(options.new_ids):
                model(input_ids=ids[:, :1], past_key_values=past, use_cache=True, **more)
            past.crop(-options.new_ids)

    ways = {"bare": (bare, {}), "peft": (mixed, {"adapter_names": names})}
    pasts = {name: prefill(model, **more) for name, (model, more) in ways.items()}
    told: Figures = {}
    for what, way in (
        ("prefill", lambda name, model, more: prefill(model, **more)),
        ("decode", lambda name, model, more: decode(model, pasts[name], **more)),
    ):
        turns = {name: lambda each=(name, *of), way=way: way(*each) for name, of in ways.items()}
        told[f"{what}_ratio_one"] = ratios(race(turns, options))["peft"]
    return told


def _peft_models(backbone: Backbone, adapters: Mapping[str, Adapter], scratch: Path) -> tuple[Any, Any]:
    """The backbone as transformers loads it, bare, and with all experts of ``adapters`` in PEFT."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from reverie.experts.files import save_adapter

    backbone.save(scratch / "base", torch.float32)
    bare, mixed = (AutoModelForCausalLM.from_pretrained(scratch / "base", dtype=torch.float32).eval() for _ in range(2))
    for name, adapter in adapters.items():
        save_adapter(adapter, scratch / name, torch.float32)
        if isinstance(mixed, PeftModel):
            mixed.load_adapter(str(scratch / name), name)
        else:
            mixed = PeftModel.from_pretrained(mixed, str(scratch / name), name)
    return bare, mixed.eval()


def _layer(count: int, options: Options, seed: int) -> dict[str, float]:
    """One layer whose every token has four of ``count`` experts, over that layer alone."""
    import torch

    from reverie.engine.products import Matrix
    from reverie.experts.contract import Factors
    from reverie.experts.routed import Order, loop
    from reverie.experts.stacked import StackedFactors

    width, rng = options.layer, torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        scale: float = shape[-1] ** -0.5
        return torch.randn(shape, generator=rng) * scale

    base = Matrix(normal(width, width))
    factors = [Factors(normal(options.rank, width), normal(width, options.rank)) for _ in range(count)]
    slots = StackedFactors.stack(factors, width, width)
    x = torch.randn(options.tokens, width, generator=rng)
    weights, experts = torch.rand(options.tokens, count, generator=rng).topk(EACH)
    gates = torch.zeros(options.tokens, count).scatter(1, experts, weights)
    downs, ups = (torch.stack([getattr(one, side) for one in factors]) for side in ("down", "up"))

    def ours() -> torch.Tensor:
        return loop(x, slots, Order.of(experts, weights, count), base(x))

    def xlora() -> torch.Tensor:  # as peft.tuners.xlora.layer does it
        out = base(x)
        for place, one in enumerate(factors):
            out += x * gates[:, place, None] @ one.down.t() @ one.up.t()
        return out

    def arrow() -> torch.Tensor:  # as peft.tuners.lora.arrow does it
        each = torch.einsum("ter,eor->teo", torch.einsum("tf,erf->ter", x, downs), ups)
        return base(x) + torch.einsum("te,teo->to", gates, each)

    with torch.inference_mode():
        for way in (xlora, arrow):
            torch.testing.assert_close(ours(), way(), rtol=1e-3, atol=1e-3)
        return ratios(race({"bare": lambda: base(x), "ours": ours, "xlora": xlora, "arrow": arrow}, options))


def _loading(options: Options, seed: int, scratch: Path) -> tuple[Figures, Figures]:
    """How much longer the last of many experts takes to load than the first; medians over fresh libraries."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from reverie.experts.library import Library
    from reverie.model import Backbone

    config = _config(options.backbones[0], options)
    names = _fill(scratch / "library", config, [options.rank] * options.loaded, seed)
    Backbone(config, torch.Generator().manual_seed(seed)).save(scratch / "base", torch.float32)
    clock = time.process_time if options.cpu_time else time.perf_counter

    def timed(load: Callable[[str], object]) -> list[float]:
        seconds = []
        for name in names:
            start = clock()
            load(name)
            seconds.append(clock() - start)
        return seconds

    def ours() -> list[float]:
        return timed(Library.open(scratch / "library", _BASE).adapter)

    def peft() -> list[float]:
        model = AutoModelForCausalLM.from_pretrained(scratch / "base", dtype=torch.float32)
        first = scratch / "library" / names[0]
        wrapped = PeftModel.from_pretrained(model, str(first), "warm")  # its own first load wraps the layers
        return timed(lambda name: wrapped.load_adapter(str(scratch / "library" / name), name))

    told = []
    for way, rounds in ((ours, options.rounds), (peft, min(options.rounds, 2))):
        way()
        runs = np.array([way() for _ in range(rounds)])
        first, last = np.median(runs[:, :3]), np.median(runs[:, -3:])  # three each: one alone is at a timer's mercy
        told.append({"last_load_ratio": float(last / first), "first_load_ms": float(first * 1e3)})
    return told[0], told[1]


def _memory(options: Options, seed: int, scratch: Path) -> Figures:
    """How much a fresh process grows that uses a crowd of experts in turn, under a budget."""
    from multiprocessing import get_context

    config = _config(options.backbones[0], options)
    ranks = [RANKS[place % len(RANKS)] for place in range(options.crowd)]
    names = _fill(scratch / "library", config, ranks, seed)
    with get_context("spawn").Pool(1) as pool:
        grown, used = pool.apply(_grow, (scratch / "library", names, options.budget_mb, seed))
    return {"crowd_mb": used, "crowd_growth_mb": grown, "crowd_growth_of_budget": grown / options.budget_mb}


def _grow(folder: Path, names: list[str], budget_mb: int, seed: int) -> tuple[float, float]:
    """MB by which this process grew at most while it used all experts twice, and MB that they have in all."""
    import psutil

    from reverie.experts.library import Library, LibraryConfig

    process = psutil.Process()
    library = Library.open(folder, _BASE, settings=LibraryConfig(budget_bytes=budget_mb * 10**6))
    smallest = min(names, key=lambda name: sum(file.stat().st_size for file in (folder / name).iterdir()))
    library.adapter(smallest)  # what loading itself needs, torch and safetensors above all, is not the experts'
    start, peak, used = process.memory_info().rss, 0, 0
    for turn in range(2):
        for name in np.random.default_rng([seed, turn]).permutation(names).tolist():
            used += library.adapter(name).nbytes
            peak = max(peak, process.memory_info().rss)
    return (peak - start) / 1e6, used / 2e6


_BASE = "0" * 64  # a hash for experts that belong to no real base


class _Adapters(dict[str, "Adapter"]):
    """Experts in memory."""

    def key(self, name: str) -> str:
        return name

    def adapter(self, name: str) -> Adapter:
        return self[name]


def _config(name: str, options: Options) -> BackboneConfig:
    from reverie.model import BackboneConfig

    width, inner, layers, heads = BACKBONES[name]
    return BackboneConfig(VOCAB, width, inner, layers, heads, max_positions=options.prefix_ids + options.new_ids)


def _adapter(config: BackboneConfig, rank: int, seed: int) -> Adapter:
    """Random factors for every linear: what they cost does not depend on what they say."""
    import torch

    from reverie.experts.contract import Adapter, Factors

    rng, D, inner = torch.Generator().manual_seed(seed), config.hidden_size, config.intermediate_size
    sizes = {f"self_attn.{part}_proj": (D, D) for part in "qkvo"}
    sizes |= {"mlp.gate_proj": (D, inner), "mlp.up_proj": (D, inner), "mlp.down_proj": (inner, D)}
    factors = {}
    for layer in range(config.num_layers):
        for linear, (width_in, width_out) in sizes.items():
            down = torch.randn(rank, width_in, generator=rng) * width_in**-0.5
            up = torch.randn(width_out, rank, generator=rng) * 0.02
            factors[f"model.layers.{layer}.{linear}"] = Factors(down, up)
    return Adapter(factors)


def _fill(folder: Path, config: BackboneConfig, ranks: Sequence[int], seed: int) -> list[str]:
    """A library of experts of these ranks; their names."""
    from reverie.experts.contract import ExpertCard
    from reverie.experts.library import Library

    library = Library.open(folder, _BASE)
    cards = [ExpertCard(f"expert{place}", description="random") for place in range(len(ranks))]
    for place, (card, rank) in enumerate(zip(cards, ranks, strict=True)):
        library.create(card, _adapter(config, rank, seed + place))
    return [card.name for card in cards]


def _choose(rng: np.random.Generator, adapters: ExpertSource, count: int) -> Choice:
    names = rng.choice(sorted(adapters), count, replace=False).tolist()  # type: ignore[call-overload]
    return tuple((name, float(weight)) for name, weight in zip(names, rng.uniform(0.2, 1, count), strict=True))


BENCHMARK = Benchmark(
    name="experts",
    about="what several weighted experts a row cost over the bare base, loading the 64th, 200 in 100 MB; beside PEFT",
    run=run,
    options=Options,
)
