"""Every bundle has one prompter, which turns a question into the ids that its dreams start from."""

from __future__ import annotations

import pytest

from bases import save_base
from reverie.bundles import load_bundle
from reverie.bundles.init import InitConfig, init_bundle
from reverie.bundles.loading import Bundle
from reverie.dreaming import DreamSettings, Question
from reverie.dreaming.prompting import ChatPrompter, GrammarPrompter
from reverie.dreaming.question import Turn
from reverie.errors import UsageError
from reverie.tokens.vocabulary import ACT, ANS, EOS, WHAT
from toys import toy_session

EGG = "What happens when you drop an egg?"


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A base with a chat template."""
    home = tmp_path_factory.mktemp("chat")
    return load_bundle(init_bundle(save_base(home / "base", chat=True), home / "bundle", InitConfig(dtype="fp32")))


def said(bundle: Bundle, question: Question) -> str:
    (prompted,) = bundle.prompter.prompt(bundle.open(), [question], 0)
    start = bundle.grammar.vocabulary.text_start
    return bundle.grammar.text.decode([token - start for token in prompted.prefix])


def test_a_chat_template_tells_what_was_said_before(chat: Bundle) -> None:
    assert said(chat, Question("What falls?")) == "<user>What falls?<assistant>"
    told = (Turn("What rolls?", "The ball."),)
    assert (
        said(chat, Question("And then?", history=told))
        == "<user>What rolls?<assistant>The ball.<user>And then?<assistant>"
    )


def test_what_is_shown_to_a_base_goes_by_the_grammar(chat: Bundle) -> None:
    model = chat.open()
    questions = [Question("What falls?"), Question(EGG, world="FrozenLake", scene="SFF,FHF,FFG")]
    spoken, shown = model.prompter.prompt(model, questions, 0)
    assert isinstance(model.prompter, ChatPrompter)
    assert spoken.voice is not None
    assert shown.voice is None
    assert spoken.asked == "What falls?"
    assert shown.asked == EGG.lower()


def test_a_question_of_the_grammar_says_how_its_dreams_begin() -> None:
    model = toy_session().model
    asked = [Question(EGG), Question(EGG, world="FrozenLake", scene="SFF,FHF,FFG")]
    plain, shown = model.prompter.prompt(model, asked, 0)
    assert isinstance(model.prompter, GrammarPrompter)
    assert plain.prefix == plain.ids == model.prompter.ids(EGG.lower())
    assert plain.forced in {(WHAT,), (ANS,)}
    assert plain.embedding.shape == (model.engine.decoder.hidden_size,)
    assert shown.prefix[: len(shown.ids)] == plain.ids
    assert shown.forced == (ACT,)
    assert model.prompter.answer_ids(EGG, "It breaks.")[-1] == EOS
    rows = plain.rows(DreamSettings(branches=2, temperature=1.0, seed=3))
    assert [(row.seed, row.temperature, row.script) for row in rows] == [
        (3000, 0.0, plain.forced),
        (3001, 1.0, plain.forced),
    ]
    assert [row.script for row in plain.rows(DreamSettings(branches=0))] == [(ANS,)]
    with pytest.raises(UsageError, match="at least 1 branch"):
        shown.rows(DreamSettings(branches=0))


def test_an_answer_begins_where_the_prompter_says(chat: Bundle) -> None:
    import torch

    ids, judged = torch.tensor([[1, 2, ANS, 7, EOS]]), torch.tensor([[False, True, True, True]])
    assert toy_session().model.prompter.answered(ids, judged).tolist() == [[False, False, True, True]]
    assert chat.prompter.answered(ids, judged) is judged
