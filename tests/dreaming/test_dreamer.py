"""The dreamer keeps a random model on the grammar's path and within its limits."""

from __future__ import annotations

import pytest

from reverie.dreaming.dreamer import MAX_WORDS, Dreamed, Prompt
from reverie.errors import UsageError
from reverie.nouns import Part
from reverie.tokens.vocabulary import ACT, ANS, WHAT
from reverie.worlds import make_world
from toys import toy_grammar, toy_session, toy_tokenizer


def lake_part() -> Part:
    world = make_world("FrozenLake")
    world.reset(seed=0)
    return Part("", toy_tokenizer().encode([world.render()], world.cell_px)[0])


def key(dreamed: Dreamed) -> tuple[object, ...]:
    return dreamed.document, dreamed.num_ids, dreamed.finished


@pytest.mark.parametrize("seed", range(6))
def test_a_random_model_dreams_whole_documents(seed: int) -> None:
    prefix = tuple(toy_grammar().question_ids("what happens?"))
    prompt = Prompt(prefix, (WHAT,), seed=seed, temperature=1.0, depth=2)
    dreamed = toy_session().dreamer.run([prompt])[0]
    assert dreamed.document.question == "what happens?"
    assert 1 <= len(dreamed.document.triplets) <= 2
    if dreamed.finished:
        assert dreamed.document.answer
        assert dreamed.answer_log_prob < 0
    assert dreamed.log_prob < 0


def test_rows_do_not_depend_on_the_batch() -> None:
    prefix = tuple(toy_grammar().question_ids("what happens?"))
    prompts = [Prompt(prefix, (WHAT,), seed=seed, temperature=1.0, depth=1) for seed in range(4)]
    dreamer = toy_session().dreamer
    together = dreamer.run(prompts)
    alone = [dreamer.run([prompt])[0] for prompt in prompts]
    assert [key(one) for one in together] == [key(one) for one in alone]
    assert len({str(one.document) for one in together}) > 1


def test_no_part_outgrows_its_words() -> None:
    prompt = Prompt(tuple(toy_grammar().question_ids("why?")), (ANS,))
    dreamed = toy_session().dreamer.run([prompt])[0]
    assert dreamed.finished
    assert dreamed.num_ids <= MAX_WORDS + 1


def test_a_step_is_one_pictured_result_and_its_action_is_not_judged() -> None:
    dreamer = toy_session().dreamer
    prompt = dreamer.step_prompt(dreamer.opening(lake_part()), "right", seed=3, temperature=1.0)
    dreamed = dreamer.run([prompt])[0]
    assert dreamed.finished
    (triplet,) = dreamed.document.triplets
    assert triplet.action.text == "right"
    assert triplet.result.frame is not None
    assert dreamed.words == triplet.result.text
    assert dreamed.num_ids > 0


def test_the_model_can_say_what_it_sees() -> None:
    dreamer = toy_session().dreamer
    part = lake_part()
    assert part.frame is not None
    (what,) = dreamer.put_into_words([part.frame], ["what is here?"])
    assert what.frame == part.frame


def test_a_forced_action_starts_every_dream_from_a_picture() -> None:
    dreamer = toy_session().dreamer
    prompt = Prompt(tuple(dreamer.opening(lake_part(), "is it safe?")), (ACT,), depth=1, pictured=True)
    dreamed = dreamer.run([prompt])[0]
    assert dreamed.document.triplets[0].what == lake_part()
    assert dreamed.document.triplets[0].result.frame is not None


def test_a_prefix_that_fills_the_model_is_refused() -> None:
    with pytest.raises(UsageError, match="768 positions"):
        toy_session().dreamer.run([Prompt(tuple(toy_grammar().question_ids("why " * 800)))])
