from __future__ import annotations

from pathlib import Path

import pytest

from reverie.errors import BundleError
from reverie.generator.caption_tokenizer import BEGIN, END, PAD, CaptionTokenizer

CAPTIONS = ["A ship in a storm.", "The deluge.", "Œdipe — “à l’ombre” 夢"]


@pytest.fixture(scope="module")
def tokenizer() -> CaptionTokenizer:
    return CaptionTokenizer.train(CAPTIONS, 300)


@pytest.mark.parametrize("caption", [*CAPTIONS, "never met: Ж 😀", ""])
def test_any_caption_comes_back(tokenizer: CaptionTokenizer, caption: str) -> None:
    ids = tokenizer.encode(caption)
    assert (ids[0], ids[-1]) == (BEGIN, END)
    assert max(ids) < tokenizer.size <= 300
    assert tokenizer.decode(ids[1:]) == caption


def test_a_batch_is_as_long_as_its_longest_caption_and_no_longer_than_allowed(tokenizer: CaptionTokenizer) -> None:
    batch = tokenizer.batch(["a", "a " * 1000], 12)
    assert batch.shape == (2, 12)
    assert batch[1, -1] == END
    assert batch[0, -1] == PAD
    assert tokenizer.batch(["a", "b"], 12).shape[1] < 12


def test_it_is_read_back_as_it_was(tokenizer: CaptionTokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    again = CaptionTokenizer.load(tmp_path)
    assert [again.encode(caption) for caption in CAPTIONS] == [tokenizer.encode(caption) for caption in CAPTIONS]
    with pytest.raises(BundleError):
        CaptionTokenizer.load(tmp_path / "nowhere")
