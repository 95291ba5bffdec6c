from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.toys import toy_backbone, toy_bundle, toy_grammar

from reverie.engine import Engine
from reverie.errors import ConfigError, DataError, ExpertError, UnknownNameError, UsageError
from reverie.experts.contract import Adapter, ExpertCard, Factors
from reverie.experts.features import question_features
from reverie.experts.files import base_hash
from reverie.experts.library import Library
from reverie.experts.prototypes import load_prototype
from reverie.experts.router import Router, RouterConfig
from reverie.training import LoopConfig, check_objective, train
from reverie.training.measuring import BackboneScorer, Row, make_table
from reverie.training.recipes import RouterRecipe
from reverie.training.routing import RouterData, RouterObjective
from reverie.training.routing_rows import RowReader
from reverie.training.routing_table import NOBODY, UNKNOWN, Table

LOOP = LoopConfig(steps=60, lr=0.05, precision="fp32", eval_every=0, checkpoint_every=0, tensorboard=False)
LINEARS = {"model.layers.0.self_attn.q_proj": (32, 32), "model.layers.1.mlp.down_proj": (32, 64)}


def toy_adapter(seed: int) -> Adapter:
    generator = torch.Generator().manual_seed(seed)
    return Adapter(
        {
            name: Factors(
                torch.randn(2, columns, generator=generator) / columns**0.5, torch.randn(rows, 2, generator=generator)
            )
            for name, (rows, columns) in LINEARS.items()
        }
    )


class Source:
    """Experts in a dict."""

    def __init__(self) -> None:
        self.adapters = {name: toy_adapter(seed) for seed, name in enumerate("ab")}

    def key(self, name: str) -> str:
        return name

    def adapter(self, name: str) -> Adapter:
        return self.adapters[name]


def toy_rows(count: int = 9) -> list[Row]:
    rng, grammar = np.random.default_rng(0), toy_grammar()
    rows = []
    for number in range(count):
        question = " ".join(["where is the elf", "what happens to the ball"][number % 2].split()[: rng.integers(2, 5)])
        answer = (*grammar.answer_ids("safe"), 2)
        rows.append(Row(tuple(grammar.question_ids(question)), answer, (False, *(True,) * (len(answer) - 1))))
    return [*rows, Row(rows[0].question)]


def test_nats_are_those_of_the_base_with_the_weights_added() -> None:
    backbone, source, rows = toy_backbone(5), Source(), toy_rows()
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    scorer, choice = BackboneScorer(backbone, source), (("a", 0.75), ("b", 0.5))
    nats = scorer.nats(rows, [choice] * 5 + [()] * 5)
    assert nats[-1] == 0  # no answer, nothing to judge
    assert all(torch.equal(tensor, before[name]) for name, tensor in backbone.state_dict().items())
    merged = toy_backbone.__wrapped__(5)
    for name, share in choice:
        for linear, factors in source.adapters[name].factors.items():
            merged.get_submodule(linear).weight += share * factors.up @ factors.down
    for place, model in ((0, merged), (4, merged), (6, backbone)):
        row = rows[place]
        ids = torch.tensor([[*row.question, *row.answer]])
        log_probs = model(ids).log_softmax(-1)[0, :-1].gather(1, ids[0, 1:, None])[:, 0]
        assert nats[place] == pytest.approx(-float(log_probs[-sum(row.judged) :].mean()), abs=1e-4)


def test_features_are_those_of_an_engine() -> None:
    backbone, rows = toy_backbone(5), toy_rows()
    fast = BackboneScorer(backbone, Source())
    slow = torch.from_numpy(question_features(Engine(backbone).embed_many, [row.question for row in rows]))
    torch.testing.assert_close(slow, fast.features(rows), atol=1e-4, rtol=1e-4)
    each = fast.features(rows, per_token=True)
    last = [each[place, len(row.question) - 1] for place, row in enumerate(rows)]
    torch.testing.assert_close(torch.stack(last), fast.features(rows))
    states = backbone.hidden(torch.tensor([rows[0].question]))[0]
    torch.testing.assert_close(fast.features(rows[:1])[0], torch.cat((states.mean(0), states[-16:].mean(0))))


