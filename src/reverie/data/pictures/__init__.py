"""Pictures from files, and folders of them as collections.

Read ``images.py`` first, which opens one, then ``collection.py``, and ``prepare.py``, which makes a collection.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
