"""How fast a base in Llama layout answers: our engine by kinds of weights, transformers, and llama.cpp in process.

All draw the same number of ids greedily after the same few, with none that ends them, turn by turn in one process, so
that a busy machine slows all; figures are medians. Prefill is a prefix of many ids read once, nothing of it known. What
several weighted experts a row cost is a ratio: our engine with them over our engine without, in turns too.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reverie.errors import ConfigError, UsageError
from reverie.precision import choose_precision
from reverie.settings import load_settings
from reverie_bench.contract import BenchConfig, Benchmark, Figures, Findings
from reverie_bench.gguf_kinds import requantized

if TYPE_CHECKING:
    from reverie.bundles import Bundle
    from reverie.engine import Decoder
    from reverie.experts.contract import Adapter, Choice
    from reverie.model.llama_base import LlamaBase

BRANCHES = (1, 4, 16)
OURS = ("fp32", "int8", "bf16")
GGUF = {"f32": "F32", "q8_0": "Q8_0", "q4_1": "Q4_1"}  # what llama.cpp runs -> as files are called
EACH, EXPERTS, RANK = 4, 8, 8  # experts a row, of how many, and their rank


@dataclass(frozen=True)
class Options:
    """What is measured, and how much of it."""

    systems: tuple[str, ...] = (*OURS, "transformers", *GGUF)
    prefix_ids: int = 16  # that every branch goes on from
    new_ids: int = 48  # drawn by every branch
    prefill_ids: int = 512
    rounds: int = 5
    experts: bool = True  # measure what experts cost, too

    def __post_init__(self) -> None:
        known = (*OURS, "transformers", *GGUF)
        if unknown := [name for name in self.systems if name not in known]:
            raise ConfigError(f"systems are among {', '.join(known)}, got {unknown[0]}")
        for name in ("prefix_ids", "new_ids", "prefill_ids", "rounds"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is at least 1, got {getattr(self, name)}")


@dataclass(frozen=True)
class System:
    """``decode(n)`` draws the new ids of n branches, ``prefill()`` reads the long prefix."""

    decode: Callable[[int], object]
    prefill: Callable[[], object]


def run(settings: BenchConfig) -> Findings:
    from reverie.bundles import load_bundle
    from reverie.model.llama_base import LlamaBase

    options = load_settings(Options, None, settings.options)
    bundle = load_bundle("smol" if settings.model == "nano" else settings.model)
    if not isinstance(bundle.backbone, LlamaBase):
        raise UsageError(f"{bundle.name} has no base in Llama layout on this machine's CPU: nothing to race")
    work = Work(bundle, options, settings.seed)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        systems: dict[str, System] = {}
        absent: dict[str, str] = {}
        for place, name in enumerate(options.systems):
            settings.progress("loading", place, len(options.systems))
            made = work.make(name, settings.data, scratch)
            if isinstance(made, str):
                absent[name] = made
            else:
                systems[name] = made
        if not systems:
            raise UsageError("nothing is there to race: " + "; ".join(f"{name}: {why}" for name, why in absent.items()))
        seconds = race(systems, options, settings)
        costs = work.expert_costs(options.rounds) if options.experts else {}
    figures = {name: speed_figures(seconds[name], options) for name in systems}
    return Findings(
        n=options.rounds,
        figures=costs | _ratios(figures),
        by={f"ours_{name}": figures[name] for name in OURS if name in figures},
        baselines={
            name if name == "transformers" else f"llama_cpp_{name}": figures[name] for name in figures.keys() - {*OURS}
        }
        or {"none": {"systems": 0}},
        settings={"bundle": bundle.name, "absent": absent, "threads": work.threads},
    )


class Work:
    """Ids to read, and whoever reads them."""

    def __init__(self, bundle: Bundle, options: Options, seed: int):
        import torch

        self.base: LlamaBase = bundle.backbone  # type: ignore[assignment]
        self.options, self.threads = options, torch.get_num_threads()
        self.folder = bundle.folder / "backbone"
        rng, num_text = np.random.default_rng([seed, 11]), self.base.ids.num_text
        self.prefix = rng.integers(num_text, size=options.prefix_ids).tolist()  # in the base's numbering
        self.long = rng.integers(num_text, size=options.prefill_ids).tolist()

    def make(self, name: str, data: Path | None, scratch: Path) -> System | str:
        """The system of that name; why there is none."""
        if name in OURS:
            return self.ours(name)
        if name == "transformers":
            return self.transformers()
        file = _gguf(data, GGUF[name], scratch)
        return file if isinstance(file, str) else self.llama_cpp(file)

    def ours(self, kind: str) -> System | str:
        from reverie.engine import open_decoder
        from reverie.engine.contract import Read

        if kind == "bf16" and choose_precision("auto", "cpu").name != "bf16":
            return "this processor would emulate it"
        try:
            decoder = open_decoder(self.base, weights=kind)  # type: ignore[arg-type]
        except UsageError as error:
            return str(error)
        return System(
            lambda count: self._decode(decoder, [()] * count),
            lambda: decoder.read([Read(self._ours(self.long))]),
        )

    def transformers(self) -> System:
        import torch

        from reverie.model.transformers_base import load_model

        peer = load_model(self.folder, dtype=torch.float32).eval()

        @torch.inference_mode()
        def decode(count: int) -> object:
            ids = torch.tensor([self.prefix] * count)
            ends = {"eos_token_id": None, "pad_token_id": 0, "do_sample": False}
            return peer.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=self.options.new_ids, **ends
            )

        @torch.inference_mode()
        def prefill() -> object:
            return peer(input_ids=torch.tensor([self.long]), logits_to_keep=1)

        return System(decode, prefill)

    def llama_cpp(self, file: Path) -> System | str:
        try:
            import xllamacpp
        except ModuleNotFoundError:
            return "xllamacpp is not installed"
        settings = xllamacpp.CommonParams()
        settings.model.path, settings.n_parallel, settings.warmup = str(file), max(BRANCHES), False
        settings.n_ctx = max(BRANCHES) * (len(self.prefix) + self.options.new_ids) + 2 * len(self.long)
        settings.kv_unified = True  # one branch alone may have all of it
        settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = self.threads
        server = xllamacpp.Server(settings)
        asked = {"temperature": 0.0, "ignore_eos": True}

        def decode(count: int) -> object:
            one = {"prompt": self.prefix, "n_predict": self.options.new_ids, **asked}
            with ThreadPoolExecutor(count) as pool:
                return [*pool.map(server.handle_completions, [one] * count)]

        one = {"prompt": self.long, "n_predict": 1, "cache_prompt": False, **asked}
        return System(decode, lambda: server.handle_completions(one))

    def expert_costs(self, rounds: int) -> Figures:
        """Four weighted experts a row, every row with its own, over none."""
        from reverie.engine import open_decoder
        from reverie.engine.contract import Read

        source = _Source({f"e{place}": self._adapter(place) for place in range(EXPERTS)})
        decoder = open_decoder(self.base, source)
        choices = [
            tuple((f"e{(row + 2 * place) % EXPERTS}", 0.4 - 0.1 * place) for place in range(EACH))
            for row in range(max(BRANCHES))
        ]
        ways: dict[str, Callable[[], object]] = {}
        for name, experts in (("prefill_bare", ()), ("prefill", decoder.resolve(choices[0]))):
            ways[name] = partial(decoder.read, [Read(self._ours(self.long), None, experts)])
        for count in BRANCHES:
            ways[f"decode_{count}_bare"] = self._steps(decoder, [()] * count)
            ways[f"decode_{count}"] = self._steps(decoder, choices[:count])
        taken = _turns(ways, rounds)
        return {
            f"experts_cost_{name}": taken[name] / taken[f"{name}_bare"] for name in ways if not name.endswith("_bare")
        }

    def _steps(self, decoder: Decoder, choices: Sequence[Choice]) -> Callable[[], object]:
        """Steps of rows that have read their prefix."""
        import torch

        from reverie.engine.contract import Read

        experts = [decoder.resolve(choice) for choice in choices]
        decoder.prepare(experts)
        states = [state for _, state in decoder.read([Read(self._ours(self.prefix), None, own) for own in experts])]
        drawn = torch.zeros(len(choices), dtype=torch.int64)

        def work() -> None:
            rows = decoder.rows()
            rows.add(states, experts, [self.options.new_ids] * len(choices))
            for _ in range(self.options.new_ids):
                rows.step(drawn)

        return work

    def _adapter(self, seed: int) -> Adapter:
        import torch

        from reverie.experts.contract import Adapter, Factors

        rng = torch.Generator().manual_seed(seed)
        linears = {name: shape for name, shape in self.base.config.shapes.items() if name.endswith("proj.weight")}
        return Adapter(
            {
                name.removesuffix(".weight"): Factors(
                    torch.randn(RANK, width_in, generator=rng) * width_in**-0.5,
                    torch.randn(width_out, RANK, generator=rng) * 0.01,
                )
                for name, (width_out, width_in) in linears.items()
            }
        )

    def _decode(self, decoder: Decoder, choices: Sequence[Choice]) -> object:
        """A row for each choice of experts, by an engine that has read nothing yet."""
        from reverie.engine import Engine, Request, Sampling

        prefix = tuple(self._ours(self.prefix).tolist())
        return Engine(decoder).generate(
            [
                Request(prefix, row, Sampling(0.0), None, self.options.new_ids, experts=choice)
                for row, choice in enumerate(choices)
            ]
        )

    def _ours(self, ids: Sequence[int]) -> np.ndarray:
        return np.asarray(ids, dtype=np.int64) + self.base.ids.num_grammar


class _Source(dict[str, Any]):
    """Experts that nobody changes."""

    def key(self, name: str) -> str:
        return name

    def adapter(self, name: str) -> Any:
        return self[name]


def _gguf(data: Path | None, kind: str, scratch: Path) -> Path | str:
    """The file of that kind in ``data``, or made of one that is there; why there is none."""
    files = sorted(data.glob("*.gguf")) if data is not None and data.is_dir() else [data] if data else []
    if not files:
        return "no GGUF files are given (--data)"
    named = [file for file in files if kind.lower() in file.name.lower()]
    return named[0] if named else requantized(files[0], kind, scratch / f"{kind}.gguf")


def race(systems: dict[str, System], options: Options, settings: BenchConfig) -> dict[str, dict[str, float]]:
    """Median seconds of each system: prefill, and decoding with so many branches."""
    seconds: dict[str, dict[str, float]] = {name: {} for name in systems}
    for place, count in enumerate((0, *BRANCHES)):  # 0: prefill
        settings.progress("racing", place, 1 + len(BRANCHES))
        ways = {
            name: system.prefill if count == 0 else lambda own=system, count=count: own.decode(count)
            for name, system in systems.items()
        }
        for name, taken in _turns(ways, options.rounds).items():
            seconds[name][f"{count}" if count else "prefill"] = taken
    settings.progress("racing", 1 + len(BRANCHES), 1 + len(BRANCHES))
    return seconds


def _turns(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each, in turns, after each ran once."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, work in ways.items():
            started = time.perf_counter()
            work()
            if turn:
                taken[name].append(time.perf_counter() - started)
    return {name: statistics.median(each) for name, each in taken.items()}


def speed_figures(seconds: dict[str, float], options: Options) -> Figures:
    decode = {f"ids_per_second_{count}": count * options.new_ids / seconds[f"{count}"] for count in BRANCHES}
    return decode | {"prefill_ids_per_second": options.prefill_ids / seconds["prefill"]}


def _ratios(figures: dict[str, Figures]) -> Figures:
    """Ours over transformers, and over llama.cpp at the same precision, or the one that comes nearest."""
    pairs = {
        "fp32": ("transformers", "f32"),
        "int8": ("transformers", "q8_0", "q4_1"),
        "bf16": ("transformers", "q8_0"),
    }
    ratios: Figures = {}
    for own, others in pairs.items():
        for other in others:
            if own in figures and other in figures:
                for name, value in figures[own].items():
                    short = name.replace("ids_per_second_", "").replace("_ids_per_second", "")
                    ratios[f"{own}_over_{other}_{short}"] = value / figures[other][name]
    return ratios or {"systems": len(figures)}


BENCHMARK = Benchmark(
    name="base-speed",
    about="ids a second of a base in Llama layout, drawn and read, against transformers and llama.cpp; cost of experts",
    run=run,
    data="a GGUF file of the same base, or a folder of them, for llama.cpp; missing kinds are made of the first",
    options=Options,
)
