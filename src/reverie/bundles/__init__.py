"""Bundles: a whole model in one folder, checked file by file when it is loaded. Read ``bundle.py`` first.

``load("nano")`` gives a session with the packaged model; the folders beside this file that hold a ``manifest.json`` are
the packaged bundles. ``make.py`` turns what training exports into a bundle.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
