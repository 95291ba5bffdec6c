"""Networks. So far one: the backbone, a causal language model in Llama layout. Read ``backbone.py`` first."""

from reverie.model.backbone import Backbone, BackboneConfig

__all__ = ["Backbone", "BackboneConfig"]
