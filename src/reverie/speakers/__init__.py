"""Models that are asked in words and answer in words: by HTTP, in llama.cpp, or under our own engine.

Read ``contract.py`` first (what a speaker is asked and answers), then ``toy.py`` (one that can do everything),
``remote.py`` (requests side by side, pieces as they come, errors), ``cutting.py`` (where an answer ends), the three
real ones (``ollama_speaker.py``, ``openai_speaker.py``, ``llama_speaker.py``), ``opening.py`` (whom a line means) and
``check.py`` (what everyone is held to).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
