"""OpenAI's API over hosted models: chat, completions, responses, embeddings, pictures, and what models there are.

Read ``bodies.py`` first (what may be asked), then ``chat.py``; ``shared.py`` holds what several endpoints say alike.
Source of the shapes: the types of OpenAI's Python package, version 3.52, which are made from the API's description, and
for ``lora``, ``top_k`` and their like llama.cpp's and vLLM's servers.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
