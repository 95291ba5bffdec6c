"""`bench experts` in small: every part runs and reports its figures; wrong settings are refused."""

from __future__ import annotations

import pytest

from reverie.errors import ConfigError
from reverie_bench import BenchConfig, run_benchmark

SMALL = (
    "backbones=[tiny]",
    "rows=3",
    "prefix_ids=5",
    "new_ids=2",
    "rank=2",
    "layer=32",
    "tokens=9",
    "loaded=3",
    "crowd=10",
    "budget_mb=1",
    "rounds=1",
)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # PEFT asks for it
def test_every_part_is_measured() -> None:
    report = run_benchmark("experts", BenchConfig(options=SMALL))
    assert set(report.figures) == {
        "parameters_tiny",
        *(f"{what}_ratio_{count}_tiny" for what in ("prefill", "decode") for count in ("one", "four")),
        *("layer_ratio_32", "layer_ratio_128", "last_load_ratio", "first_load_ms"),
        *("crowd_mb", "crowd_growth_mb", "crowd_growth_of_budget"),
    }
    assert set(report.baselines) == {"peft_mixed_batch", "xlora_style", "arrow_style", "peft_loading"}
    assert all(figures for figures in report.baselines.values())
    assert all(value > 0 for name, value in report.figures.items() if "ratio" in name)


@pytest.mark.parametrize(
    ("option", "said"),
    [("backbones=[huge]", "backbones are among 10m, .* got huge"), ("experts=3", "experts is at least 4, got 3")],
)
def test_wrong_options_are_refused(option: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        run_benchmark("experts", BenchConfig(options=(option,)))
