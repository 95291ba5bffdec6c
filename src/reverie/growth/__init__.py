"""Growth: from questions that a model could not answer to an expert that can, admitted by a test.

Gaps: ``gaps.py`` tells apart what the gap log (``memory/attempts.py``) holds. Lessons: read ``contract.py`` first (what
a lesson, a source and a check are), then ``lessons.py``. Experts: ``design.py`` (how large an expert is made, and why),
``creation.py`` (how it is trained), ``trial.py`` (what it must pass), ``certificate.py`` (what is kept of that) and
``admission.py`` (in and out of the library). ``pipeline.py`` is all of it, in one call.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
