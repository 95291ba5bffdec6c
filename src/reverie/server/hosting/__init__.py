"""Hosts models for any API: opens bundles when they are first asked for, runs requests side by side, lets go of them.

Read ``contract.py`` first (what is asked, what comes back), then ``hosting.py`` (the door: names, room, models, runs),
``names.py`` (``smol:causal+spatial@0.7``), ``models.py`` (a bundle at work on one thread), ``runs.py`` (from ids to
pieces) and ``room.py`` (who may run, who waits, how long).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
