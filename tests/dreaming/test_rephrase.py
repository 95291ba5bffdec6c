"""Free phrasings: what is understood of them, what is asked instead, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import reverie
from reverie.dreaming import Session
from reverie.dreaming.english import mended, stem, words_of
from reverie.dreaming.parsing import Parser
from reverie.dreaming.question import Question as Put
from reverie.dreaming.rephrase import Rephrased, answer_rephrased, rephrase
from reverie.errors import ConfigError
from reverie.nouns import Answer
from reverie.worlds import make_world, record_episode
from reverie.worlds.contract import Question
from reverie.worlds.everyday import Scene
from reverie.worlds.everyday.compare import compare_question
from reverie.worlds.everyday.why import why_question
from reverie.worlds.phrasebook import Asking, Bindings, read_phrasebook

WORLDS = ("FrozenLake", "Everyday")


@pytest.fixture(scope="module")
def nano() -> Session:
    return reverie.load("nano", memory=False)


@pytest.mark.parametrize(
    ("question", "taught"),
    [
        ("my son has dropped a plate, what happened?", "what happens when you drop a plate?"),
        ("mom was cooking and a glass slid out of her hand. what came of it?", "what happens when you drop a glass?"),
        ("Kindly inform me what happens, were one to drop a plate.", "what happens when you drop a plate?"),
        ("omg i just droped my egg, is it brokn", "will an egg break if you drop it?"),
        ("Butter + heat = ?", "what happens when you heat a piece of butter?"),
        ("Butter was put in a hot pan, is it still solid?", "what happens when you heat a piece of butter?"),
        ("Is the egg still ok after falling on the floor?", "is an egg still whole when you drop it?"),
        ("A glass on a table is pushed over the edge. Is it broken?", "will a glass break if you push it off a table?"),
        ("Are a plate and a glass both fragile?", "is a plate fragile?"),
        ("They say a dropped spoon never breaks. Is that so?", "will a metal spoon break if you drop it?"),
        ("How come wood doesn't sink?", "why does a wooden block not sink when you drop it in water?"),
        ("Let a stone go over sand, where is it?", "where does a stone end up when you let go of it over sand?"),
        ("Would a falling glass survive on a cushion?", "is a glass still whole when you drop it on a pillow?"),
        ("Could a cup break if I nudge it off the desk?", "will a cup of water break if you push it off a table?"),
        ("wat hapens wen u heeat a candel", "what happens when you heat a candle?"),
        ("Once released, does a balloon fly off?", "will a balloon rise if you let go of it?"),
        ("Paper was set alight. What is it like?", "what does a sheet of paper look like when you light it?"),
        ("Milk in the freezer: what do I get?", "what happens when you cool a bottle of milk?"),
        ("Is an egg breakable?", "is an egg fragile?"),
        ("Does a feather weigh less than a book?", "is a book heavier than a feather?"),
        ("Does it sink if I put an apple in a bucket of water?", "will an apple sink if you drop it in water?"),
        ("I stack a book on the ball. Will it fall off?", "will a book fall off if you stack it on a ball?"),
        ("An egg fell on the ground and shattered. Why?", "why does an egg break when you drop it?"),
    ],
)  # fmt: skip
def test_what_is_asked_instead(question: str, taught: str) -> None:
    found = rephrase(question, WORLDS)
    assert found.text == taught
    assert found.closed
    assert not found.left_over


@pytest.mark.parametrize(
    ("question", "left"),
    [
        ("What happens when you drop an egg under water in a diving bell?", "bell"),
        ("What happens when you drop a tin of paint?", "tin"),
        ("Does a wooden spoon break when you drop it?", "wooden"),
        ("What happens if you throw a ball to your sister?", "sister"),
        ("Does the floor break when you drop a stone on it?", "floor"),
        ("Will you break if you drop an egg?", "you"),
        ("Qu'arrive-t-il si on laisse tomber un verre ?", "verre"),
        ("Who pushed the glass off the table?", "who"),
        ("What happens if you do not drop the egg?", "not"),
        ("Does a plane break when you drop it?", "plane"),
    ],
)
def test_what_no_rewriting_would_keep_is_named(question: str, left: str) -> None:
    found = rephrase(question, WORLDS)
    assert not found.found
    assert left in found.left_over
    assert left in found.reason


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ("What happens if you walk up, then left?", "FrozenLake"),
        ("Is a stone heavier than a stone?", "with itself"),
        ("Is a glass heavier than a drinking glass?", "with itself"),
        ("What happens when you put a plate on a candle?", "was taught to be put on"),
        ("Can I drop the egg?", "what is asked"),
        ("Why do you drop the egg?", "explained"),
        ("What about the egg?", "what is done"),
        ("What happens when you push the glass off?", "falls off"),
        ("What happens if you heat a candle in water?", "water"),
        ("What happens if you drop it?", "no thing"),
        ("What happens when you drop two eggs?", "two eggs"),
        ("Does a frozen egg break?", "apart"),
        ("Does a plate break if you sneeze?", "what is done"),
        ("Will he break if he drops an egg?", "he"),
        ("Why is the egg broken?", "what is done"),
        ("What happens when you drop your glasses?", "eyeglasses"),
        ("Which of these is fragile: an egg or an egg?", "with itself"),
        ("Is a soap bubble round?", "not asked of"),
        ("What happens when you drop an egg on a book?", "apart"),
    ],
)
def test_what_cannot_be_asked_says_why(question: str, reason: str) -> None:
    found = rephrase(question, WORLDS)
    assert not found.found
    assert reason in found.reason


def test_every_taught_question_is_read_as_it_was_meant() -> None:
    world, rng = make_world("Everyday"), np.random.default_rng(5)
    asked = list[Question]()
    while len(asked) < 150:
        options = world.sample_options(rng)
        asked += world.narrator.questions(record_episode(world, options), rng)
        asked += [one for one in (why_question(Scene.of(options), rng), compare_question(rng)) if one]
    for question in asked:
        found = rephrase(question.text, WORLDS)
        assert found.named is not None, question.text
        for key in ("thing", "action", "support"):
            if question.meta.get(key):
                assert found.named[key] == question.meta[key], question.text
        if "surface" in question.meta:
            assert found.named.get("surface", "floor") == question.meta["surface"], question.text


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("My aunt let a plate slip. What then?", "The plate falls and breaks."),
        ("Will the egg still be in one piece if it lands on a cushion?", "Yes, the egg stays whole."),
        ("What's heavier, a stone or a feather?", "The stone."),
        ("What do a plate and a stone share?", "Nothing that I know of."),
        ("Which of these can burn: a stone, a glass or a plate?", "None of them."),
        ("Does an apple sink?", "No, an apple floats."),
        ("Will a stone float or sink when thrown in water?", "The stone sinks in the water."),
        ("A stone slid off the table. Where is it?", "It ends up on the floor."),
        ("Does a slice of bread get toasted over a flame?", "Yes, the bread turns into toast."),
        ("Why does a book bounce if I drop it?", "It does not bounce: the book lands on the floor."),
        ("Why doesn't chocolate melt in a hot pan?", "That is not so, it does melt: the chocolate melts."),
    ],
)  # fmt: skip
def test_what_nano_answers(nano: Session, question: str, answer: str) -> None:
    told = nano.ask(question, branches=2)
    assert told.text == answer
    assert told.known


def test_what_is_not_understood_is_not_known(nano: Session) -> None:
    told = nano.ask_many(
        [
            "What is the capital of Peru?",
            "What happens when you drop a dinosaur egg?",
            "Is an egg heavier than an egg?",
        ],
        branches=2,
    )
    assert not any(one.known for one in told)
    assert "'capital'" in told[0].text
    assert "'dinosaur'" in told[1].text
    assert (told[0].guess, told[1].guess) == ("", "The egg falls and breaks.")
    assert "with itself" in told[2].text


def test_what_was_so_before_is_not_denied_for_being_left_alone(nano: Session) -> None:
    for question in ("What becomes of a candle that burns all night?", "What happens to a ball that bounces all day?"):
        answer = nano.ask(question, branches=1)
        assert not answer.known
        assert answer.text == "I don't know this yet: what it dreams does not fit the question."


def test_worlds_without_a_phrasebook_are_not_closed() -> None:
    found = rephrase("What happens?", ())
    assert not found.closed
    assert "phrasebook" in found.reason


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("What's up? It doesn't!", "what is up it does not"),
        ("won't wouldn't can't", "will not would not can not"),
        ("drop it → into water", "drop it in to water"),
        ("2+2", "2 + 2"),
    ],
)
def test_words_as_people_write_them(written: str, words: str) -> None:
    assert words_of(written) == words.split()


def test_misspellings_are_mended_towards_known_words_alone() -> None:
    known = ["plate", "balloon", "drop"]
    assert mended("plaet", known) == stem("plate")
    assert mended("ballon", known) == stem("balloon")
    assert mended("plane", known) == stem("plane")  # a word of its own
    assert mended("cort", ["cart", "core"]) == stem("cort")  # either may be meant
    assert mended("dorp", ["drop", "dorm"]) == "drop"  # letters swapped are likelier than a wrong one
    assert mended("bok", ["book", "sock"]) == "book"


TOY = """
# a kettle
@slot thing thing
kettle = kettle; tea pot
@macros
x = (the {thing}|it)
lead = [if]
tail = [now]
conj = (if)
agent = (you|i)
mod = (will)
@pieces form=happens
what happen
@done action=boil
boil <x>
@adverbs
just
"""


def toy(named: Bindings) -> Asking | str:
    return Asking(((f"{named['action']} {named['thing']}?",),)) if "thing" in named else "nothing named"


def test_a_phrasebook_is_read_from_a_text() -> None:
    parser = Parser(read_phrasebook(TOY, toy))
    [reading, *_] = parser.read(words_of("What happens if the tea pot is just boiled?"))
    assert reading.named == {"thing": "kettle", "action": "boil", "form": "happens"}
    assert parser.left_over(words_of("What happens if the kettle is painted?")) == (
        "if",
        "the",
        "kettle",
        "is",
        "painted",
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("@nonsense\na", "@nonsense"),
        ("@slot thing thing\nkettle", "name = words"),
        ("@slot thing\nkettle = pot", "binds nothing"),
        ("@slot kettle thing like pot", "like what stands nowhere"),
        ("@slot thing thing\nkettle = pot\n@slot pan thing like thing pan", "like what stands nowhere"),
        ("@pieces\nwhat (happen", "bracket"),
        ("@pieces\nwhat {thing}", "{thing}"),
    ],
)
def test_a_damaged_phrasebook_says_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said.replace("{", r"\{")):
        Parser(read_phrasebook(text, toy))


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (["It falls.", "It falls.", "It flies."], "It falls."),
        (["It flies.", "It falls.", "It falls."], "It falls."),
        ([None, "It falls.", "It falls."], "It falls."),
        (["It flies.", "It falls.", "It sings."], None),
        (["It flies.", "It falls.", None], None),
        ([None, None, None], None),
    ],
)
def test_of_three_wordings_two_are_answered_alike(answers: list[str | None], said: str | None) -> None:
    asked: list[str] = []

    def ask(some: object) -> list[Answer]:
        texts = [one.text for one in some]  # type: ignore[attr-defined]
        asked.extend(texts)
        heard = [answers[int(text)] for text in texts]
        return [Answer(one or "?", one is not None, 0.9 if one else 0.1, "local") for one in heard]

    meant = Rephrased("what?", "Everyday", {}, Asking((("0", "1", "2"),)))
    (answer,) = answer_rephrased(ask, [(Put("what?"), meant)])
    assert answer.known == (said is not None)
    assert said is None or answer.text == said
    assert len(asked) == len(set(asked)) == (2 if answers[0] == answers[1] and said else 3)


def test_an_answer_that_does_not_fit_its_question_does_not_count() -> None:
    where = rephrase("Where does a ball end up when you drop it?", WORLDS).asking
    assert where is not None
    assert where.word is not None
    assert where.word(["The ball is not springy.", "The ball bounces."]) == "The ball bounces."
    stays = rephrase("Will a spoon stay on top if you stack it on a book?", WORLDS).asking
    assert stays is not None
    assert stays.word is not None
    assert stays.word(["No, the spoon stays on top of the book.", None]) is None
    tipped = rephrase("What happens when you tip a bottle of milk over?", WORLDS).asking
    assert tipped is not None
    assert tipped.word is not None
    assert tipped.word(["The bottle slides a bit and stops."]) is None


@pytest.mark.parametrize(
    ("question", "begins"),
    [
        ("If I nudge a row of dominoes, do they all go down?", "Yes, the domino row falls over"),
        ("Does the glass fall when I push it off the table?", "Yes, the glass falls off"),
        ("Does a stone go down in water?", "Yes, a stone sinks"),
        ("Does a balloon go down if I let go of it?", "No, the balloon rises"),
    ],
)
def test_to_go_down_is_what_it_is_there(question: str, begins: str) -> None:
    answer = reverie.load("nano", memory=False).ask(question)
    assert answer.known
    assert answer.text.startswith(begins)