def test_an_engine_runs_the_experts_that_the_backbone_adds() -> None:
    backbone, source, rows = toy_backbone(5), Source(), toy_rows()
    choices = [(("a", 0.75), ("b", 0.5)), (("b", 1.0),), *[()] * 8]
    asked = [(row.question, row.answer, choice) for row, choice in zip(rows, choices, strict=True)]
    scored = Engine(backbone, experts=source).score_many(asked)
    nats = [-log_probs[np.array(row.judged)].mean() if row.judged else 0.0 for row, log_probs in zip(rows, scored)]
    torch.testing.assert_close(
        torch.tensor(nats), BackboneScorer(backbone, source).nats(rows, choices), atol=1e-4, rtol=1e-4
    )


def test_an_expert_that_does_not_fit_is_refused_and_the_base_unchanged() -> None:
    backbone, source = toy_backbone(5), Source()
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    wide = Factors(torch.ones(2, 48), torch.ones(32, 2))
    for linear, message in (("model.layers.0.self_attn.q_proj", "does not fit"), ("lm.nowhere", "does not have")):
        source.adapters["b"] = Adapter({**toy_adapter(3).factors, linear: wide})
        with pytest.raises(ExpertError, match=message):
            BackboneScorer(backbone, source).nats(toy_rows(), [(("b", 1.0),)] * 10)
    assert all(torch.equal(tensor, before[name]) for name, tensor in backbone.state_dict().items())


class Counting(BackboneScorer):
    def __init__(self) -> None:
        super().__init__(toy_backbone(5), Source())
        self.asked: list[str] = []

    def nats(self, rows, choices):  # type: ignore[no-untyped-def]
        self.asked.append("+".join(name for name, _ in choices[0]) or "base")
        if self.asked[-1] == "b" and len(self.asked) == 3:
            raise KeyboardInterrupt
        return super().nats(rows, choices)


def test_a_stopped_measurement_goes_on_where_it_was(tmp_path: Path) -> None:
    path, rows, told = tmp_path / "measured.safetensors", toy_rows(), list[str]()
    owners = [0, 1] * 4 + [UNKNOWN, NOBODY]
    with pytest.raises(KeyboardInterrupt):
        make_table(Counting(), rows, owners, "ab", path=path)
    scorer = Counting()
    table = make_table(
        scorer, rows, owners, "ab", path=path, progress=lambda what, done, of: told.append(f"{what}: {done} of {of}")
    )
    assert scorer.asked == ["b"]
    assert told[-1] == "measured rows  with b: 3 of 3"
    plain = make_table(BackboneScorer(toy_backbone(5), Source()), rows, owners, "ab")
    torch.testing.assert_close(table.nats, plain.nats)
    scorer = Counting()
    make_table(scorer, rows, owners, "ab", keys=["a", "new"], path=path)
    assert scorer.asked == ["b"]  # changed since
    scorer = Counting()
    with pytest.raises(KeyboardInterrupt):
        make_table(scorer, rows[:-1], owners[:-1], "ab", path=path)
    assert scorer.asked == ["base", "a", "b"]  # other rows


def separable(per_token: bool = False) -> Table:
    """Three kinds of rows, an expert for two of them."""
    generator = torch.Generator().manual_seed(0)
    kinds = torch.arange(240) % 3
    centers = 3 * torch.randn(3, 12, generator=generator)
    features = centers[kinds][:, None] + torch.randn(240, 5, 12, generator=generator)
    features[::2, 3:] = torch.nan
    nats = torch.full((240, 3), 2.0)
    nats[kinds == 0, 1] = 0.5
    nats[kinds == 1, 2] = 0.7
    owners = torch.where(kinds == 2, NOBODY, kinds)
    return Table(("a", "b"), features if per_token else features[:, 0], nats, owners, "x")


@pytest.mark.parametrize("per_token", [False, True])
def test_the_objective_learns_who_helps_whom(tmp_path: Path, per_token: bool) -> None:
    data = RouterData(batch_size=64, router=RouterConfig(per_token=per_token, prototype_rank=2))
    objective = RouterObjective(data, separable(per_token))
    check_objective(objective)
    figures = train(objective, LOOP, tmp_path / "run", progress=False).metrics
    assert figures["owner_accuracy"] > 0.95
    assert figures["nobody_on_outsiders"] > 0.9
    assert figures["quality"] > 0.95
    export = tmp_path / "run" / "export"
    table = Table.load(export / "test.safetensors")
    assert len(table) == 48
    assert Router.load(export / "router", base="x").route(table.whole) == objective.router.route(table.whole)
    assert load_prototype(export / "prototypes" / "a", base="x") is not None


