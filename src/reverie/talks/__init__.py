"""What was said in talks, kept on this machine: to go on with, to search, and to learn from what people said of it.

Read ``log.py`` first: it is all there is.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
