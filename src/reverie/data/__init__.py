"""Files → records that the rest of the house understands: facts and nodes, documents, collections of pictures.

In ``facts/`` read ``contract.py`` first, then ``registry.py`` and one reader, such as ``wordnet.py``; ``lines.py`` is
what all share. In ``pictures/`` read ``collection.py``, then ``prepare.py``, which makes one.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
