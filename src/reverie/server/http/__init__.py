"""What any API of ours needs: who may come in, what a body may hold, how errors look, one thread for the heavy work.

Nothing here knows what is served. Read ``app.py`` first; ``guard.py`` is the door, ``serve.py`` listens.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
