from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.bases import toy_base, toy_words

from reverie.bundles.fresh import FreshConfig, fresh_bundle, fresh_words, with_weights
from reverie.bundles.init import InitConfig, init_bundle
from reverie.errors import ConfigError, DataError
from reverie.experts.files import load_adapter
from reverie.speakers.contract import Message, SaidId
from reverie.teachers.traces import Trace, Traces
from reverie.training import LoopConfig, check_objective, train
from reverie.training.alignment import Expected, FirstIds, placed, places, soft_targets
from reverie.training.distillation import DistillData, DistillObjective, split_traces
from reverie.training.distillation_losses import Told, chunk_loss, feature_loss, full_loss, top_loss, uld_loss
from reverie.training.word_models import WordModel

SMALL = FreshConfig(text_size=300, hidden_size=32, intermediate_size=48, num_layers=2, num_heads=2, max_positions=256)
LOOP = LoopConfig(
    steps=4, lr=5e-3, weight_decay=0, eval_every=2, checkpoint_every=2, num_threads=1, tensorboard=False, warmup_steps=1
)
ANSWERS = ["it breaks on the floor.", "the ball rolls off — and falls.", "ice melts; it is wet 🧊.", "nothing happens."]


def likely(pieces: Sequence[bytes], others: Sequence[tuple[bytes, float]] = ()) -> Expected:
    """Each piece half probable, beside the same others everywhere."""
    top = [(piece, math.log(0.5)) for piece in pieces]
    more = [(data, math.log(probability)) for data, probability in others]
    return Expected(pieces, [log_prob for _, log_prob in top], [[one, *more] for one in top])


def first_ids(*words: bytes) -> FirstIds:
    """Ids are the words' places; texts are cut into the longest."""
    return FirstIds(enumerate(words), lambda text: [], end=len(words))


def test_pieces_are_placed_in_a_text_that_they_spell() -> None:
    found = placed([b" the", b" ba", b"ll"], b"the ball")
    assert found is not None
    assert found.cuts == (-1, 3, 6, 8)
    assert placed([b"The"], b"the") is None
    assert placed([], b"") is None


def test_where_both_cut_a_candidate_goes_to_the_id_that_begins_it() -> None:
    ids = first_ids(b"the", b"th", b"a", b" ball", b"e")
    found = soft_targets(
        [b"the", b" ball"], likely([b"the", b" ball"], [(b"thx", 0.2), (b"ab", 0.1)]), b"the ball", ids
    )
    assert found is not None
    row = dict(zip(found.ids[0].tolist(), found.probs[0].tolist(), strict=True))
    assert row == pytest.approx({0: 0.5, 1: 0.2, 2: 0.1})
    assert found.rest[0] == pytest.approx(0.2)
    assert found.told.tolist() == [1, 1]
    assert found.other.tolist() == [0, 0]
    assert found.chunk.tolist() == [0, 1]


def test_within_a_teachers_id_what_is_left_of_its_candidates_is_expected() -> None:
    ids = first_ids(b"th", b"e", b"is", b"x")
    expected = likely([b"the"], [(b"this", 0.25), (b"x", 0.25)])
    found = soft_targets([b"th", b"e"], expected, b"the", ids)
    assert found is not None
    first = {token: p for token, p in zip(found.ids[0], found.probs[0], strict=True) if p}
    assert first == pytest.approx({0: 0.75, 3: 0.25})  # "the" and "this" both begin with "th"
    within = {token: p for token, p in zip(found.ids[1], found.probs[1], strict=True) if p}
    assert within == pytest.approx({1: 2 / 3, 2: 1 / 3})
    assert found.told.tolist() == [1, 1]
    assert found.chunk.tolist() == [0, 0]
    assert found.chunk_log_probs.tolist() == pytest.approx([math.log(0.5)])


def test_what_was_said_and_is_no_candidate_stands_for_the_others() -> None:
    expected = Expected([b"the"], [math.log(0.01)], [[(b"this", math.log(0.6)), (b"a", math.log(0.3))]])
    found = soft_targets([b"th", b"e"], expected, b"the", first_ids(b"th", b"e", b"a", b"is"))
    assert found is not None
    assert found.other.tolist() == [1, 1]
    assert found.told.tolist() == [1, 0]  # within it the candidates say nothing: another one was said
    assert found.rest.tolist() == pytest.approx([0.1, 0.0])


