"""Learning from a stream of lessons while a model is in use: memory at once, weights in small safe steps, on an expert.

Read ``learner.py`` first (what becomes of a lesson), then ``items.py`` (what a lesson is), ``streams.py`` (where they
come from), ``notebook.py`` (what is kept of each), ``guard.py`` (what must not be forgotten) and ``steps.py`` (a step
of an expert's weights, which is taken whole or not at all).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
