"""Texts → passages, each with a name and a source. Read ``passages.py`` first."""
