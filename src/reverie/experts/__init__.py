"""Experts: LoRA adapters in PEFT's file format, kept in a library, chosen by a router that may choose nobody, and run
several weighted ones a row in one batch.

Read ``contract.py`` first (what an expert is), then ``files.py`` (its folder) and ``library.py`` (all of them),
``router.py`` (who is chosen), ``stacked.py`` and ``routed.py`` (how several run at the cost of one).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
