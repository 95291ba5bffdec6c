"""A label-free measure of missing knowledge: how far answers move when what is written of them is put beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from reverie.speakers.contract import Speaker, SpeechRequest

__all__ = ["missing_knowledge"]

_MOST_IDS = 16  # of an answer


def missing_knowledge(speaker: Speaker, questions: Sequence[str], written: Callable[[str], str]) -> float | None:
    """How much likelier, in nats an id and as a mean over ``questions``, what the speaker says with the words beside it
    is than without them. Near 0: it knew, or the words do not matter; None where nothing is written of any question, or
    the speaker does not score.

    Args:
        written: what memory or a document holds on a question, "" for nothing
    """
    if not speaker.abilities.scores:
        return None
    found = [(question, words) for question in questions if (words := written(question))]
    if not found:
        return None
    prompts = [f"{words}\nQuestion: {question}\nAnswer:" for question, words in found]
    said = [one.text for one in speaker.speak([SpeechRequest(prompt, _MOST_IDS, stop=("\n",)) for prompt in prompts])]
    pairs = [(prompt, question, text) for prompt, (question, _), text in zip(prompts, found, said, strict=True) if text]
    if not pairs:
        return None
    told = speaker.score([(prompt, text) for prompt, _, text in pairs])
    alone = speaker.score([(f"Question: {question}\nAnswer:", text) for _, question, text in pairs])
    moved = [(one.log_prob - other.log_prob) / max(one.num_ids, 1) for one, other in zip(told, alone, strict=True)]
    return sum(moved) / len(moved)
