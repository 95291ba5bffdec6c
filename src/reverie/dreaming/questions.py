"""Questions as the model knows them: see ``tokens/questions.py``, since training documents hold them, too."""

from __future__ import annotations

from reverie.tokens.questions import MAX_CHARS, clean_question

__all__ = ["MAX_CHARS", "clean_question"]
