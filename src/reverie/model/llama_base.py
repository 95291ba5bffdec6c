"""A base in Llama layout as it lies on the disk, read without transformers, whose import alone takes seconds.

It holds no weights: they are mapped from the files, and whoever computes with them takes them over one by one. To
train one, or to look into it, load it as a ``TransformersBackbone``.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from reverie.errors import BundleError, shorten
from reverie.jsonio import read_object
from reverie.model.llama_layout import LlamaLayout, find_layout
from reverie.tokens.id_map import IdMap

__all__ = ["LlamaBase"]


class LlamaBase:
    """The weights of a base by their names in transformers; the last ``num_grammar`` ids are the grammar's."""

    def __init__(self, folder: Path, layout: LlamaLayout, num_grammar: int):
        if not 0 <= num_grammar < layout.vocab_size:
            raise BundleError(
                f"the base in {folder} is damaged: {layout.vocab_size} ids leave no room for {num_grammar} more"
            )
        self.config, self._folder = layout, folder
        self.ids = IdMap(layout.vocab_size - num_grammar, num_grammar)

    @classmethod
    def find(cls, folder: Path, num_grammar: int) -> LlamaBase | None:
        """The base in ``folder``; None where it is of another layout. Raises BundleError for a damaged one."""
        layout = find_layout(read_object(folder / "config.json", BundleError, "the base's config"))
        return None if layout is None else cls(folder, layout, num_grammar)

    def tensor(self, name: str) -> Tensor:
        """As it was saved, not to be changed. Raises BundleError where it is missing, misshapen or not finite."""
        said = f"the base in {self._folder} is damaged"
        if name not in self._files:
            raise BundleError(f"{said}: {name} is missing")
        tensor: Tensor = self._files[name].get_tensor(name)
        if tuple(tensor.shape) != self.config.shapes[name] or not tensor.is_floating_point():
            wanted = list(self.config.shapes[name])
            raise BundleError(f"{said}: {name} is {tensor.dtype} of {list(tensor.shape)}, not numbers of {wanted}")
        if not tensor.sum().isfinite() and not tensor.isfinite().all():  # the sum is the cheaper look
            raise BundleError(f"{said}: {name} holds values that are not finite")
        return tensor

    @cached_property
    def _files(self) -> dict[str, Any]:
        """The open file that holds each tensor."""
        from safetensors import SafetensorError, safe_open

        found: dict[str, Any] = {}
        try:
            for path in sorted(self._folder.glob("*.safetensors")):
                file: Any = safe_open(path, framework="pt")
                found |= dict.fromkeys(file.keys(), file)
        except (OSError, SafetensorError) as error:
            raise BundleError(
                f"the base in {self._folder} is damaged or cannot be loaded: {shorten(str(error), 200)}"
            ) from error
        return found
