"""What Reverie alone has, below ``/v1/reverie``: questions with their dreams and evidence, the memory, feedback.

Read ``routes.py`` first; ``asking.py`` asks and tells, ``remembering.py`` is the memory, ``talks.py`` what was said,
``jobs.py`` work that takes a while, ``bodies.py`` what may be sent.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