def test_there_must_be_something_to_route() -> None:
    table = separable()
    with pytest.raises(DataError, match="none gains from any of 2 experts"):
        RouterObjective(RouterData(), replace(table, nats=torch.full_like(table.nats, 2.0)))


def write(path: Path, rows: list[dict[str, str]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def bundle_with_experts(folder: Path) -> tuple[Path, Path]:
    bundle = toy_bundle(folder)
    library = Library.open(folder / "library", base_hash(bundle / "backbone"))
    for seed, name in enumerate("ab"):
        library.create(ExpertCard(name), toy_adapter(seed))
    return bundle, folder / "library"


def test_a_recipe_makes_a_router_of_a_library(tmp_path: Path) -> None:
    bundle, library = bundle_with_experts(tmp_path)
    files = {
        name: write(tmp_path / name, [{"question": f"{words} {n}", "answer": answer} for n in range(40)])
        for name, words, answer in (("a", "where is the elf", "safe"), ("b", "what happens to the ball", "it rolls"))
    }
    data = RouterData(
        bundle=str(bundle),
        library=str(library),
        rows=files,
        outsiders=("world:FrozenLake", "strange"),
        rows_a_source=30,
        targets="owner",
    )
    told: list[str] = []
    recipe = RouterRecipe(str(tmp_path / "run"), data, replace(LOOP, steps=20))
    result = recipe.train(lambda what, done, of: told.append(what))
    assert told[:4] == ["preparing", *(f"measured rows  with {name}" for name in ("the base", "a", "b"))]
    assert 0 <= result.metrics["owner_accuracy"] <= 1
    router = Router.load(tmp_path / "run" / "export" / "router", base_hash(bundle / "backbone"))
    assert router.names == ["a", "b"]


def test_rows_are_read_from_files_skills_worlds_and_nowhere(tmp_path: Path) -> None:
    reader = RowReader(toy_bundle(tmp_path), max_ids=400)
    with pytest.raises(ConfigError, match="name another source of rows before"):
        reader.read("strange", 5)
    file = write(tmp_path / "rows.jsonl", [{"question": "why?", "answer": "so"}, {"question": "x " * 500}])
    (row,) = reader.read(file, 5)
    assert row.judged == (False, *(True,) * (len(row.answer) - 1))
    assert all(not row.answer for row in [*reader.read("strange", 5), *reader.read("world:FrozenLake", 5)])
    dreamed = reader.read("skill:spatial", 3)
    assert len(dreamed) == 3
    assert all(0 < sum(row.judged) < len(row.judged) for row in dreamed)
    again = RowReader(tmp_path / "bundle", max_ids=400)
    assert again.read(file, 5) == [row]


@pytest.mark.parametrize("line", ["{", "[]", '{"answer": "x"}', '{"question": " "}', '{"question": "x", "answer": 3}'])
def test_a_bad_line_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "rows.jsonl").write_text('{"question": "x"}\n' + line + "\n")
    with pytest.raises(DataError, match=r"rows.jsonl, line 2: "):
        RowReader(toy_bundle(tmp_path)).read(str(tmp_path / "rows.jsonl"), 5)


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    bundle, library = bundle_with_experts(tmp_path)
    data = RouterData(bundle=str(bundle), library=str(library))
    recipe = RouterRecipe(str(tmp_path / "run"), data, LOOP)
    file = write(tmp_path / "rows.jsonl", [{"question": "x " * 500, "answer": "x"}])
    for changes, kind, message in (
        ({}, ConfigError, "learns from rows"),
        ({"rows": {"z": file}}, ConfigError, "data.rows names z, which the library lacks; it has a, b"),
        ({"rows": {"a": str(tmp_path / "no")}}, DataError, "there is no file"),
        ({"rows": {"a": file}}, DataError, "none of at most 512 ids"),
        ({"rows": {"a": "skill:magic"}}, UnknownNameError, "unknown skill 'magic'"),
        ({"library": ""}, ConfigError, "no experts to route to"),
        ({"bundle": str(tmp_path / "no")}, UsageError, "no bundle"),
    ):
        with pytest.raises(kind, match=message):
            replace(recipe, data=replace(data, **changes)).train(progress=False)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"data.share lies between 0 and 1"):
        RouterData(share=2)
