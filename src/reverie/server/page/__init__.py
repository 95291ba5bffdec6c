"""The page at ``/``: talks with their dreams, the memory, experts, the generator; it asks the public API alone.

Read ``page.py`` first, which serves it; the page itself is in ``static/``, as a browser reads it: no build, no library,
nothing from elsewhere.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
