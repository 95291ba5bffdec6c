"""Models that are asked so that another may learn from what they say: asked once, kept, replayed.

Read ``contract.py`` first (what a teacher is asked and answers), then ``traces.py`` (what is kept of a reply, as JSON
lines).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
