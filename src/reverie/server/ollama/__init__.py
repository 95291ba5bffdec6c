"""Ollama's API over hosted models: chat, generate, embed, and what models there are; models made, copied and deleted.

Read ``bodies.py`` first (what may be asked), then ``talking.py``. Source of the shapes: Ollama's ``docs/openapi.yaml``
and ``api/types.go`` of August 2026, and the types of its Python package, version 0.6.3.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
