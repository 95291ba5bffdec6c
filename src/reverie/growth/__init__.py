"""Growth: from questions that a model could not answer to an expert that can, admitted by a test.

Lessons: read ``lessons.py`` first (what a lesson for a gap is, and the file that keeps them), then ``lesson_sources/``
(where they come from), ``lesson_checks.py`` (what keeps one out) and ``alike.py`` (when two say the same).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
