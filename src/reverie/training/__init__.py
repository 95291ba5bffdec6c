"""One training loop, many objectives. An objective brings a module, its data, its loss and its figures; the loop
brings everything else: schedule, optimizers, precision, checkpoints that resume bit for bit, metrics and a clean
stop. Read ``loop.py`` first, then ``objective.py``; ``trained.py`` is the table of what can be trained."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
