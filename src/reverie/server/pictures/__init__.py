"""The generator as a service: endpoints in OpenAI's, Ollama's and our own shape, and a web page beside them.

The endpoints ask one ``GenerationService``, which paints on one thread; the page asks the endpoints. Nothing here knows
how a picture is made. Read ``demo.py`` first.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
