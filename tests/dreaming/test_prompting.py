"""Every bundle has one prompter, which turns a question into the ids that its dreams start from."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from bases import save_base
from reverie.bundles import load_bundle
from reverie.bundles.init import InitConfig, init_bundle
from reverie.bundles.loading import Bundle
from reverie.dreaming import DreamSettings, Question
from reverie.dreaming.prompting import ChatPrompter, GrammarPrompter, PromptStyle
from reverie.errors import UsageError
from reverie.tokens.vocabulary import ACT, ANS, EOS, WHAT
from toys import toy_session

EGG = "What happens when you drop an egg?"


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A base with a chat template."""
    home = tmp_path_factory.mktemp("chat")
    return load_bundle(init_bundle(save_base(home / "base", chat=True), home / "bundle", InitConfig(dtype="fp32")))


def said(bundle: Bundle, ids: Sequence[int]) -> str:
    start = bundle.grammar.vocabulary.text_start
    return bundle.grammar.text.decode([token - start for token in ids])


@pytest.mark.parametrize(
    ("style", "asked", "answered"),
    [
        ("chat", "<user>What falls?<assistant>", "The ball."),
        ("question", "Question: What falls?\nAnswer:", " The ball."),
        ("plain", "What falls?", " The ball."),
    ],
)
def test_a_base_is_taught_as_it_is_asked(chat: Bundle, style: PromptStyle, asked: str, answered: str) -> None:
    assert chat.words is not None
    prompter = ChatPrompter(chat.words, chat.grammar, style)
    assert said(chat, prompter.ids("  What falls? ")) == asked
    *ids, end = prompter.answer_ids("What falls?", " The ball. ")
    assert said(chat, ids) == answered
    assert end - chat.grammar.vocabulary.text_start in chat.words.ends
    assert isinstance(chat.prompter, ChatPrompter)
    assert chat.prompter.style == "chat"


def test_a_question_names_no_special_token(chat: Bundle) -> None:
    end = chat.grammar.vocabulary.text_start + next(iter(chat.words.ends if chat.words else ()))
    assert end not in chat.prompter.ids("What is <|end|>?")


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
