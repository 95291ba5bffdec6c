"""The benchmarks of exports and of smaller weights, on tiny bases."""

from __future__ import annotations

from pathlib import Path

import pytest

from bases import TEXTS, save_base
from reverie.bundles import init_bundle
from reverie.bundles.init import InitConfig
from reverie.errors import ConfigError, UsageError
from reverie_bench import BenchConfig, run_benchmark
from reverie_bench.odd_texts import odd_texts


def test_smaller_weights_stand_beside_fp32(tmp_path: Path) -> None:
    bundle = init_bundle(save_base(tmp_path / "base"), tmp_path / "bundle", InitConfig(dtype="fp32"))
    text, quiz = tmp_path / "text.txt", tmp_path / "quiz.jsonl"
    text.write_text(" ".join(TEXTS * 20), encoding="utf-8")
    quiz.write_text('{"question": "What rolls?", "options": ["ball", "egg"], "answer": "ball"}\n', encoding="utf-8")
    small = ("pieces=2", "piece_ids=40", "rounds=1", "new_ids=2")
    found = run_benchmark("weights", BenchConfig(str(bundle), text, questions=quiz, options=small))
    assert found.baselines["fp32"]["next_id_equal"] == 1
    assert found.baselines["fp32"]["largest_difference"] == 0
    assert 0 < found.by["int8"]["largest_difference"] < 5
    assert found.by["int8"]["quiz_accuracy"] in (0, 1)
    assert found.figures["int8_speedup_prefill_ids_per_second"] > 0
    with pytest.raises(UsageError, match="needs --data"):
        run_benchmark("weights", BenchConfig(str(bundle)))
    text.write_text("too short", encoding="utf-8")
    with pytest.raises(UsageError, match="fewer than the 256 of one piece"):
        run_benchmark("weights", BenchConfig(str(bundle), text))
    with pytest.raises(ConfigError, match="rounds is at least 1"):
        run_benchmark("weights", BenchConfig(str(bundle), text, options=("rounds=0",)))


def test_an_export_is_held_to_our_engine(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    found = run_benchmark(
        "export", BenchConfig(limit=2, options=("texts=20", "new_ids=4", "experts=causal@0.5", "kinds=[f32]"))
    )
    assert found.figures["ids_equal"] == found.figures["words_equal"] == found.figures["experts_words_equal"] == 1
    assert found.figures["largest_difference"] < 1e-2
    assert found.figures["experts_largest_difference"] < 1e-2
    assert found.baselines["bare_base"]["largest_difference"] > 0.5
    with pytest.raises(ConfigError, match="kinds are among"):
        run_benchmark("export", BenchConfig(options=("kinds=[q2]",)))


def test_odd_texts_are_odd_and_the_same_each_time() -> None:
    texts = odd_texts(200)
    assert texts == odd_texts(200)
    assert texts != odd_texts(200, 1)
    said = "".join(texts)
    assert {"\u200b", "\t", "\u3000", "\u0301"} <= set(said)
    assert len({ord(one) >> 8 for one in said}) > 100
    assert all(text.encode() for text in texts)
