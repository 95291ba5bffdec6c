"""How it is learned when an answer may be called known: questions with answers, what the model showed while it met
them, a probe on that, a threshold for a stated risk, and a report. Read ``calibration.py`` first."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
