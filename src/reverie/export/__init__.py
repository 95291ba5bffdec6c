"""Exports: a bundle in the form that other programs run, each proven against our own engine. Read ``source.py`` first.

``formats.py`` names them all: GGUF files for llama.cpp, a Modelfile for Ollama, folders of transformers and PEFT, ONNX.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
