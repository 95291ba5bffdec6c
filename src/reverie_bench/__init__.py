"""Benchmarks: figures beside trivial baselines and what others published. Read ``contract.py`` first.

A benchmark takes ``BenchConfig`` and gives ``Findings``; ``run_benchmark`` makes the ``Report`` of them. What they
count with is in ``figures.py``, what reads their files in ``rows.py``; every other file is one benchmark, or a part of
one that its name begins with. The product never imports this package; ``reverie bench`` does when it runs.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
