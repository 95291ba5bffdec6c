"""What kind of question it is, read from its words alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverie.dreaming.asked import read_question

AHEAD = {  # question -> what is done
    "What happens when you drop an egg?": "You drop an egg.",
    "what happens if you drop an egg": "You drop an egg.",
    "WHAT HAPPENS IF YOU DROP AN EGG": "You drop an egg.",
    '"What happens if you drop an egg?"': "You drop an egg.",
    "what happens when   you\n drop an egg": "You drop an egg.",
    "What would happen if I left ice cream in the sun?": "I left ice cream in the sun.",
    "What will happen to the ice if I leave it in the sun?": "I leave the ice in the sun.",
    "If I leave ice in the sun, what will happen to it?": "I leave ice in the sun.",
    "If you leave milk out for days what happens": "You leave milk out for days.",
    "What'll happen if I don't water it?": "I don't water it.",
    "What’s going to happen if I don’t pay?": "I don't pay.",
    "What's going to happen if I drop this?": "I drop this.",
    "What happens, if I open the window?": "I open the window.",
    "What happens should I drop it?": "I drop it.",
    "What happens if I heat it to 37.5 degrees?": "I heat it to 37.5 degrees.",
    "What happens if Mr. Smith drops the vase?": "Mr. Smith drops the vase.",
    'What happens if I say "stop"?': 'I say "stop".',
    "What happens if something falls?": "Something falls.",
    "What happens when lightning strikes a tree?": "Lightning strikes a tree.",
    "What happens when the king dies?": "The king dies.",
    "What happens after eating too much?": "Someone is eating too much.",
    "What happens after dinner?": "There is dinner.",
    "What happens after the rain?": "There is the rain.",
    "What happens after it rains?": "It rains.",
    "In case of fire, what happens?": "There is fire.",
    "What happens in winter when water freezes?": "Water freezes.",
    "What happens to an egg when it is dropped?": "An egg is dropped.",
    "What happens to the eggs when they are dropped?": "The eggs are dropped.",
    "What happens to an egg when dropped from a tower?": "An egg is dropped from a tower.",
    "What happens to an egg that falls on the floor?": "An egg falls on the floor.",
    "What happens to people who don't sleep?": "People don't sleep.",
    "What happens to ice in the sun?": "There is ice in the sun.",
    "what will happen to me if I eat only sugar": "I eat only sugar.",
    "What can happen if you touch a hot stove?": "You touch a hot stove.",
    "What results when acid meets chalk?": "Acid meets chalk.",
    "What follows if you touch fire?": "You touch fire.",
    "What becomes of water when it freezes?": "Water freezes.",
    "What will become of the snow in spring?": "There is the snow in spring.",
    "What comes of leaving milk out?": "Someone is leaving milk out.",
    "What would you see if you dropped a stone in a pond?": "You dropped a stone in a pond.",
    "What do you get when you mix red and blue?": "You mix red and blue.",
    "What does an egg do when you drop it?": "You drop an egg.",
    "What do plants do if they get no water?": "Plants get no water.",
    "Where does the ball go if I kick it?": "I kick the ball.",
    "What if it rains?": "It rains.",
    "so what if i stop": "I stop.",
    "What about if I heat it?": "I heat it.",
    "how about if we leave it": "We leave it.",
    "WHAT IF THE SUN GOES OUT?": "The sun goes out.",
    "What is the effect of heat on ice?": "There is heat on ice.",
    "What are the consequences of not sleeping?": "Someone is not sleeping.",
    "What's the result of mixing vinegar and soda?": "Someone is mixing vinegar and soda.",
    "What would be the effect of dropping a magnet?": "Someone is dropping a magnet.",
    "What is the outcome if both refuse?": "Both refuse.",
    "Dropping an egg: what happens?": "Someone is dropping an egg.",
    "Ice is left in the sun, what happens?": "Ice is left in the sun.",
    "A stone hits the window - what happens next?": "A stone hits the window.",
    "Once the water boils, what happens?": "The water boils.",
    "Suppose I heat butter; what happens?": "I heat butter.",
    "Imagine that the sun went out; what would happen?": "The sun went out.",
    # two sentences
    "Suppose I heat butter. What happens then?": "I heat butter.",
    "Say I push the ball. What then?": "I push the ball.",
    "Let's say you pour oil on water. What do you see?": "You pour oil on water.",
    "I dropped my phone into the lake. What happens next?": "I dropped my phone into the lake.",
    "Tom pushes the cup off the table. Then what?": "Tom pushes the cup off the table.",
    "Somebody forgets an umbrella. And then?": "Somebody forgets an umbrella.",
    "Someone leaves the tap on. How does it end?": "Someone leaves the tap on.",
    "The dog sees a cat. What will it do?": "The dog sees a cat.",
    "Tom forgot to water the plants. What is the result?": "Tom forgot to water the plants.",
    "I put ice into the oven. What happens to the ice? Please be brief.": "I put ice into the oven.",
    # led up to
    "And what happens if I drop it twice?": "I drop it twice.",
    "ok, what happens if i drop it": "I drop it.",
    "hey, quick question: what happens if i mix bleach and vinegar???": "I mix bleach and vinegar.",
    "Hello! What happens if I push it?": "I push it.",
    "Could you tell me what happens when water freezes?": "Water freezes.",
    "Can you please tell me what would happen if I fell?": "I fell.",
    "Can you predict what happens if a cat sees a mouse?": "A cat sees a mouse.",
    "Do you know what happens when you boil water?": "You boil water.",
    "Do you have any idea what happens if a fuse blows?": "A fuse blows.",
    "I wonder what happens if I drop it.": "I drop it.",
    "Please tell me what happens when I heat wax": "I heat wax.",
    "What do you think would happen if the moon vanished?": "The moon vanished.",
    "What happens if the moon vanishes, do you think?": "The moon vanishes.",
    "What is an egg? What happens when you drop it?": "You drop it.",
}
WHETHER = {  # question -> (what is done, what is wanted)
    "Will the egg break if I drop it?": ("I drop the egg.", "Will the egg break?"),
    "Will the egg break if I drop it? Answer yes or no.": ("I drop the egg.", "Will the egg break?"),
    "Does ice melt when it is heated?": ("Ice is heated.", "Does ice melt?"),
    "Does ice melt when heated?": ("Ice is heated.", "Does ice melt?"),
    "Would a stone float if you threw it in water?": ("You threw a stone in water.", "Would a stone float?"),
    "Won't the ice melt if it stays there?": ("The ice stays there.", "Won't the ice melt?"),
    "Can you drown if you fall into a lake?": ("You fall into a lake.", "Can you drown?"),
    "Will I get wet if I walk in the rain?": ("I walk in the rain.", "Will I get wet?"),
    "Is it dangerous if you eat raw eggs?": ("You eat raw eggs.", "Is it dangerous?"),
    "Does the lamp go out if the power fails?": ("The power fails.", "Does the lamp go out?"),
    "Do birds fly when it is windy?": ("It is windy.", "Do birds fly?"),
    "Is the shop open when it snows?": ("It snows.", "Is the shop open?"),
    "If I drop an egg, will it break?": ("I drop an egg.", "Will it break?"),
    "If I drop an egg will it break?": ("I drop an egg.", "Will it break?"),
    "Suppose I drop an egg. Will it break?": ("I drop an egg.", "Will it break?"),
    "The glass is full and I pour in more. Will it overflow?": (
        "The glass is full and I pour in more.",
        "Will it overflow?",
    ),
    "Do you think the egg would break if I dropped it?": ("I dropped the egg.", "Do you think the egg would break?"),
    "Do you know if the egg breaks when I drop it?": ("I drop the egg.", "If the egg breaks?"),
    "Will my phone survive if I drop it, or will it break?": ("I drop my phone.", "Will my phone survive?"),
}
BACK = {  # question -> what is wanted
    "Why did the glass break?": "Why did the glass break?",
    "why's the sky blue": "Why is the sky blue?",
    "How come the street is wet?": "How come the street is wet?",
    "What caused the fire?": "What caused the fire?",
    "What could have caused the crash?": "What could have caused the crash?",
    "What makes bread rise?": "What makes bread rise?",
    "What led to the war?": "What led to the war?",
    "What's the reason for the delay?": "What is the reason for the delay?",
    "What is the cause of rust?": "What is the cause of rust?",
    "Explain why leaves are green.": "Why leaves are green?",
    "Can you tell me why the sea is salty?": "Why the sea is salty?",
    "Why did it break? I only touched it.": "Why did it break?",
}
PLAIN = """
Hello
Tell me a joke
Who is the king of France?
How tall is the Kerrow lighthouse?
When was the Kerrow lighthouse built?
When did the Titanic sink?
When does the train leave?
When will the train leave if it is late?
When did you say the train will leave?
What is a whenever?
What happened in 1945?
What happened to the Titanic?
What happens at the end of Hamlet?
What happens to Hamlet in the end?
What was the result of the 1998 final?
What is the capital of France, and what happens if you visit it?
What is water made of?
What makes up the air?
What makes you happy?
What does it mean if a light is red?
What should I do if my phone falls into water?
What do you call it when two people marry?
What do you do when you are sad?
What time is it when it's noon in Oslo?
What color does litmus turn when you put it in acid?
What do you get if you multiply six by nine?
What is 2+2?
What comes next?
What happens next?
What happens when?
what happens if
If what happens
If I may ask, who are you?
If 3 apples cost 6 dollars, what does one cost?
If I have 3 eggs and drop one, how many are left?
If only I knew.
If in doubt, ask.
If I ask nicely, will you sing?
When you are free, can you help me?
When in Rome, do as the Romans do.
Do you know if it rains in Oslo?
Can you tell me if water boils at 100 degrees?
Can you help me when I am sad?
Are you awake when I sleep?
Do you mind if I smoke?
Is it OK if I sit here?
Would you be sad if I left?
Should I call a doctor if I have a fever?
Will it rain tomorrow?
Why?
Why not?
Why don't you tell me a joke?
Why are you called Reverie?
Where do you go when you are sad?
Who wins if both teams score once?
Which metal melts when you hold it?
How do I know when the cake is done?
How would you feel if you lost your keys?
How about a nice cup of tea?
Imagine you are a pirate. Who are you?
Tom is ill. Are you ill?
Write a poem about what happens when it rains.
The water was boiling when I left.
如果我把鸡蛋掉在地上会怎样?
Was passiert, wenn ich ein Ei fallen lasse?
🙂
?
...
""".strip().split("\n")


def test_the_tables_are_broad() -> None:
    assert len(AHEAD) + len(WHETHER) + len(BACK) + len(PLAIN) >= 180


@pytest.mark.parametrize("question", AHEAD)
def test_what_comes_of_something_lies_ahead(question: str) -> None:
    asked = read_question(question)
    assert (asked.kind, asked.actions) == ("ahead", (AHEAD[question],))
    assert asked.setting == ""


@pytest.mark.parametrize("question", WHETHER)
def test_whether_something_comes_true_is_asked_with_what_is_done(question: str) -> None:
    asked = read_question(question)
    assert (asked.kind, *asked.actions, asked.wanted) == ("whether", *WHETHER[question])


@pytest.mark.parametrize("question", BACK)
def test_causes_are_asked_for_backwards(question: str) -> None:
    asked = read_question(question)
    assert (asked.kind, asked.wanted, asked.actions) == ("back", BACK[question], ())


@pytest.mark.parametrize("question", PLAIN)
def test_anything_else_needs_no_dream(question: str) -> None:
    assert read_question(question).kind == "plain"


def test_what_is_told_before_is_the_setting() -> None:
    asked = read_question("The lake is frozen. It is spring. A man walks on it. What happens then?")
    assert asked.setting == "The lake is frozen. It is spring."
    assert asked.actions == ("A man walks on it.",)
    assert read_question("The lake is frozen. What happens if I jump on it?").setting == "The lake is frozen."
    assert read_question("Why did it break? I only touched it.").setting == "I only touched it."


def test_what_the_action_does_not_name_is_asked_in_full() -> None:
    assert read_question("When the sun sets, what happens to the temperature?").wanted == (
        "When the sun sets, what happens to the temperature?"
    )
    assert read_question("How will the dog react if I throw a ball?").wanted.startswith("How will the dog react")
    assert read_question("What happens to the ice if I heat it?").wanted == ""
    assert read_question("What happens next to a plant if I water it?").kind == "ahead"


@given(
    st.text(max_size=300)
    | st.lists(st.sampled_from("what happens if when will it the , . ? ' to".split())).map(" ".join)
)
def test_any_text_has_a_kind(text: str) -> None:
    asked = read_question(text)
    assert len(asked.actions) == (asked.kind in ("ahead", "whether"))
    assert all(action.strip(" .") for action in asked.actions)
    assert bool(asked.wanted) or asked.kind in ("ahead", "plain")


@pytest.mark.parametrize(
    "piece",
    ["what happens to ", "if ", "a, ", "will it ", ", please", "why ", "x", "? ", "suppose it, ", "what is the ", " "],
)
def test_endless_texts_are_read_or_left(piece: str) -> None:
    """A pattern that went back over and over would not come to an end here."""
    assert read_question((piece * 2000)[:1999]).kind in ("ahead", "whether", "back", "plain")
    assert read_question((piece * 200_000)[:200_000]).kind == "plain"
