"""Networks: the backbone, a causal language model in Llama layout (``backbone.py``, read it first); attention over a
recalled subgraph (``graph_attention.py``) and a policy that walks on it (``path_policy.py``)."""

from reverie.model.backbone import Backbone, BackboneConfig

__all__ = ["Backbone", "BackboneConfig"]
