"""Runs a base: many branches in shared steps over cached prefixes, masked by a grammar, each with its own seed.

Read ``engine.py`` first (requests in, ids out), then ``scheduler.py`` (who runs beside whom, who is done),
``contract.py`` (what a decoder does for a step), ``packed.py`` (the decoder of bases in Llama layout, our own among
them), ``transformers_decoder.py`` (that of any other base), ``sampling.py`` (from logits to an id), ``worker.py`` (one
thread that many share) and ``slow.py`` (the slow plain path, which tests hold the fast one to).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
