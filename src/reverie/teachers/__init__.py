"""Models that are asked so that another may learn from what they say: asked once, kept, replayed.

Read ``contract.py`` first (what a teacher is asked and answers), then ``traces.py`` (what is kept of a reply, as JSON
lines), ``speaker_teacher.py`` (a teacher over any speaker) with ``asking.py`` (several at a time, again where no answer
came, within a budget), ``replies.py`` (what was paid for) and ``cleaning.py`` (what is no lesson), ``file_teacher.py``
(one that was asked before), ``opening.py`` (whom a line means), ``mining.py`` (facts out of what was said) and
``check.py`` (what everyone is held to).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
