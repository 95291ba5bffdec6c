"""Memory: a knowledge graph that grounds every dream.

Read ``contract.py`` first, then ``store.py`` (the truth), ``topology.py`` and ``vectors.py`` (made from it), and
``recall.py``; ``memory.py`` joins them, and is what everybody else uses.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
