"""From one latent seed a picture and its caption, trained on a folder of pictures.

Read ``network.py`` first, then ``generator.py``: what a trained one can do. ``objective.py`` and ``losses.py`` train
it, ``priors/`` says where latents come from, ``recipe.py`` makes a bundle of a collection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reverie.generator.generator import Generator, Sample, toy_generator

__all__ = ["Generator", "Sample", "toy_generator"]


def __getattr__(name: str) -> Any:
    """Load what needs torch on first use."""
    if name in __all__:
        from reverie.generator import generator

        return getattr(generator, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
