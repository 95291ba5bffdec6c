REAL_WORDS: frozenset[str] = frozenset()
