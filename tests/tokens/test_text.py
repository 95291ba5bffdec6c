from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverie.errors import BundleError
from reverie.tokens import TextTokenizer

TOKENIZER = TextTokenizer.train(["the egg breaks on the floor"] * 3, 270)


@given(st.text())
def test_any_text_round_trips(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text


def test_frequent_words_become_single_ids() -> None:
    assert len(TOKENIZER.encode("the egg")) < len("the egg")


def test_extending_keeps_the_meaning_of_old_ids() -> None:
    tokenizer = TextTokenizer.train(["the egg breaks"], 265)
    before, size = tokenizer.encode("the egg"), tokenizer.size
    assert tokenizer.extend(["reverie"]) == 1
    assert tokenizer.size == size + 1
    assert tokenizer.encode("the egg") == before
    assert tokenizer.decode(tokenizer.encode("a reverie")) == "a reverie"


def test_save_and_load_round_trip(tmp_path: Path) -> None:
    TOKENIZER.save(tmp_path)
    assert TextTokenizer.load(tmp_path).encode("the egg") == TOKENIZER.encode("the egg")


def test_a_file_that_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no text tokenizer"):
        TextTokenizer.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(BundleError, match="is no tokenizer file"):
        TextTokenizer.load(tmp_path)
