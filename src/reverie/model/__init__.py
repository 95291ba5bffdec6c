"""Networks. Read ``backbone.py`` first: the backbone, a causal language model in Llama layout.

``transformers_base.py`` is a base made elsewhere, ``quantized.py`` its linears in 8 or 4 bits; ``llama_layout.py`` says
which of them the engine runs itself, and ``llama_base.py`` reads those without transformers; ``graph_attention.py``
attends over a recalled subgraph; ``vision.py``, ``encoders.py``, ``mixture.py`` and ``orchestrator.py`` join what is
seen, remembered and asked into one state.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