def test_the_end_goes_to_the_id_that_ends_an_answer() -> None:
    expected = Expected([b"a", b""], [math.log(0.9)] * 2, [[], [(b"", math.log(0.9)), (b"b", math.log(0.05))]])
    found = soft_targets([b"a", b""], expected, b"a", first_ids(b"a", b"b"))
    assert found is not None
    assert dict(zip(found.ids[1].tolist(), found.probs[1].tolist(), strict=True)) == pytest.approx({2: 0.9, 1: 0.05})


def test_a_space_before_the_text_is_put_before_the_candidates() -> None:
    ids = first_ids(b" a", b" b", b"a", b"b")
    found = soft_targets([b" a"], likely([b"a"], [(b"b", 0.3)]), b"a", ids)
    assert found is not None
    assert found.ids[0].tolist() == [0, 1]
    same = placed([b" a"], b"a")
    assert same is not None
    assert [one and (one.said, one.lead) for one in places(same, same)] == [(b"", b"")]


def test_letters_of_several_bytes_are_aligned_by_their_bytes() -> None:
    text = "é🧊".encode()
    bytes_alone = [bytes([byte]) for byte in text]
    found = soft_targets(bytes_alone, likely(["é".encode(), "🧊".encode()]), text, first_ids(*sorted(set(bytes_alone))))
    assert found is not None
    assert found.chunk.tolist() == [0, 0, 1, 1, 1, 1]
    assert found.told.all()


@pytest.mark.parametrize("nats", [math.nan, math.inf])
def test_a_label_that_is_no_number_teaches_nothing(nats: float) -> None:
    expected = Expected([b"a", b"b"], [nats, -1.0], [[(b"a", nats)], [(b"b", -1.0)]])
    found = soft_targets([b"a", b"b"], expected, b"ab", first_ids(b"a", b"b"))
    assert found is not None
    assert found.told.tolist() == [0, 1]
    assert found.other.tolist() == [1, 0]
    assert found.chunk.tolist() == [-1, 1]
    assert np.isfinite(found.chunk_log_probs).all()


def test_texts_that_are_spelled_otherwise_do_not_align() -> None:
    assert soft_targets([b"A"], likely([b"a"]), b"a", first_ids(b"a")) is None


def test_top_losses_vanish_where_both_agree_and_equal_the_full_one_where_all_is_told() -> None:
    torch.manual_seed(0)
    logits, teacher = torch.randn(5, 7, requires_grad=True), torch.randn(5, 7)
    log_q, log_p, ones, said = logits.log_softmax(1), teacher.log_softmax(1), torch.ones(5), torch.zeros(5)
    for temperature in (1.0, 2.5):
        full = full_loss(logits, said, log_p, ones, temperature)
        ours, theirs = ((one / temperature).log_softmax(1) for one in (logits, log_p))
        wanted = torch.nn.functional.kl_div(ours, theirs, log_target=True, reduction="batchmean")
        assert torch.allclose(full, wanted * temperature**2)
    told = Told(log_p.exp(), torch.zeros(5), ones, torch.zeros(5))
    assert torch.allclose(top_loss(log_q, said, told), full_loss(logits, said, log_p, ones), atol=1e-5)
    few, rest = log_q.exp()[:, :2].detach(), log_q.exp()[:, 2:].sum(1).detach()
    same = top_loss(log_q[:, :2], said, Told(few, rest, ones, torch.zeros(5)), 2.0)
    same.backward()
    assert same.item() == pytest.approx(0, abs=1e-6)
    assert logits.grad is not None
    assert float(logits.grad.abs().max()) < 1e-5


def test_a_few_candidates_teach_on_average_what_all_logits_teach() -> None:
    """The gradient from two candidates and the words that are drawn, each as often as the teacher says it."""
    torch.manual_seed(1)
    logits = torch.randn(1, 6, requires_grad=True)
    p = torch.randn(1, 6).softmax(1)
    (full,) = torch.autograd.grad(full_loss(logits, torch.zeros(1), p.log(), torch.ones(1)), logits)
    likely = p.topk(2).indices
    total = torch.zeros(1, 6)
    for token in range(6):
        log_q, other = logits.log_softmax(1), torch.tensor([float(token not in likely[0].tolist())])
        told = Told(p.gather(1, likely), 1 - p.gather(1, likely).sum(1), torch.ones(1), other)
        (slope,) = torch.autograd.grad(top_loss(log_q.gather(1, likely), log_q[:, token], told), logits)
        total += p[0, token] * slope
    assert torch.allclose(total, full, atol=1e-5)


