"""Pictures and words ↔ ids of one vocabulary. Read ``grammar.py`` first: it says what a document is.

``ImageTokenizer`` turns pictures into frames of FSQ codes, ``TextTokenizer`` words into byte-level BPE ids,
``Vocabulary`` lays both out as ranges of ids, and ``Grammar`` writes and reads documents of triplets. ``IdMap`` turns
the grammar's ids into those of a base made elsewhere.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
