from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.toys import toy_bundle

from reverie.errors import UsageError
from reverie.worlds.frozenlake.maps import in_test_split, random_map
from reverie_bench import BenchConfig, run_benchmark


def test_rewards_stand_beside_the_start_and_beside_shown_plans(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    maps = [random_map(side, rng) for side in (3, 3, 3, 4, 4, 4, 7)]
    path = tmp_path / "maps.jsonl"
    path.write_text("".join(json.dumps({"desc": list(desc)}) + "\n" for desc in maps))
    options = ("walks=1", "steps=2", "groups=1", "branches=2")
    report = run_benchmark("reward", BenchConfig(str(toy_bundle(tmp_path)), path, options=options))
    assert report.n == sum(in_test_split(desc) and len(desc) <= 6 for desc in maps)
    assert report.baselines.keys() == {"start", "supervised"}
    assert report.figures["gain_over_start"] == pytest.approx(
        report.figures["exact_match"] - report.baselines["start"]["exact_match"]
    )
    assert all(name.startswith("size_") for name in report.by)
    path.write_text(json.dumps({"desc": list(maps[-1])}) + "\n")
    with pytest.raises(UsageError, match="no map"):
        run_benchmark("reward", BenchConfig(str(tmp_path / "bundle"), path))