def test_where_nothing_is_told_the_word_is_learned() -> None:
    logits = torch.randn(2, 3, requires_grad=True)
    log_q, one = logits.log_softmax(1), torch.tensor([1.0, 0.0])
    told = Told(torch.tensor([[0.3], [0.0]]), torch.tensor([0.7, 0.0]), one, 1 - one)
    (slope,) = torch.autograd.grad(top_loss(log_q[:, :1], log_q[:, 2], told), logits, retain_graph=True)
    (hard,) = torch.autograd.grad(-log_q[1, 2] / 2, logits, retain_graph=True)
    assert torch.allclose(slope[1], hard[1])
    nothing = torch.full((2, 3), -torch.inf)
    (slope,) = torch.autograd.grad(full_loss(logits, log_q[:, 2], nothing, torch.zeros(2)), logits, retain_graph=True)
    assert torch.allclose(slope[1], hard[1])


def test_chunks_are_held_to_the_teachers_probability() -> None:
    log_q = torch.tensor([-1.0, -2.0, -0.5, -9.0], requires_grad=True)
    chunk = torch.tensor([0, 0, 1, -1])
    assert chunk_loss(log_q, chunk, torch.tensor([-3.0, -0.5])).item() == pytest.approx(0, abs=1e-6)
    loss = chunk_loss(log_q, chunk, torch.tensor([-0.1, -0.5]))
    loss.backward()
    assert log_q.grad is not None
    assert log_q.grad[0] == log_q.grad[1] < 0
    assert log_q.grad[3] == 0
    assert chunk_loss(log_q, torch.full((4,), -1), torch.zeros(1)).item() == 0


def test_sorted_probabilities_are_compared_whatever_their_ids() -> None:
    one, other = torch.tensor([[0.7, 0.2, 0.1]]), torch.tensor([[0.0, 0.1, 0.2, 0.7]])
    assert float(uld_loss(one, other, torch.ones(1))) == pytest.approx(0, abs=1e-6)
    assert float(uld_loss(one, torch.tensor([[1.0]]), torch.ones(1))) == pytest.approx(0.6)


