"""Whatever can be trained goes on bit for bit, as one process and as two: every row of the table, at toy size."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.bases import save_base
from tests.toy_collections import toy_collection
from tests.toy_experts import toy_adapter
from tests.toys import mute_nano, toy_bundle, toy_tokenizer

from reverie.bundles.init import InitConfig, init_bundle
from reverie.experts.contract import ExpertCard
from reverie.experts.files import base_hash
from reverie.experts.library import Library
from reverie.experts.lowrank import LoraConfig
from reverie.model.backbone import BackboneConfig
from reverie.model.graph_attention import GraphAttentionConfig
from reverie.model.orchestrator import OrchestratorConfig
from reverie.model.vision import VisionConfig
from reverie.progress import no_progress
from reverie.tokens.image import ImageTokenizerConfig
from reverie.training import TRAINED, LoopConfig, ToyObjective, train
from reverie.training.backbone import BackboneData
from reverie.training.expert import ExpertData
from reverie.training.fact_attention import FactAttentionData
from reverie.training.graph import GraphData
from reverie.training.objective import Objective
from reverie.training.perception import PerceptionData
from reverie.training.preferences import PreferenceData
from reverie.training.recipes import (
    BackboneRecipe,
    ExpertRecipe,
    FactAttentionRecipe,
    GraphRecipe,
    PerceptionRecipe,
    PreferenceRecipe,
    RewardRecipe,
    RouterRecipe,
    SpellingRecipe,
    TeachRecipe,
    TextRecipe,
    TokenizerRecipe,
)
from reverie.training.reward import RewardData
from reverie.training.routing import RouterData
from reverie.training.spelling import SpellingData
from reverie.training.teach import TeachData
from reverie.training.text import TextData
from reverie.training.tokenizer import TokenizerData

LOOP = LoopConfig(
    steps=5, lr=3e-3, muon_lr=1e-3, ema_decay=0.9, accumulate=2, warmup_steps=2, eval_every=2, checkpoint_every=2,
    log_every=1, device="cpu", num_threads=1, tensorboard=False, curves=False,
)  # fmt: skip
TINY = BackboneConfig(vocab_size=0, hidden_size=32, intermediate_size=64, num_layers=2, num_heads=2, max_positions=128)
GRAPH = GraphAttentionConfig(num_relations=0, hidden_size=16, num_layers=1, num_heads=2)


def _rows(folder: Path, words: str = "What is", name: str = "rows.jsonl") -> str:
    lines = [{"question": f"{words} {a} plus {b}?", "answer": str(a + b)} for a in range(6) for b in range(6)]
    (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(folder / name)


def tokenizer(folder: Path) -> Objective:
    model = ImageTokenizerConfig(stride=16, width=32)
    data = TokenizerData(worlds=("FrozenLake",), episodes=6, batch_size=16, balance=0.0, model=model)
    return TokenizerRecipe(data=data).objective(no_progress)


def backbone(folder: Path) -> Objective:
    toy_tokenizer().save(folder / "tokenizer")
    data = BackboneData(
        image_tokenizer=str(folder / "tokenizer"), worlds={"FrozenLake": 2}, drills=1, drill_questions=3, episodes=4,
        eval_docs=2, text_size=300, corpus=5, model=replace(TINY, max_positions=1024),
    )  # fmt: skip
    return BackboneRecipe(data=data).objective(no_progress)


def text(folder: Path) -> Objective:
    data = TextData(rows=(_rows(folder),), text_size=300, max_ids=96, batch_size=4, eval_docs=4, echo=0.5, model=TINY)
    return TextRecipe(data=data).objective(no_progress)


def graph(folder: Path) -> Objective:
    for part in ("train", "valid", "test"):
        lines = [f"p{n}\t{relation}\tp{(n * 3 + place) % 20}" for n in range(20) for place, relation in enumerate("ab")]
        (folder / f"{part}.txt").write_text("\n".join(lines if part == "train" else lines[:6]) + "\n")
    model = replace(GRAPH, question_size=8, spread=True)
    data = GraphData(triples=str(folder), batch_size=8, hops=2, nodes=12, eval_nodes=12, eval_questions=4, model=model)
    return GraphRecipe(data=data).objective(no_progress)


def fact_attention(folder: Path) -> Objective:
    data = FactAttentionData(bundle="nano", batch_size=2, episodes=20, eval_questions=2, soft_tokens=2, model=GRAPH)
    return FactAttentionRecipe(data=data).objective(no_progress)


def perception(folder: Path) -> Objective:
    vision = (VisionConfig("tokens", size=16), VisionConfig("lite", side=32, size=16))
    model = OrchestratorConfig(vision=vision, size=16, num_heads=2, num_layers=1)
    data = PerceptionData(
        bundle="nano", scenes=30, lessons=30, eval_lessons=4, batch_size=2, model=model, answer_share=0.2
    )
    return PerceptionRecipe(data=data).objective(no_progress)


def expert(folder: Path) -> Objective:
    bundle = toy_bundle(folder)
    data = ExpertData(
        name="sums", bundle=str(bundle), rows=_rows(folder), batch_size=4, lora=LoraConfig(rank=2), eval_seconds=0
    )
    return ExpertRecipe(data=data).objective(no_progress)


def spelling(folder: Path) -> Objective:
    data = SpellingData(
        bundle=str(mute_nano(folder / "mute", 40)), worlds={"FrozenLake": 1}, skills=("spatial",), known_docs=8,
        eval_docs=4, batch_size=64, episodes=8, drills=0,
    )  # fmt: skip
    return SpellingRecipe(data=data).objective(no_progress)


def elsewhere(folder: Path) -> Objective:
    """An expert of a base made elsewhere, with dropout and states computed again."""
    bundle = init_bundle(save_base(folder / "base", "llama"), folder / "bundle", InitConfig(dtype="fp32"))
    data = ExpertData(
        name="sums", bundle=str(bundle), rows=_rows(folder), batch_size=4, lora=LoraConfig(rank=2, dropout=0.2),
        eval_seconds=0, gradient_checkpointing=True,
    )  # fmt: skip
    return ExpertRecipe(data=data).objective(no_progress)


def teach(folder: Path) -> Objective:
    bundle = init_bundle(save_base(folder / "base", "llama"), folder / "bundle", InitConfig(dtype="fp32"))
    data = TeachData(bundle=str(bundle), drills=2, eval_docs=2, buckets=1, lora=LoraConfig(rank=2), eval_seconds=0)
    return TeachRecipe(data=data).objective(no_progress)


def router(folder: Path) -> Objective:
    bundle = toy_bundle(folder)
    library = Library.open(folder / "library", base_hash(bundle / "backbone"))
    for seed, name in enumerate("ab"):
        library.create(ExpertCard(name), toy_adapter(seed))
    rows = {"a": _rows(folder), "b": _rows(folder, "Where is", "more.jsonl")}
    data = RouterData(
        bundle=str(bundle), library=str(folder / "library"), rows=rows, outsiders=("strange",), rows_a_source=12,
        targets="owner", batch_size=8,
    )  # fmt: skip
    return RouterRecipe(run_dir=str(folder / "run"), data=data).objective(no_progress)


def reward(folder: Path) -> Objective:
    data = RewardData(
        bundle=str(toy_bundle(folder)), shown_steps=2, shown_docs=2, groups=1, branches=3, depth=2, most_ids=40,
        eval_tasks=1, max_side=3, lora=LoraConfig(rank=2),
    )  # fmt: skip
    return RewardRecipe(data=data).objective(no_progress)


def preferences(folder: Path) -> Objective:
    rows = [{"question": f"Why {n}?", "better": f"Because {n}.", "worse": "So."} for n in range(40)]
    (folder / "likes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = PreferenceData(str(folder / "likes.jsonl"), str(toy_bundle(folder)), batch_size=4)
    return PreferenceRecipe(data=data).objective(no_progress)


def generator(folder: Path) -> Objective:
    from tests.generator.test_objective import TOY

    from reverie.generator.caption_tokenizer import CaptionTokenizer
    from reverie.generator.objective import GeneratorData, GeneratorObjective

    collection = toy_collection(folder / "collection", 12)
    words = CaptionTokenizer.train(collection.captions, TOY.vocabulary)
    return GeneratorObjective(
        GeneratorData(batch_size=4, adversarial_from=0.0), replace(TOY, grey=True), collection, words, steps=5
    )


def distill(folder: Path) -> Objective:
    """All weights of a small bundle, by the logits and states of another with other ids."""
    from tests.training.test_distillation import ANSWERS, SMALL, trace_of

    from reverie.bundles.fresh import fresh_bundle, fresh_words
    from reverie.teachers.traces import Traces
    from reverie.training.distillation import DistillData
    from reverie.training.recipes import DistillRecipe
    from reverie.training.word_models import WordModel

    teacher = init_bundle(save_base(folder / "base", "llama"), folder / "teacher", InitConfig(dtype="fp32"))
    words = fresh_words(ANSWERS * 5, SMALL.text_size)
    student, model = fresh_bundle(folder / "student", words, SMALL, name="small"), WordModel(teacher)
    with Traces(folder / "traces.jsonl") as written:
        for number in range(12):
            written.append(trace_of(model, f"What happens {number}?", ANSWERS[number % 4]))
    data = DistillData(
        traces=str(folder / "traces.jsonl"), bundle=str(student), whole=True, batch_size=4, teacher=str(teacher),
        soft="full", feature_weight=0.1,
    )  # fmt: skip
    return DistillRecipe(data=data).objective(no_progress)


def toy(folder: Path) -> Objective:
    return ToyObjective()


# What ``reverie train`` trains, by the names of its table: a new row needs a line here. Below, what else is trained.
TABLE: dict[str, Callable[[Path], Objective]] = {
    "tokenizer": tokenizer,
    "backbone": backbone,
    "text": text,
    "graph": graph,
    "fact-attention": fact_attention,
    "perception": perception,
    "expert": expert,
    "router": router,
    "spelling": spelling,
    "reward": reward,
    "preferences": preferences,
}
MORE = {"expert, elsewhere": elsewhere, "teach": teach, "distill": distill,
        "generator": generator, "toy": toy}  # fmt: skip


def test_every_row_of_the_table_is_here() -> None:
    assert TABLE.keys() == TRAINED.keys()


def stopping(objective: Objective, at: int) -> Objective:
    """``objective``, which is asked to stop while its micro-batch ``at`` is made."""
    batch = objective.batch

    def asked(step: int) -> Any:
        if step == at:
            signal.raise_signal(signal.SIGINT)
        return batch(step)

    objective.batch = asked  # type: ignore[method-assign]
    return objective


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`")
@pytest.mark.parametrize("name", [*TABLE, *MORE])
def test_stopped_in_the_middle_and_gone_on_equals_one_go(name: str, tmp_path: Path) -> None:
    make = (TABLE | MORE)[name]
    runs = tmp_path / "whole", tmp_path / "parts"
    for place in ("one", "two", "three"):
        (tmp_path / place).mkdir()
    loop = replace(LOOP, muon_lr=0.0) if name == "router" else LOOP  # a router is no hidden matrix
    assert train(make(tmp_path / "one"), loop, runs[0], progress=False).stopped == "done"
    stopped = train(stopping(make(tmp_path / "two"), 2 * 2), loop, runs[1], progress=False)
    assert stopped.stopped == "interrupted"
    assert 0 < stopped.step < LOOP.steps
    shutil.rmtree(tmp_path / "two")
    torch.rand(3)  # whatever happens between the two
    assert train(make(tmp_path / "three"), loop, runs[1], progress=False).stopped == "done"
    assert_same(*(run / "checkpoint-000005" for run in runs))


def assert_same(one: Path, other: Path) -> None:
    """Weights, both optimizers' states, averages and random states, bit for bit."""
    files = {file.name for file in one.glob("*.safetensors")}
    assert files >= {"weights.safetensors", "optimizer.safetensors", "average.safetensors"}
    assert files == {file.name for file in other.glob("*.safetensors")}
    for name in files:
        a, b = load_file(one / name), load_file(other / name)
        assert a.keys() == b.keys()
        assert max(float((a[key].double() - b[key].double()).abs().max()) for key in a if a[key].numel()) == 0, name
    states = [json.loads((folder / "state.json").read_text())["random"] for folder in (one, other)]
    assert states[0] == states[1]


def test_a_run_that_stops_early_goes_on_as_if_it_had_not_been_stopped(tmp_path: Path) -> None:
    class Worse(ToyObjective):
        """Its best evaluation is that of step 6."""

        def evaluate(self, step: int) -> dict[str, float]:
            return {"loss": abs(step - 6) + 1.0}

    loop = replace(LOOP, steps=40, eval_every=2, patience=3)
    whole = train(Worse(), loop, tmp_path / "whole", progress=False)
    assert (whole.stopped, whole.step, whole.metrics["best_step"]) == ("done", 12, 6)
    for at in (2 * 7, 2 * 9):
        assert train(stopping(Worse(), at), loop, tmp_path / "parts", progress=False).stopped == "interrupted"
    parts = train(Worse(), loop, tmp_path / "parts", progress=False)
    assert (parts.step, parts.metrics["best_step"], parts.metrics["best_loss"]) == (12, 6, 1.0)
    assert_same(*(tmp_path / run / "checkpoint-000012" for run in ("whole", "parts")))
    products = [(tmp_path / run / "export" / "model.safetensors").read_bytes() for run in ("whole", "parts")]
    assert products[0] == products[1]
