"""Models that are asked in words and answer in words: by HTTP, in llama.cpp, or under our own engine."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