def test_features_are_compared_by_shape_alone() -> None:
    states = torch.randn(4, 8)
    assert float(feature_loss(states * 3 + 1, states)) == pytest.approx(0, abs=1e-4)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a toy base that has its own tokenizer."""
    folder = tmp_path_factory.mktemp("teacher")
    toy_base("llama").save_pretrained(folder / "base")
    toy_words().save_pretrained(folder / "base")
    return init_bundle(folder / "base", folder / "bundle", InitConfig(dtype="fp32"))


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("student")
    return fresh_bundle(folder / "bundle", fresh_words(ANSWERS * 5, SMALL.text_size), SMALL, name="small")


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory, teacher: Path) -> Path:
    """What the toy teacher would expect while it says the answers."""
    path, model = tmp_path_factory.mktemp("traces") / "traces.jsonl", WordModel(teacher)
    with Traces(path) as written:
        for number in range(12):
            written.append(trace_of(model, f"What happens {number}?", ANSWERS[number % 4]))
    return path


@torch.no_grad()
def trace_of(model: WordModel, prompt: str, text: str) -> Trace:
    asked, said = model.ids(prompt), model.answer(prompt, text)
    ids = torch.tensor([asked + said])
    where = torch.zeros(1, ids.shape[1] - 1, dtype=torch.bool)
    where[0, len(asked) - 1 :] = True
    log_probs = model.logits(model.seen(ids, where).final).log_softmax(1)
    told = []
    for row, token, data in zip(log_probs, said, model.pieces(said), strict=True):
        best = [(float(row[one]), one) for one in row.argsort(descending=True).tolist() if model.vocabulary[one]][:5]
        best += [(float(row[token]), token)] if token not in [one for _, one in best] else []
        told.append(SaidId(data, float(row[token]), tuple((model.vocabulary[one], p) for p, one in best)))
    return Trace(prompt, text, tuple(told), "bundle:toy")


def data(traces: Path, student: Path, **changes: object) -> DistillData:
    settings = {"traces": str(traces), "bundle": str(student), "whole": True, "batch_size": 4}
    return DistillData(**{**settings, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("soft", ["none", "top", "full", "uld"])
def test_the_objective_keeps_the_contract(traces: Path, student: Path, teacher: Path, soft: str) -> None:
    told = str(teacher) if soft in ("full", "uld") else ""
    objective = DistillObjective(data(traces, student, soft=soft, teacher=told))
    assert objective.soft == soft
    check_objective(objective)


def test_an_expert_learns_too_and_features_of_chosen_layers_are_matched(traces: Path, teacher: Path) -> None:
    same = data(traces, teacher, whole=False, teacher=str(teacher), feature_weight=0.5)
    objective = DistillObjective(same)
    assert objective.layers == (1,)
    check_objective(objective)
    parts = objective.compute_loss(objective.batch(0))
    assert parts["soft"].item() == pytest.approx(0, abs=1e-4)  # it is its own teacher
    with pytest.raises(ConfigError, match="layers 0 to 1, got 7"):
        DistillObjective(replace(same, feature_layers=(7,)))


def test_the_students_own_words_from_top_ids_cost_nothing(traces: Path, teacher: Path) -> None:
    objective = DistillObjective(data(traces, teacher, whole=False, soft="top"))
    parts = objective.compute_loss(objective.batch(0))
    assert parts["soft"].item() == pytest.approx(0, abs=1e-4)
    assert parts["chunks"].item() == pytest.approx(0, abs=1e-4)


def test_across_tokenizers_all_places_of_an_answer_are_taught(traces: Path, student: Path, teacher: Path) -> None:
    objective = DistillObjective(data(traces, student, teacher=str(teacher)))
    bucket = objective.batch(0)[0]
    assert objective.teacher is not None
    expected, told = objective.teacher.expected(bucket)
    assert torch.allclose(expected.exp().sum(1)[told > 0], torch.ones(int(told.sum())), atol=1e-4)
    assert float(told.mean()) > 0.95
    assert float(bucket["told"].mean() + bucket["other"].mean()) >= 1.0


def test_it_lowers_what_it_is_measured_by_and_goes_on_where_it_stopped(
    traces: Path, student: Path, tmp_path: Path
) -> None:
    made = []
    for folder, stops in ((tmp_path / "whole", (4,)), (tmp_path / "parts", (2, 4))):
        for steps in stops:
            objective = DistillObjective(data(traces, student))
            found = train(objective, replace(LOOP, steps=steps, schedule="constant"), folder, progress=False)
        assert found.metrics["loss"] < objective.before["loss"]
        made.append((folder / "export" / "backbone" / "model.safetensors").read_bytes())
    assert made[0] == made[1]
    bundle = with_weights(student, tmp_path / "whole" / "export" / "backbone", tmp_path / "bundle")
    assert not torch.equal(
        next(WordModel(bundle).backbone.parameters()), next(WordModel(student).backbone.parameters())
    )


def test_an_experts_folder_is_what_a_library_takes(traces: Path, teacher: Path, tmp_path: Path) -> None:
    train(DistillObjective(data(traces, teacher, whole=False, soft="none")), LOOP, tmp_path, progress=False)
    assert load_adapter(tmp_path / "export").factors
    assert json.loads((tmp_path / "export" / "card.json").read_text())["data_size"] == 12


def test_without_probabilities_the_words_alone_are_learned(
    student: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "words.jsonl"
    with Traces(path) as written:
        for number in range(4):
            talk = (Message("user", "Hello."), Message("assistant", "Yes?"), Message("user", f"{number}?"))
            written.append(Trace(talk, ANSWERS[number], finished=number > 1))
    objective = DistillObjective(data(path, student, soft="top"))
    assert objective.soft == "none"
    assert "hard labels" in caplog.text
    check_objective(objective)


def test_an_answer_that_is_too_long_is_cut(traces: Path, student: Path) -> None:
    objective = DistillObjective(data(traces, student, max_ids=16))
    assert all(bucket["ids"].shape[1] == 16 for bucket in objective.batch(0))
    check_objective(objective)


def test_a_tenth_of_the_prompts_is_kept_back() -> None:
    made = [Trace(f"prompt {number // 2}", "a") for number in range(60)]
    kept, tested = split_traces(made)
    assert len(tested) == 6  # both answers of three prompts
    assert not {one.prompt for one in kept} & {one.prompt for one in tested}
    with pytest.raises(DataError, match="1 prompts"):
        split_traces([Trace("a", "b"), Trace("c", " ")])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"temperature": 0.0}, "temperature"),
        ({"soft_weight": math.nan}, "weights"),
        ({"soft": "full"}, "bundle as teacher"),
        ({"feature_weight": 1.0}, "bundle as teacher"),
        ({"batch_size": 0}, "at least 1"),
    ],
)
def test_settings_are_checked(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        DistillData(**changes)  # type: ignore[arg-type]


def test_a_trace_that_is_damaged_is_named_by_its_line(traces: Path, student: Path, tmp_path: Path) -> None:
    lines = traces.read_text().splitlines()
    damaged = tmp_path / "damaged.jsonl"
    damaged.write_text("\n".join([*lines[:3], lines[3][:40], *lines[4:]]))
    with pytest.raises(DataError, match="line 4"):
        DistillObjective(data(damaged, student))
