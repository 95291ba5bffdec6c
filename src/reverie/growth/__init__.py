"""Growth: from questions that a model could not answer to an expert that can, admitted by a test.

Experts: read ``design.py`` first (how large an expert is made, and why), then ``creation.py`` (how it is trained),
``trial.py`` (what it must pass), ``certificate.py`` (what is kept of that) and ``admission.py`` (in and out of the
library).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
