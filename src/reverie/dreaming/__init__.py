"""Dreaming: from a question to pictured futures, one of them picked, and an answer. Read ``answering.py`` first.

A ``Session`` (also called ``Reverie``) makes a ``Question`` of what is asked. Its ``Model`` prompts, the ``Dreamer``
runs the branches on the engine, evaluators score them, the ``Arbiter`` picks one, and a ``ConfidenceModel`` says
whether the question is one that was taught. ``Simulation`` and ``Plan`` are what imagining a world gives; ``strip.py``
draws dreams for people.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
