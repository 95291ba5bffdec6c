"""Experts: LoRA adapters in PEFT's file format, kept in a library, chosen by a router that may choose nobody, and run
several weighted ones a row in one batch.

Read ``contract.py`` first (what an expert is), then ``files.py`` (its folder).
"""
