"""Memory: a knowledge graph that grounds every dream.

Read ``contract.py`` first, then ``store.py`` (the truth), ``topology.py`` and ``vectors.py`` (made from it), and
``recall.py``.
"""
