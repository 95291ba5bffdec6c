"""The packaged experts: chosen by the router, true by the worlds, and loaded by PEFT as they are."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

import reverie
from reverie.bundles import find_bundle, load_bundle
from reverie.cli import main
from reverie.dreaming import Reverie
from reverie.experts import base_hash
from reverie.experts.files import check_expert

NAMES = ["abstract", "causal", "spatial", "temporal"]


@cache
def nano() -> Reverie:
    return reverie.load("nano", memory=False, enable_gpt51_codex_preview=False)


@pytest.mark.parametrize(
    ("question", "scene", "expert", "answer"),
    [
        ("Why does the glass break when you drop it?", None, "causal", "The floor is hard."),
        ("What do an egg and a glass have in common?", None, "abstract", "They are fragile."),
        ("When does the elf fall into a hole if it goes right, down?", "SFF,FHF,FFG", "temporal",
         "It falls after two moves."),
        ("In which row and place is the elf after right, right?", "SFF,FHF,FFG", "spatial",
         "It is in row one, place three."),
    ],
)  # fmt: skip
def test_each_expert_is_chosen_for_its_questions_and_right(
    question: str, scene: str | None, expert: str, answer: str
) -> None:
    world = "FrozenLake" if scene else None
    told = nano().ask(question, world=world, scene=scene, branches=1)
    assert (told.text, told.known) == (answer, True)
    assert list(told.attribution.experts) == [expert]
    assert told.dreams == () or told.dreams[0].experts.keys() == {expert}


@pytest.mark.parametrize("question", ["What happens when you drop an egg?", "Does an ice cube melt?"])
def test_nobody_is_chosen_for_what_the_backbone_was_taught(question: str) -> None:
    told = nano().ask(question, branches=1)
    assert told.known
    assert not told.attribution.experts


@pytest.mark.parametrize(
    ("question", "scene", "answer"),
    [
        ("Where does a heavy stone end up when you let it fall on the table?",
         {"thing": "stone", "action": "drop", "surface": "table", "column": 6, "height": "high"},
         "It ends up on the table."),
        ("What happens to an egg if we release it from high up?",
         {"thing": "egg", "action": "let go", "surface": "floor", "column": 5, "height": "high"},
         "The egg falls and breaks."),
    ],
)  # fmt: skip
def test_an_expert_that_the_router_takes_for_a_taught_question_finds_it_unlikely_and_stays_out(
    question: str, scene: dict[str, object], answer: str
) -> None:
    told = nano().ask(question, world="Everyday", scene=scene, branches=1)
    assert (told.text, told.known, told.attribution.experts) == (answer, True, {})
    assert list(nano().ask(question, experts=("causal",), branches=1).attribution.experts) == ["causal"]


def test_without_its_expert_the_answer_is_not_known() -> None:
    assert not nano().ask("Why does the glass break when you drop it?", experts=()).known


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")  # PEFT reads it
def test_peft_loads_every_packaged_expert_and_gives_the_same_logits() -> None:
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers")
    folder, bundle = find_bundle("nano"), load_bundle("nano")
    library, ids = bundle.open_library(), [1, 5, 1400, 1500, 1600]
    assert library.names() == NAMES
    for name in NAMES:
        base = transformers.AutoModelForCausalLM.from_pretrained(folder / "backbone", dtype=torch.float32)
        with torch.no_grad():
            model = peft.PeftModel.from_pretrained(base, library.folder_of(name))
            theirs = torch.log_softmax(model(torch.tensor([ids])).logits[0], -1)[range(4), ids[1:]]
        ours = nano().engine.score(ids[:1], ids[1:], ((name, 1.0),))
        assert ours == pytest.approx(theirs.numpy(), abs=1e-4)


def test_cards_say_what_each_expert_brought() -> None:
    folder = find_bundle("nano")
    for name in NAMES:
        card, _ = check_expert(folder / "experts" / name, base_hash(folder / "backbone"))
        assert card.description
        assert card.after["answers"] > card.before["answers"] + 0.5


def test_the_command_lists_them_and_asks_one_of_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*arguments: str) -> Any:
        assert main([*arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    listed = said("experts", "list", "--library", str(tmp_path / "own"))
    assert [one["name"] for one in listed["experts"]] == NAMES
    told = said("ask", "Why does the glass break when you drop it?", "--expert", "causal", "--branches", "1")
    assert told["answer"] == "The floor is hard."
    assert told["attribution"]["experts"]["causal"]["weight"] == 1.0
