"""Plain language modelling: what is read, what is kept for testing, and a base that experts can be trained on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from reverie.errors import ConfigError, DataError
from reverie.model import Backbone, BackboneConfig
from reverie.settings import load_settings
from reverie.tokens.grammar_files import load_grammar
from reverie.tokens.vocabulary import ASK, BOS, EOS
from reverie.training import check_objective
from reverie.training.recipes import TextRecipe
from reverie.training.text import TextData, TextObjective

PEOPLE, PLACES = ("Mary", "John", "Sandra", "Daniel"), ("kitchen", "garden", "hallway", "office", "park")
MODEL = BackboneConfig(vocab_size=0, hidden_size=32, intermediate_size=64, num_layers=2, num_heads=2, max_positions=128)


def questions(count: int = 80) -> list[str]:
    return [
        f"{PEOPLE[n % 4]} went to the {PLACES[n % 5]}. {PEOPLE[n // 4 % 4]} took {n} apples. Who is there?"
        for n in range(count)
    ]


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    rows = [json.dumps({"question": each, "answer": "never read"}) for each in questions()]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    (tmp_path / "text.txt").write_text("First Citizen: before we proceed, hear me.\n\nAll: Speak, speak.\n" * 60)
    return str(tmp_path / "rows.jsonl"), str(tmp_path / "text.txt")


def made(files: tuple[str, str], **settings: object) -> TextObjective:
    given = {"text_size": 300, "max_ids": 96, "batch_size": 8, "eval_docs": 8, "model": MODEL, **settings}
    return TextObjective(TextData(rows=(files[0],), texts=(files[1],), **given))  # type: ignore[arg-type]


def test_it_keeps_the_contract(files: tuple[str, str]) -> None:
    check_objective(made(files, echo=0.5))


def test_questions_are_read_without_their_answers(files: tuple[str, str]) -> None:
    objective = made(files)
    start = objective.grammar.vocabulary.text_start
    read = set()
    for document in [*objective.train["rows"][0], *objective.tests["rows"]]:
        assert [*document[:2], document[-1]] == [BOS, ASK, EOS]
        read.add(objective.grammar.text.decode([id_ - start for id_ in document[2:-1]]))
    assert read <= set(questions())
    assert len(read) > 70
    kept = {tuple(document) for document in objective.train["rows"][0]}
    assert not kept & {tuple(document) for document in objective.tests["rows"]}


def test_texts_are_cut_at_lines_and_kept_whole(files: tuple[str, str]) -> None:
    objective = made(files)
    words = Path(files[1]).read_text()
    pieces = objective._pieces(words, "texts")
    assert " ".join(pieces).split() == words.split()
    assert all(len(objective._document(piece)) <= 96 for piece in pieces)


def test_an_echo_says_sentences_again_and_nothing_else(files: tuple[str, str]) -> None:
    objective = made(files, echo=1.0)
    start = objective.grammar.vocabulary.text_start
    echoed = 0
    for step in range(4):
        for ids, weights in objective.batch(step):
            for row, weight in zip(ids.tolist(), weights.tolist(), strict=True):
                text = objective.grammar.text.decode([id_ - start for id_ in row if id_ >= start])
                assert sum(weight) == row.index(EOS) + 1
                if "Who is there?" in text and text not in questions():
                    asked, again = text[: text.index("Who is there?") + 13], text[text.index("Who is there?") + 13 :]
                    assert asked in questions()
                    assert all(part.strip() in asked for part in again.replace("?", ".").split(".")), again
                    echoed += 1
    assert echoed > 5


def test_what_it_exports_is_a_base(files: tuple[str, str], tmp_path: Path) -> None:
    given = [f"data.rows=[{files[0]}]", f"data.texts=[{files[1]}]", f"run_dir={tmp_path / 'run'}"]
    given += [
        "data.text_size=300",
        "data.max_ids=96",
        "data.model.vocab_size=0",
        "data.model.hidden_size=32",
        "data.model.intermediate_size=64",
    ]
    given += ["data.model.num_layers=1", "data.model.num_heads=2", "loop.steps=25", "loop.lr=1e-2"]
    given += ["loop.warmup_steps=2", "loop.tensorboard=false"]
    recipe = load_settings(TextRecipe, None, given)
    found = recipe.train(progress=False)
    assert found.metrics["rows_loss"] < 4.5 < torch.tensor(300.0).log()
    grammar = load_grammar(tmp_path / "run" / "export")
    backbone = Backbone.load(tmp_path / "run" / "export" / "backbone")
    assert backbone.config.vocab_size == grammar.vocabulary.size


def test_bad_data_is_one_line(tmp_path: Path, files: tuple[str, str]) -> None:
    with pytest.raises(ConfigError, match="name some under"):
        TextObjective(TextData())
    with pytest.raises(ConfigError, match="there is no file"):
        TextObjective(TextData(texts=(str(tmp_path / "none-*.txt"),)))
    with pytest.raises(ConfigError, match="echo"):
        TextData(echo=2.0)
    with pytest.raises(ConfigError, match="do not fit 128 positions"):
        made(files, max_ids=129)
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n" * 100)
    with pytest.raises(DataError, match="cannot be read"):
        TextObjective(TextData(texts=(str(tmp_path / "latin.txt"),)))
    (tmp_path / "short.txt").write_text("one line\n")
    with pytest.raises(DataError, match="too few"):
        TextObjective(TextData(texts=(str(tmp_path / "short.txt"),), text_size=300, model=MODEL, max_ids=96))
    (tmp_path / "rows.jsonl").write_text('{"question": "Where?"}\n')
    with pytest.raises(DataError, match="line 1"):
        TextObjective(TextData(rows=(str(tmp_path / "rows.jsonl"),)))
