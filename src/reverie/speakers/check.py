"""``check_speaker``: holds a speaker to its contract, whatever it runs on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from reverie.engine.sampling import Sampling
from reverie.errors import ConfigError, UsageError
from reverie.registry import Promises
from reverie.speakers.contract import Message, Speaker, Speech, SpeechRequest
from reverie.speakers.remote import spell

__all__ = ["check_speaker"]

Said = str | tuple[Message, ...]
_SAID = "Situation: an egg is in the hand\nAction: drop it\nResult: it breaks\n\nSituation: ice is in the sun\nAction:"
_TALK: Said = (Message("system", "You answer in short."), Message("user", "What does ice do in the sun?"))


def check_speaker(speaker: Speaker, max_ids: int = 24, tolerance: float = 0.05) -> list[str]:
    """Run every promise of the contract that ``speaker.abilities`` makes; ContractError names the first that is broken.

    Args:
        max_ids: of an answer; more are only drawn where a form needs them
        tolerance: largest difference of two log-probabilities of one text, in nats an id

    Returns: what was checked. Raises BackendError where the speaker is away.
    """
    promises, able = Promises("a speaker", speaker.name or type(speaker).__name__), speaker.abilities
    expect, said = promises.expect, _SAID if able.completes else _TALK
    talk = _TALK if able.talks else said

    def ask(request: SpeechRequest) -> Speech:
        return speaker.speak([request])[0]

    expect(
        "it has a name, room for ids and a usual sampling",
        bool(speaker.name) and speaker.max_ids > 0 and isinstance(speaker.usual, Sampling),
    )
    requests = [
        SpeechRequest(said, max_ids, Sampling(1.0), seed=1),
        SpeechRequest(talk, max_ids, Sampling(0.0), seed=2),
        SpeechRequest(said, 1, Sampling(1.0), seed=3),
    ]
    pieces: list[list[str]] = [[] for _ in requests]
    speeches = speaker.speak(requests, lambda row, piece: pieces[row].append(piece))
    expect("one answer a request", len(speeches) == len(requests))
    for speech, told in zip(speeches, pieces, strict=True):
        expect("pieces joined are the text", "".join(told) == speech.text, [told, speech.text])
        expect("no piece is empty", all(told), told)
        expect("a log-probability is at most 0", speech.log_prob is None or speech.log_prob <= 0, speech.log_prob)
    counts = [speech.num_ids for speech in speeches]
    expect("no more ids than asked for", all(n is None or n <= r.max_ids for n, r in zip(counts, requests)), counts)
    _expect_stops(ask, said, max_ids, expect)
    if able.seeds:
        again = speaker.speak(requests)
        expect("the same seed gives the same words", [one.text for one in again] == [one.text for one in speeches])
        expect("and the same alone", ask(requests[0]).text == speeches[0].text)
    if able.forms:
        _expect_forms(ask, said, min(8 * max_ids, speaker.max_ids // 2), expect)
    expect("ids are counted", 0 < speaker.count(_SAID) < speaker.count(_SAID * 2), speaker.count(_SAID))
    if able.talks:
        expect("turns are counted", speaker.count(_TALK) > 0)
    _expect_scores(speaker, speeches[0], tolerance, expect)
    if able.embeds:
        vectors = speaker.embed(["an egg breaks", "ice melts", "an egg breaks"])
        shaped = vectors.dtype == np.float32 and vectors.ndim == 2 and len(vectors) == 3
        expect("a vector a text, float32", shaped, (vectors.dtype, vectors.shape))
        near = np.allclose(vectors[0], vectors[2], atol=1e-3)
        expect(
            "equal texts have equal vectors, others have others",
            near and not np.allclose(vectors[0], vectors[1], atol=1e-3),
        )
    _expect_ids(speaker, SpeechRequest(said, max_ids, Sampling(0.0), top=min(3, able.tops or 3)), tolerance, expect)
    _expect_refusals(speaker, said, expect)
    speaker.close()
    speaker.close()
    expect("it may be closed twice", True)
    return promises.kept


def _expect_stops(
    ask: Callable[[SpeechRequest], Speech], said: Said, max_ids: int, expect: Callable[..., None]
) -> None:
    whole = ask(SpeechRequest(said, max_ids, Sampling(0.0))).text
    for letter in dict.fromkeys(whole[1:]):
        stopped = ask(SpeechRequest(said, max_ids, Sampling(0.0), stop=("never said", letter)))
        expect("a stop text is left out", letter not in stopped.text, stopped.text)
        return


def _expect_forms(ask: Callable[[SpeechRequest], Speech], said: Said, most: int, expect: Callable[..., None]) -> None:
    for seed, form in enumerate([("Result:",), (), ('He said "so":', "Then:")]):
        speech = ask(SpeechRequest(said, most, Sampling(0.7), seed, form=form))
        lines = speech.text.split("\n")
        if not speech.finished:
            continue
        expect("a form has as many lines as labels, and one more", len(lines) == len(form) + 1, speech.text)
        held = all(line.startswith(label) for line, label in zip(lines[1:], form))
        expect("a line of a form begins with its label", held, speech.text)
        words = [line.removeprefix(label) for line, label in zip(lines, ("", *form))]
        expect("a line of a form holds words", all(line.strip() for line in words), speech.text)


def _expect_scores(speaker: Speaker, speech: Speech, tolerance: float, expect: Callable[..., None]) -> None:
    pairs = [
        ("An egg falls:", " it breaks"),
        ("An egg falls:", " the sun is in the ice"),
        ("Ice in the sun:", " it melts"),
    ]
    if not speaker.abilities.scores:
        expect("without scores, a score is refused", _refuses(lambda: speaker.score(pairs)))
        return
    together = speaker.score(pairs)
    expect("a score a pair, with its ids", [one.num_ids > 0 for one in together] == [True] * 3, together)
    expect("a score is at most 0", all(one.log_prob <= 0 for one in together), together)
    alone = [speaker.score([pair])[0] for pair in pairs]
    same = all(abs(a.log_prob - b.log_prob) <= tolerance * b.num_ids for a, b in zip(alone, together))
    expect("a pair scores alone as among others", same, (alone, together))
    first, second = speaker.score([("An egg falls:", " it breaks"), ("An egg falls: it breaks", " on the floor")])
    (both,) = speaker.score([("An egg falls:", " it breaks on the floor")])
    if both.num_ids == first.num_ids + second.num_ids:  # else words are cut otherwise where they meet
        near = abs(both.log_prob - first.log_prob - second.log_prob) <= tolerance * both.num_ids
        expect("two scores one after another are the score of both", near, (first, second, both))
    if speech.log_prob is not None and speech.text and not speech.finished and speaker.abilities.completes:
        (own,) = speaker.score([(_SAID, speech.text)])
        if own.num_ids == speech.num_ids:
            near = abs(own.log_prob - speech.log_prob) <= tolerance * own.num_ids
            expect("what was said scores as it was said", near, (own, speech))


def _expect_ids(speaker: Speaker, request: SpeechRequest, tolerance: float, expect: Callable[..., None]) -> None:
    requests = [request, *(replace(request, sampling=Sampling(1.0), seed=seed) for seed in range(3))]
    speeches = speaker.speak(requests)
    if not speaker.abilities.tops:
        told = [one.top for speech in speeches for one in speech.ids]
        expect("who tells no likeliest ids tells none", not any(told), told)
        return
    for speech in speeches:
        if speech.ids or (speech.text and "\ufffd" not in speech.text):  # else it said no letters
            _expect_told(speech, request.top, expect)
    greedy = all(one.log_prob >= one.top[0][1] - tolerance for one in speeches[0].ids if one.top)
    expect("the likeliest is drawn where it is asked for", greedy, speeches[0].ids)
    quiet = speaker.speak([replace(request, top=0)])[0]
    expect("ids that nobody asked for are not told", not quiet.ids, quiet.ids)


def _expect_told(speech: Speech, top: int, expect: Callable[..., None]) -> None:
    ids, nats = speech.ids, [[value for _, value in one.top] for one in speech.ids]
    counted = 0 < len(ids) <= (speech.num_ids or 0)
    expect("an id that is told is one that was counted", counted, (len(ids), speech.num_ids))
    total = math.fsum(one.log_prob for one in ids)
    near = speech.log_prob is None or abs(total - speech.log_prob) <= 1e-3
    expect("their log-probabilities add up to that of the text", near, (total, speech.log_prob))
    expect("their bytes are the text's", "\ufffd" in speech.text or spell(ids, speech.text), (ids, speech.text))
    expect("likeliest ids are told, at most as many as asked for", any(nats) and max(map(len, nats)) <= top, nats)
    expect("the best comes first", all(row == sorted(row, reverse=True) for row in nats), nats)
    expect("no more than all is likely", all(sum(map(math.exp, row)) <= 1 + 1e-3 for row in nats), nats)


def _expect_refusals(speaker: Speaker, said: Said, expect: Callable[..., None]) -> None:
    able = speaker.abilities
    long = SpeechRequest(
        "word " * (8 * speaker.max_ids) if able.completes else (Message("user", "word " * 8 * speaker.max_ids),)
    )
    expect("what does not fit is refused", _refuses(lambda: speaker.speak([long])))
    if not able.completes:
        expect("without completions, a text is refused", _refuses(lambda: speaker.speak([SpeechRequest(_SAID, 4)])))
    if not able.talks:
        expect("without talks, one is refused", _refuses(lambda: speaker.speak([SpeechRequest(_TALK, 4)])))
    if not able.embeds:
        expect("without embeddings, they are refused", _refuses(lambda: speaker.embed(["an egg"])))
    if not able.experts:
        request = SpeechRequest(said, 4, experts=(("nobody", 1.0),))
        expect("without experts, one is refused", _refuses(lambda: speaker.speak([request])))


def _refuses(call: Callable[[], object]) -> bool:
    try:
        call()
    except UsageError as error:
        return not isinstance(error, ConfigError) and "\n" not in str(error)
    return False
