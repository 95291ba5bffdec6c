"""Words ↔ ids: a byte-level BPE, trained and run by the ``tokenizers`` library."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from reverie.errors import BundleError, UsageError
from reverie.files import atomic_write_text

__all__ = ["BaseTokenizer", "TextTokenizer"]


class TextTokenizer:
    """Byte-level BPE in GPT-2's layout. Any text round-trips; ids run from 0 to ``size - 1``.

    Special tokens are not its business: they belong to the grammar and live in the ``Vocabulary``.
    """

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer

    @classmethod
    def train(cls, texts: Iterable[str], size: int = 752) -> TextTokenizer:
        """Learn at most ``size`` (>= 256: the bytes) tokens from ``texts``."""
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
        tokenizer.train_from_iterator((" " + text for text in texts), trainer)
        return cls(tokenizer)

    @property
    def library(self) -> Tokenizer:
        """The tokenizer that does the work."""
        return self._tokenizer

    @property
    def size(self) -> int:
        return self._tokenizer.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(" " + text).ids if text else []  # a word reads the same wherever it stands

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ``ids``, without the space that every text starts with. Broken UTF-8 becomes U+FFFD."""
        return self._tokenizer.decode(list(ids)).removeprefix(" ")

    def extend(self, words: Sequence[str]) -> int:
        """Add whole words to the vocabulary; returns how many were new. Old ids keep their meaning."""
        return self._tokenizer.add_tokens(list(words))

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        atomic_write_text(folder / "tokenizer.json", self._tokenizer.to_str())

    @classmethod
    def load(cls, folder: Path) -> TextTokenizer:
        path = folder / "tokenizer.json"
        try:
            return cls(Tokenizer.from_str(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise BundleError(f"no text tokenizer at {path}: {error.strerror}") from error
        except Exception as error:  # the library raises bare Exception on malformed files
            raise BundleError(f"{path} is no tokenizer file: {error}") from error


class BaseTokenizer(TextTokenizer):
    """The tokenizer of a base made elsewhere, as it is: nothing is put before a text, and no special token is added.

    ``size``: ids that the base has for text, which may be more than its tokenizer uses; the rest decode to nothing.
    """

    def __init__(self, tokenizer: Tokenizer, size: int):
        super().__init__(tokenizer)
        self._size = size

    @property
    def size(self) -> int:
        return self._size

    def encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False).ids if text else []

    def decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(list(ids))

    def extend(self, words: Sequence[str]) -> int:
        raise UsageError("the tokenizer of a base made elsewhere stays as it is: it cannot be extended")

    @classmethod
    def read(cls, folder: Path, size: int) -> BaseTokenizer:
        """Read ``tokenizer.json``. Raises BundleError when it is missing, damaged, or knows more than ``size`` ids."""
        tokenizer = TextTokenizer.load(folder)._tokenizer
        if max(tokenizer.get_vocab().values(), default=0) >= size:
            raise BundleError(f"the tokenizer in {folder} knows ids from {size} on, which its base has not for text")
        return cls(tokenizer, size)
