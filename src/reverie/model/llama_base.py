"""A base in Llama layout as it lies on the disk, read without transformers, whose import alone takes seconds.

It holds no weights: they are mapped from the files, and whoever computes with them takes them over one by one. To
train one, or to look into it, load it as a ``TransformersBackbone``.
"""

from __future__ import annotations

from collections.abc import Mapping
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

    def __init__(self, config: LlamaLayout, num_grammar: int, files: Mapping[str, Any], where: Path):
        if not 0 <= num_grammar < config.vocab_size:
            raise BundleError(
                f"the base in {where} is damaged: {config.vocab_size} ids leave no room for {num_grammar} more"
            )
        self.config, self._files, self._where = config, files, where
        self.ids = IdMap(config.vocab_size - num_grammar, num_grammar)

    @classmethod
    def find(cls, folder: Path, num_grammar: int) -> LlamaBase | None:
        """The base in ``folder``; None where it is of another layout.

        Raises BundleError where weights are missing, misshapen or cannot be read; their values are not looked at.
        """
        layout = find_layout(read_object(folder / "config.json", BundleError, "the base's config"))
        if layout is None:
            return None
        said = f"the base in {folder} is damaged"
        if not 0 <= num_grammar < layout.vocab_size:
            raise BundleError(f"{said}: of its {layout.vocab_size} ids {num_grammar} would be the grammar's")
        files = _open(folder)
        for name, shape in layout.shapes.items():
            if name not in files:
                raise BundleError(f"{said}: {name} is missing")
            found = files[name].get_slice(name)
            if tuple(found.get_shape()) != shape or not found.get_dtype().startswith(("F", "BF")):
                given, wanted = found.get_shape(), list(shape)
                raise BundleError(f"{said}: {name} is {found.get_dtype()} of {given}, not numbers of {wanted}")
        return cls(layout, num_grammar, files, folder)

    def tensor(self, name: str) -> Tensor:
        """As it was saved, not to be changed. Raises BundleError where values are not finite."""
        tensor: Tensor = self._files[name].get_tensor(name)
        if not tensor.sum().isfinite() and not tensor.isfinite().all():  # the sum is the cheaper look
            raise BundleError(f"the base in {self._where} is damaged: {name} holds values that are not finite")
        return tensor


def _open(folder: Path) -> dict[str, Any]:
    """The open file that holds each tensor."""
    from safetensors import SafetensorError, safe_open

    found: dict[str, Any] = {}
    try:
        for path in sorted(folder.glob("*.safetensors")):
            file: Any = safe_open(path, framework="pt")
            found |= dict.fromkeys(file.keys(), file)
    except (OSError, SafetensorError) as error:
        raise BundleError(f"the base in {folder} is damaged or cannot be loaded: {shorten(str(error), 200)}") from error
    return found
