"""Networks: the backbone, a causal language model in Llama layout (``backbone.py``, read it first); attention over a
recalled subgraph (``graph_attention.py``) and a policy that walks on it (``path_policy.py``)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
