"""From one latent seed a picture and its caption, trained on a folder of pictures.

Read ``network.py`` first, then ``generator.py``: what a trained one can do. ``objective.py`` and ``losses.py`` train
it, ``priors/`` says where latents come from, ``recipe.py`` makes a bundle of a collection.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
