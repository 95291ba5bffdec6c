"""How people put what the everyday world was asked about: other words for its things, actions, places and outcomes,
and the pieces that free questions are made of. ``asking.py`` says what is then asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from reverie.worlds.everyday.questions import ASKED, VERBS
from reverie.worlds.everyday.things import SURFACES, THINGS
from reverie.worlds.phrasebook import Pattern, Slot

__all__ = ["ADVERBS", "FILLERS", "MACROS", "PATTERNS", "SLOTS", "SPELLED"]

# thing → what people also call it, beside its name and its indefinite forms
_THINGS = {
    "ball": ("bouncy ball", "bouncing ball"),
    "egg": ("chicken egg", "hen egg", "uncooked egg"),
    "glass": ("glass cup", "tumbler", "water glass"),
    "balloon": ("helium filled balloon", "balloon filled with helium", "balloon full of helium", "party balloon"),
    "ice cube": ("piece of ice", "lump of ice", "block of ice", "chunk of ice", "ice"),
    "candle": ("wax taper",),
    "feather": ("bird feather", "plume"),
    "book": ("heavy book", "textbook", "hardcover", "hardback"),
    "domino row": ("row of domino", "line of domino", "domino line", "domino chain", "chain of domino",
                   "first domino", "the domino", "all domino", "all the domino", "other domino", "rest of the domino", "first one of a row of domino", "first domino in a row", "first domino of a row",
                   "first domino in the row", "first domino of the row", "first domino in a line"),
    "cup of water": ("cup", "cup full of water", "water cup", "cup filled with water", "full cup of water"),
    "plate": ("dinner plate", "porcelain plate", "ceramic plate", "dish"),
    "apple": ("red apple", "green apple", "ripe apple"),
    "stone": ("rock", "pebble", "boulder"),
    "paper": ("paper", "paper sheet", "page", "blank page", "sheet of printer paper"),
    "butter": ("stick of butter", "pat of butter", "lump of butter", "knob of butter", "bit of butter",
               "block of butter", "slice of butter"),
    "chocolate": ("chocolate bar", "piece of chocolate", "square of chocolate", "bit of chocolate",
                  "slab of chocolate"),
    "teddy bear": ("teddy", "stuffed bear", "plush bear", "toy bear", "teddy bear toy"),
    "soap bubble": ("bubble of soap", "soapy bubble"),
    "bread": ("bread", "bread slice", "bit of bread", "some bread"),
    "wooden block": ("wood block", "wooden cube", "wood cube", "wooden brick", "block made of wood", "cube of wood",
                     "wooden toy block", "wooden building block"),
    "metal spoon": ("steel spoon", "tablespoon", "teaspoon", "iron spoon", "spoon made of metal", "silver spoon"),
    "rubber duck": ("rubber ducky", "rubber duckie", "toy duck", "bathtub duck", "rubber duckling", "bath toy duck"),
    "bottle of milk": ("bottle", "bottle with milk", "bottle full of milk", "bottle filled with milk",
                       "full bottle of milk", "glass bottle of milk"),
}  # fmt: skip
_SURFACES = {
    "floor": ("floor", "ground", "kitchen floor", "hard floor", "hard ground", "tile floor", "tiled floor", "tiles",
              "wooden floor", "stone floor", "concrete floor", "bare floor", "room floor", "bathroom floor",
              "living room floor", "marble floor", "hardwood floor"),
    "pillow": ("pillow", "cushion", "soft pillow", "soft cushion", "bed pillow"),
    "sand": ("sand", "pile of sand", "heap of sand", "sand pile", "soft sand", "dry sand", "sandpit", "sandbox"),
    "table": ("table", "kitchen table", "dining table", "desk", "tabletop", "table top", "coffee table",
              "dinner table", "wooden table", "countertop", "kitchen counter", "counter", "worktop", "kitchen worktop", "kitchen desk", "bar counter", "breakfast table", "side table"),
    "water": ("water", "bowl of water", "tub of water", "bucket of water", "bathtub", "basin of water", "tank of water",
              "tub", "bath", "water tub", "bath water", "tub filled with water", "bowl filled with water",
              "bucket full of water", "sink full of water", "pan of water", "pot of water"),
}  # fmt: skip
_HEIGHTS = {
    "low": ("low down", "low height", "just above", "low up", "small height", "very low", "only a little height"),
    "middle": ("half way up", "medium height", "half height", "halfway up", "moderate height", "middle height"),
    "high": ("high up", "great height", "high above", "high", "big height", "large height", "tall height",
             "very high up", "way up high", "up high", "top"),
}  # fmt: skip
# what someone does to {x}, after which the place may follow: action → wordings
_DONE: dict[str, tuple[str, ...]] = {
    "drop": ("drop <x>", "let <x> (fall|drop|slip)", "let fall <x>", "let <x> slip <hand>", "drop <x> <hand>"),
    "let go": ("let go of <x>", "let <x> go", "release <x>", "let <x> loose", "set <x> free", "let go <x>",
               "release <x> <hand>", "let <x> go <hand>", "release <hand> on <x>", "release my grip on <x>",
               "open <hand> (around|holding|with) <x>", "stop hold <x>", "no longer hold <x>"),
    "throw": ("throw <x>", "toss <x>", "throw <x> forward", "fling <x>", "hurl <x>", "chuck <x>", "lob <x>",
              "(throw|toss|fling|hurl|chuck) <x> [high|straight] [up] in [to] the air", "throw up <x>",
              "(throw|toss|fling|chuck) <x> [straight] up", "(throw|toss) <x> upwards", "give <x> a (throw|toss)"),
    "pour": ("pour <x> out", "pour out <x>", "pour <x>", "turn <x> upside down", "empty <x>", "empty out <x>",
             "empty <x> out", "tip out <x>", "flip <x> upside down", "hold <x> upside down",
             "pour out [the] contents of <x>", "pour [the] content [out] of <x>", "turn <x> on <it> head",
             "pour [the] {liquid} [out]", "pour out [the] {liquid}", "pour [the] {liquid} out of <x>",
             "empty [the] {liquid} out of <x>", "pour something out of <x>", "upend <x>"),
    "push": ("push <x>", "give <x> a [little|gentle] (push|shove|nudge|bump|knock)", "shove <x>", "nudge <x>",
             "bump <x>", "bump in to <x>", "push <x> forward", "push against <x>", "knock <x>", "slide <x>", "brush <x>",
             "sweep <x>", "hit <x> with [<det>] (hand|elbow|arm)", "push <x> with [<det>] (hand|finger|elbow|arm)",
             "knock in to <x>", "push <x> along", "poke <x>", "push at <x>", "kick <x>", "roll <x>"),
    "tip": ("tip <x> over", "tip over <x>", "tilt <x>", "tip <x>", "knock <x> over", "knock over <x>", "topple <x>",
            "overturn <x>", "tilt <x> over", "tilt <x> to (the|one) side", "topple <x> over", "push over <x>",
            "push <x> over", "topple over <x>", "knock down <x>", "knock <x> down"),
    "heat": ("heat <x>", "heat up <x>", "heat <x> up", "heat <x> <flame>", "heat <x> up <flame>", "warm <x> <flame>",
             "warm <x> up <flame>", "warm <x>", "warm up <x>", "warm <x> up", "hold <x> <over_flame>",
             "(put|place|set|leave) <x> <over_flame>", "make <x> [very|really|too] hot", "expose <x> to [<det>] heat",
             "(put|place|throw|drop|leave|toss|melt) <x> <pan>", "(heat|warm|fry|cook|melt) <x> <pan>", "melt <x> <flame>", "cook <x>",
             "heat [the|some|up] {liquid}", "heat {liquid} up", "warm [up] [the|some] {liquid}", "fry <x>", "roast <x>",
             "apply heat to <x>", "put heat on <x>", "toast <x>", "put a flame under <x>", "bring <x> near a flame"),
    "cool": ("cool <x>", "cool <x> down", "cool down <x>", "cool <x> with ice", "chill <x>", "chill <x> with ice",
             "freeze <x>", "make <x> [very|really|too] cold", "cool off <x>", "freeze up <x>", "cool <x> down with ice",
             "(put|place|leave|keep|store|stick|set|pop|forget) <x> <freezer>", "(put|place|keep|set) <x> on ice",
             "(cool|chill|freeze) <x> <freezer>", "(freeze|cool|chill) [the|some] {liquid} [down]",
             "(put|place|leave|keep|store|stick|set|pop|pour) [the|some] {liquid} <freezer>",
             "expose <x> to [<det>] (cold|frost)", "put an ice pack (on|against|next to) <x>",
             "hold an ice pack (to|against) <x>", "hold ice (to|against) <x>", "put ice (on|against|around) <x>"),
    "cut": ("<cut> <x> [<knife>] [<in_two>] [<knife>]", "press [<det>] knife in to <x>", "take [<det>] knife to <x>",
            "put [<det>] knife through <x>", "run [<det>] knife through <x>", "use [<det>] knife on <x>",
            "halve <x>", "press [<det>] knife (through|against) <x>", "stick [<det>] knife in to <x>",
            "push [<det>] knife (in to|through|in) <x>"),
    "light": ("light <x> [up]", "light <x> with <match>", "hold <match> [up] to <x>", "set <x> on fire",
              "set fire to <x>", "set <x> alight", "ignite <x>", "put <match> to <x>", "touch <x> with <match>",
              "burn <x>", "burn <x> with <match>", "set <x> ablaze", "set <x> aflame", "hold <match> (against|under) <x>",
              "hold <x> (to|against|in) <match>", "hold <x> in [<det>] (flame|fire)", "put <match> (under|against) <x>",
              "ignite <x> with <match>", "set light to <x>", "set <x> on fire with <match>", "touch <match> to <x>",
              "bring <match> to <x>", "light up <x>", "burn up <x>", "light [<det>] wick of <x>"),
    "stack": ("stack <x> <upon> <y>", "(put|place|set|lay|balance|rest|pile|stand|lean) <x> <upon> <y>", "pile <x> up <upon> <y>"),
    "wait": ("leave <x> alone", "do nothing (with|to) <x>", "leave <x> [lying|sitting|standing|there] [out]",
             "leave <x> be", "leave <x> as it is", "not touch <x>", "keep <x>", "never touch <x>", "not do anything (with|to) <x>",
             "let <x> (be|sit|stand|lie|rest) [there|out]", "leave out <x>", "leave <x> [lie|sit|stand] around",
             "just wait with <x>", "keep <x> [lying|sitting|standing]", "forget <x>", "forget about <x>", "leave <x> untouched",
             "do not do anything (with|to) <x>", "do not touch <x>"),
}  # fmt: skip
# what does it → action
_MEANS = {
    "heat": "<fire>", "light": "<match>", "cut": "<blade>", "cool": "<cold>",
    "drop": "[<det>] (fall|drop|impact|crash) [on to|on|to] [<det>] [floor|ground]",
}  # fmt: skip
# the same of what stands on a table, before where it goes down
_PUSHES = (
    "push <x>", "shove <x>", "knock <x>", "nudge <x>", "slide <x>", "roll <x>", "bump <x>", "tip <x>", "sweep <x>",
    "brush <x>", "give <x> a (push|shove|nudge)", "kick <x>", "flick <x>", "hit <x>", "swipe <x>", "drop <x>",
)  # fmt: skip
# what {x} itself does, or has come over it
_BEFALLS: dict[str, tuple[str, ...]] = {
    "drop": ("<x> (fall|drop|slip|tumble|plummet|crash|plunge|land) [down]", "<x> <slips> <hand>",
             "<x> [fall|drop] [and] (hit|strike|reach|touch|meet|crash in to|smash in to|fall on) [<det>] {surface}",
             "<x> (fall|drop) to [<det>] {surface}", "[the] (fall|drop) of <x>", "there be <x> fall"),
    "stack": ("<x> [be] (on top of|on|atop) <y>",),
    "let go": ("<x> get loose", "<x> get away [from <agent>]", "<x> get away from <hand>", "nobody hold <x> [any more]", "<x> slip out of <hand>"),
    "push": ("<x> get [<det>] (push|shove|nudge|bump)",
             "<x> (fall|roll|slide|slip|tumble|drop|go|be|topple|get) off [of] [the edge of] [<det>] {surface} [<down>]",
             "<x> (fall|roll|slide|slip|tumble|drop|topple) (down|down from|from|over) [the edge of] [<det>] {table} [<down>]",
             ),
    "tip": ("<x> (get|be) on <it> side",),
    "heat": ("<x> (get|become|be) [very|really|too|so] hot", "<x> heat up", "<x> warm up", "<x> <pan>",
             "<x> (stand|be|lie) <over_flame>", "<x> <over_flame>", "<over_flame>", "<pan>", "by <fire>", "near <fire>", "under <fire>", "heat [be] apply to <x>"),
    "cool": ("<x> (get|become|be) [very|really|too|so] cold", "<x> cool down", "<x> (go|be|get|spend time) <freezer>",
             "<x> <freezer>", "<freezer>", "by <cold>", "on ice", "{liquid} (go|be|get) <freezer>", "{liquid} <freezer>", "<x> be on ice",
             "<x> freeze [over|up]", "{liquid} be freeze"),
    "cut": ("[<det>] knife (cut|go through|slice|go in to) <x>", "[<det>] knife be press in to <x>",
            "<x> be (halve|cut up)"),
    "light": ("[<det>] [burning|lit] match touch <x>", "<x> (touch|meet|come near) <match>",
              "<match> be hold (to|against|under) <x>", "<x> be set on fire", "<x> be light by <match>",
              "<match> be put to <x>"),
    "wait": ("nobody touch <x>", "nothing be do (with|to) <x>", "<x> (stand|lie|sit|rest|stay|be) (on|at) [<det>] {surface} (alone|untouched)",
             "no one touch <x>", "nobody do anything (with|to) <x>", "<x> (stand|sit|lie) [around|there|out]"),
}  # fmt: skip
# outcome → words for it, with {x} before them
_OUTCOMES = {
    "break": ("break", "shatter", "smash", "crack", "crack open", "break apart", "break in to pieces", "break in pieces",
              "go to pieces", "break to pieces", "be broken", "get broken", "end up broken", "be in pieces",
              "end up in pieces", "splatter", "splat", "fall apart", "be shattered", "shatter in to pieces",
              "break up", "be smashed", "get smashed", "be cracked", "be damaged", "get damaged", "break open",
              "fall to pieces", "be destroyed", "smash to pieces", "smash in to pieces", "get cracked", "go splat", "get crushed"),
    "pop": ("pop", "burst", "go pop", "explode", "be popped", "go bang"),
    "melt": ("melt", "melt away", "melt down", "become liquid", "turn liquid", "turn in to liquid", "liquefy", "go soft",
             "turn in to a puddle", "be melted", "become a puddle", "turn to liquid", "turn in to a liquid", "get runny",
             "get melted", "turn in to water", "turn to water", "become water", "go runny"),
    "catch fire": ("catch fire", "burn", "go up in flames", "burst in to flames", "start to burn", "burn down", "burn up",
                   "ignite", "catch on fire", "be on fire", "be burned", "burn to ash", "turn to ash", "start burning",
                   "take fire", "catch flame", "light up", "burn away", "turn in to ash", "go up in smoke", "start on fire"),
    "freeze": ("freeze", "turn to ice", "turn in to ice", "become ice", "freeze solid", "freeze over", "be frozen",
               "get frozen", "ice up", "become frozen", "freeze up", "solidify"),
    "get hot": ("get hot", "become hot", "heat up", "be hot", "warm up", "get warm", "get hotter", "get really hot"),
    "bounce": ("bounce", "bounce up", "bounce back", "jump up", "jump up again", "bounce back up", "rebound",
               "spring back", "hop", "bounce up again", "come back up", "bounce off"),
    "float": ("float", "swim", "stay afloat", "stay on top of the water", "float on water", "float on top", "float in water",
              "be afloat", "stay on the surface", "float on the surface", "stay at the surface", "drift on the water", "float on the water"),
    "sink": ("sink", "go under", "go down", "sink to the bottom", "sink down", "go to the bottom", "sink in water", "drown",
             "sink in the water", "sink under", "end up at the bottom"),
    "rise": ("rise", "go up", "fly away", "float away", "float up", "fly up", "rise up", "rise to the ceiling", "fly off",
             "go to the ceiling", "float off", "drift away", "float to the ceiling", "drift up", "ascend", "go upwards",
             "rise in the air", "float upwards", "rise in to the air", "rise upwards", "go up in the air", "fly to the ceiling",
             "float up in the air", "drift off", "go up to the ceiling", "float up to the ceiling", "climb", "soar", "escape",
             "hit the ceiling", "end up at the ceiling", "move up", "shoot up", "fly"),
    "fall over": ("fall over", "tip over", "topple", "topple over", "fall on its side", "keel over", "be knocked over",
                  "fall down", "land on its side", "tumble over", "tip", "fall on to its side", "lie on its side", "collapse", "all fall", "all topple", "all fall over", "all fall down"),
    "stay on top": ("stay on top", "stay", "stay there", "stay put", "stay in place", "stay up", "hold", "balance", "remain on top",
                    "stay on", "rest on top", "be stable", "stay on it", "stay balanced", "keep its balance", "stay on top of it", "remain in place", "remain there", "stay where it is", "rest there", "be steady"),
    "fall off": ("fall off", "slide off", "roll off", "come off", "slip off", "tumble off", "drop off",
                 "fall off the edge", "fall off the table", "fall to the floor", "fall on the floor", "fall to the ground", "fall on to the floor", "land on the floor", "end up on the floor"),
    "fall": ("fall",),
    "change": ("change", "be different", "look different", "alter", "do anything", "become different", "stay the same inverse"),
    "roll": ("roll", "roll away", "roll off", "roll along", "start rolling"),
    "slide": ("slide", "slide away", "slide along", "slip along"),
    "spill": ("spill", "spill out", "leak", "be spilled", "run out", "be spilled out", "spill over", "get spilled"),
    "cook": ("cook", "be cooked", "get cooked", "toast", "turn in to toast", "be toasted", "get toasted", "become toast", "turn brown"),
    "get cold": ("get cold", "be cold", "become cold", "get colder", "cool down"),
    "drift": ("drift", "drift down", "float down", "flutter down", "fall slowly", "sink slowly", "glide", "glide down",
              "fall gently", "come down slowly", "drift to the floor", "float to the ground", "float to the floor", "flutter",
              "drift slowly", "drift to the ground", "fall slowly to the floor", "flutter to the ground", "flutter to the floor"),
    "be cut": ("be cut", "be cut in two", "be in two pieces", "fall in to two halves", "fall in two", "split in two", "split",
               "be in two halves", "come apart", "be halved"),
    "move": ("move", "budge", "shift", "move away", "move at all"),
    "come down": ("come down", "come back down", "fall back down", "fall down again", "come down again", "fall to earth", "land", "come back", "fall back"),
}  # fmt: skip
_WHOLE = (
    "survive", "(stay|remain|be|end up|come out) [<still>] (whole|intact|unbroken|undamaged|unharmed|ok|okay|fine|safe|unscathed)",
    "(stay|remain|be) [<still>] in one piece", "not (break|shatter|smash|crack|be break|be damage|get damage|get break|be harm)",
    "make it", "survive [it|that|this] [<in>] one piece", "hold up", "be all right", "be alright", "stay safe", "come out in one piece",
    "get through [it|that] [in one piece|unharmed]", "withstand <it>", "escape damage", "be unaffected", "endure <it>", "survive <it>",
    "still be (whole|intact|unbroken|undamaged|ok|okay|fine|in one piece)", "end up in one piece",
)  # fmt: skip
# property → what is asked about {x} with yes or no; "-" before it asks for the contrary
_PROPERTIES = {
    "fragile": ("<is> <x> (fragile|breakable|delicate|easy to break|something fragile|easily break|easily broken|a fragile thing|brittle)",
                "<do> <x> break easily", "<do> <x> easily break", "<can> <x> break when <it> fall",
                "will you call <x> (fragile|breakable)", "<can> <x> [easily] (break|be break|shatter)",
                "<can> <agent> [easily] break <x>", "<do> <x> shatter easily", "is it easy to break <x>", "be <x> consider fragile"),
    "-fragile": ("<is> <x> (unbreakable|sturdy|robust|hard to break)",),
    "burns": ("<can> <x> (burn|catch fire|catch on fire|be burn|be set on fire|go up in flames|be light|ignite|be set alight)", "<do> <x> (burn|catch fire)",
              "<do> <x> (burn|catch fire) easily", "<is> <x> (able to burn|flammable|combustible|inflammable|burnable|something that burns|a fire hazard)", "<can> <agent> (burn|light|set fire to) <x>", "<can> <agent> set <x> alight", "be <x> make of something that burns",
              "<can> <agent> set <x> on fire", "be it possible to (burn|set fire to) <x>", "is it possible to set <x> on fire"),
    "-burns": ("<is> <x> (fireproof|nonflammable|non flammable)",),
    "melts": ("<do> <x> melt [<heat>|when <it> (get|be) [very|too] hot]", "<can> <x> (melt|be melt)", "<can> <agent> melt <x>",
              "be <x> something that melt", "will <x> melt <heat>", "be <x> able to melt", "<can> <x> become liquid",
              "be <x> meltable", "be it possible to melt <x>", "<do> heat melt <x>", "<do> heat make <x> melt"),
    "cut": ("<can> <agent> (cut|slice) [through] <x> [<knife>]", "<can> [<det>] knife (cut|slice|go through|cut through|slice through) <x>",
            "be <x> soft enough to (cut|slice)", "<can> [<det>] knife be able to (cut|cut through|slice) <x>", "be [<det>] knife able to (cut|cut through|slice|go through) <x>", "be <x> soft enough for [<det>] knife", "<can> <x> be (cut|sliced) [<knife>]", "<do> [<det>] knife (go through|cut|cut through|slice) <x>",
            "be it possible to (cut|slice) <x> [<knife>]", "be <x> (cuttable|easy to cut)"),
    "floats": ("<do> <x> (float|swim|stay afloat|stay on top of [the] water) [<on_water>]", "<can> <x> float [<on_water>]",
               "will <x> (float|stay afloat) [<on_water>]", "be <x> able to float [<on_water>]", "be <x> buoyant",
               "be <x> lighter than water", "be <x> less dense than water", "be <x> something that floats"),
    "-floats": ("<do> <x> sink [<on_water>]", "will <x> sink [<on_water>]", "be <x> heavier than water", "be <x> denser than water"),
    "rolls": ("<is> <x> (round|spherical|able to roll|something that rolls|ball shaped)", "<can> <x> roll [away]", "<do> <x> roll", "will <x> roll [away] if you push <it>",
              "<can> <agent> roll <x>", "be <x> shape like a ball", "will <x> roll [away]"),
    "light": ("<is> <x> lighter than air", "<do> <x> (rise|float|fly) in the air", "<can> <x> fly up by <it> self", "<can> <x> fly up by itself",
              "<do> <x> go up on <its> own", "will <x> rise if you release <it>", "be air heavier than <x>",
              "do <x> weigh less than air", "<do> <x> (go up|fly|rise|fly up) (by itself|on <its> own)", "be <x> less dense than air",
              "<can> <x> (rise|fly|float) [up] [by itself|on <its> own] [in the air]", "do <x> rise [by itself|on <its> own]"),
    "-light": ("<is> <x> heavier than air", "be air lighter than <x>"),
    "liquid": ("be there anything to pour out of <x>", "<can> <agent> pour (something|anything|liquid|a liquid) out of <x>", "be it possible to pour (something|anything) out of <x>",
               "<do> <x> (hold|contain|have) [a|any|some] (liquid|fluid) [in it|inside]", "be there [a|any|some] (liquid|fluid) (in|inside) <x>",
               "do anything run out of <x> if you tip <it>", "be there anything [liquid] to drink in <x>", "be there something liquid in <x>",
               "be <x> fill with [a] liquid", "<can> anything [be] pour out of <x>", "be there something to pour out of <x>"),
}  # fmt: skip
# property → (which one …, how many …)
_SHARED = {
    "fragile": ("be (fragile|breakable|delicate)", "break easily"),
    "burns": ("can burn", "burn", "can catch fire", "be flammable", "(will|do) (burn|catch fire)", "can be burn"),
    "melts": ("melt [<heat>]", "can melt [<heat>]", "will melt [<heat>]"),
    "floats": ("float [<on_water>]", "can float [<on_water>]", "will float [<on_water>]"),
    "rolls": ("can roll [away]", "roll", "be round", "will roll"),
    "light": ("be lighter than air",),
    "liquid": ("hold a liquid", "contain [a] liquid", "have [a] liquid in <it>", "hold liquid"),
}  # fmt: skip
_MOST = {
    "heaviest": ("heaviest", "most heavy", "heavier", "most massive"), "lightest": ("lightest", "lighter"),
    "hardest": ("hardest", "harder"), "softest": ("softest", "softer"),
}  # fmt: skip

_ALL_THINGS = {
    name: tuple(
        dict.fromkeys(
            [
                *(form.split(" ", 1)[1] if form.split(" ", 1)[0] in ("a", "an", "some") else form for form in thing.indefinite),
                thing.name, thing.short, *_THINGS[name],
            ]
        )
    )
    for name, thing in THINGS.items()
}  # fmt: skip
_LIQUIDS = {name: (thing.contents,) for name, thing in THINGS.items() if thing.contents}
_PARTICIPLES = {
    "drop": ("dropped", "falling"), "throw": ("thrown", "tossed"), "heat": ("heated", "heated up"),
    "cool": ("cooled", "chilled", "frozen"), "cut": ("cut", "sliced"), "light": ("lit", "ignited"),
    "let go": ("released",), "push": ("pushed", "shoved"), "tip": ("tipped over", "tilted"),
}  # fmt: skip

SLOTS = {
    **{name: Slot(name, _ALL_THINGS) for name in ("thing", "other", "third", "fourth")},
    "support": Slot("support", _ALL_THINGS),
    "liquid": Slot("liquid", _LIQUIDS),
    "did": Slot("action", _PARTICIPLES),
    "surface": Slot("surface", _SURFACES),
    "table": Slot("surface", {"table": _SURFACES["table"]}),
    "water": Slot("surface", {"water": _SURFACES["water"]}),
    "height": Slot("height", _HEIGHTS),
    "verb": Slot("verb", _OUTCOMES),
    "or": Slot("or", {"yes": tuple(phrase for said in _OUTCOMES.values() for phrase in said) + ("fall", "not", "stay whole", "stay", "survive", "remain whole", "whole", "intact", "be whole", "be intact", "be fine", "stay intact", "stay in one piece", "be okay", "bend", "be bent")}),
    "most": Slot("most", _MOST),
}

_DET = "a|an|the|my|your|our|his|her|their|its|this|that|some|one|any|these|those|another|each|every|of the|one of these"
_ADJ = "little|small|normal|ordinary|regular|typical|plain|single|whole|nice|usual|common|simple|standard|everyday|old|new|average"
_PERSON = (
    "kid|child|son|daughter|friend|brother|sister|mom|mum|dad|mother|father|toddler|baby|boy|girl|man|woman|wife|"
    "husband|roommate|cat|dog|person|neighbor|neighbour|teacher|student|guest|waiter|nephew|niece|cousin|uncle|aunt|"
    "grandma|grandpa|puppy|kitten|kiddo|partner|colleague|little (one|brother|sister|boy|girl)"
)
MACROS = {
    "det": f"({_DET})",
    "adj": f"({_ADJ})",
    "it": "(it|they|them|this|that|one|the thing|he|she)",
    "its": "(its|their)",
    "np": f"[{_DET}] [{_ADJ}] [{{did}}] {{thing}}",
    "x": f"([{_DET}] [{_ADJ}] [{{did}}] {{thing}}|[the|some|my|this] {{liquid}}|(it|they|them|this|that|one|the thing))",
    "y": f"[{_DET}] [{_ADJ}] {{support}}",
    "agent": f"(i|you|we|he|she|they|one|someone|somebody|anyone|anybody|people|[{_DET}] ({_PERSON}) [of (mine|ours|hers|his)])",
    "conj": "(on|have|how about|what about|if|when|once|after|whenever|as soon as|as|in case|suppose [that]|imagine [that]|assume [that]|"
            "say [that]|let us say [that]|by|from|of|upon|should|while|and|then|that|which|next if|the moment|every time|"
            "each time|let us (suppose|assume|imagine|pretend) [that]|follow|because of|because|with|given [that]|provide [that]|to|for|during|before and after|right after|just after|what if|and if|and when)",
    "mod": "(will|do|be|have|have be|try to|want to|be to|go to|happen to|decide to|manage to|go and|"
           "be go to|be about to|need to|start to|will be to|can|must|get|be try to|intend to|have to)",
    "hand": f"((out of|from|through|in|with) [{_DET}] [({_PERSON}) be] (hand|hands|finger|fingers|grip|grasp)|[<det>] (hand|grip|grasp))",
    "fire": "[<det>] [open|hot|naked|gas] (fire|flame|heat|burner|stove)",
    "cold": "[<det>] (cold|frost|freezer|ice pack)",
    "blade": "[<det>] [kitchen|sharp] knife",
    "slips": "(slip|fall|drop|slide|tumble)",
    "flame": "((with|over|on|above|in|by) [<det>] [open|hot|naked|gas] (flame|fire|burner|candle flame|blowtorch|lighter|torch|heat|stove|stovetop|cooker|hob)|(over|on) heat)",
    "over_flame": "((over|above|in|near|next to|beside|close to) [<det>] [open|hot|naked|gas] (flame|fire|burner|candle flame|heat)|on [<det>] [hot|gas] (stove|stovetop|stove top|cooker|hob|burner|hot plate|hotplate)|under [<det>] heat)",
    "pan": "(in|in to|on|on to) [<det>] [very] hot [frying|cooking] (pan|skillet|pot|frying pan|stove|plate of the stove)",
    "freezer": "(in|in to|inside) [<det>] (freezer|deep freeze|deep freezer|freezer compartment|ice box|icebox|freezing cold)",
    "knife": "(with|using|by) [<det>] [kitchen|sharp] (knife|blade)",
    "in_two": "((in|in to|in) (two|half|halves|two halves|two pieces|pieces|two parts|slices)|down the middle|through the middle|apart|open|up)",
    "cut": "(cut|slice|cut through|slice through|cut in to|chop|slice in to|chop up|cut up|slice up)",
    "match": "[<det>] [burning|lit|lighted|light] (match|matchstick|lighter|flame)",
    "upon": "(on|upon|on to|on top of|atop|at the top of|over)",
    "still": "(still|all)",
    "heat": "(in [<det>] heat|when heat|when <it> get hot|when it be hot)",
    "on_water": "(in|on|on top of) [the] water",
    "is": "(be|will|be|can)",
    "do": "(do|will|can)",
    "can": "(can|do|will|could)",
    "in": "in",
    "aux": "(do|will|can|be|have)",
    "at": "[(on|on to|in|in to|over|above|to|against|toward|down on|down on to|down in to|down to|at) [<det>] {surface}] "
          "[(from|at) [<det>] [very] {height}] [(on|on to|in|in to|over|above|to|down to) [<det>] {surface}]",
    "lead": "[<conj>] [<agent>] [<mod>]",
    "tail": "[<while>] <at> [<while>] [<place>] [<after>]",
    "edge": "(off|off of|over|from|down from|across) [the edge of|the side of] [<det>] {surface} [<down>]",
    "down": "(on|on to|to|down to|down on|down on to) [<det>] [hard|kitchen|tiled|stone|wooden] (floor|ground|tiles)",
    "while": "(for [a|some|ten|five|a few|a couple of|an] [long|short|little] (while|time|minute|minutes|bit|moment|hour)|a (while|bit)|for long|[a few|ten|five|some] minutes)",
    "after": "(next|then|now|afterwards|afterward|after that|after this|later|as a result|in the end|finally|at the end|eventually|in that case|because of (that|it|this))",
    "place": "(in|inside) [<det>] [warm|normal|heated] (kitchen|room|house|living room|bedroom|warm room|bathroom|office|home)|at home|at room temperature|at dinner|at breakfast",
    "list": "<n1> (or|and) <n2>|<n1> <n2> (or|and) <n3>|<n1> <n2> [and|or] <n3> (or|and) <n4>",
    "n1": f"[{_DET}] {{thing}}", "n2": f"[{_DET}] {{other}}", "n3": f"[{_DET}] {{third}}", "n4": f"[{_DET}] {{fourth}}",
}  # fmt: skip

_HAPPENS = (
    "what [do you think] <aux> happen [to <x>] [<after>]", "what happen [to <x>] [<after>]", "what [<aux>] be go to happen [to <x>] [<after>]",
    "what be happen [to <x>] [<after>]", "what <aux> have happen [to <x>]",
    "what be [likely|bound|expected|supposed] to happen [to <x>]", "what be [<det>] (result|outcome|effect|consequence|end result|upshot|aftermath) [of|when|if]",
    "what (result|outcome|effect|consequence) [<aux>]", "[<det>] (result|outcome|consequence) of", "what be the (effect|result) on <x> [of|when|if]",
    "what <aux> <agent> (get|see|find|end up with|have|expect|notice|observe|be leave with|expect to see|expect to happen|expect to find) [<after>]",
    "what <aux> become of <x> [<after>]", "what become of <x> [<after>]", "what <aux> <x> (become|turn in to|turn to|do|end up as|end up doing) [<after>]",
    "what about <x>", "what about the (rest|other|others|other one|other ones)", "what next", "what then", "what now", "now what", "and then",
    "what <aux> be (there|leave [of <x>]|leave over) [<after>]", "how <aux> <x> (react|behave|end|fare|end up|respond|turn out)",
    "what <aux> come of <x>", "what come of", "what <aux> (follow|occur|result)", "what (follow|occur|result|come next|come of it)",
    "what <aux> <it> (do|lead to|cause|result in|mean for <x>|do to <x>)", "(do|lead to|cause) what", "what <aux>", "what be the consequence for <x>", "how <aux> it (end|turn out|go)",
    "what (effect|impact) <aux>", "have on <x>", "predict what", "describe (what|the result|the outcome)", "what <aux> i expect", "what to expect",
    "[give me|name] the (result|outcome) [of]", "(will|do|be) what", "what <aux> <it> lead to", "what (come|pour|run|flow) out of <x>", "what be the fate of <x>", "[any|some] change (in|to) <x>", "anything leave of <x>", "what (be|will) happen",
    "result", "outcome", "consequence", "how about", "what about", "what do [you think] happen",
    "what if", "what do <agent> (think|believe|expect|guess|reckon|suppose) (will|that) happen [to <x>]", "what happen [be]",
    "what <aux> <x> be go to do", "what kind of thing <aux> happen", "what sort of thing <aux> happen", "what <aux> be the (result|outcome|effect|consequence) [of|when|if]",
    "what do <agent> think happen [to <x>]", "any idea what happen [to <x>]", "what might happen [to <x>]", "what can happen [to <x>]",
    "what <aux> happen with <x> [<after>]", "what happen with <x>", "what happen [be it] when", "what happen here", "what be up with <x>",
)  # fmt: skip
_WHERE = (
    "where <aux> <x> [be|end up|land|go|come to rest|stop|wind up|come down|lie|fall|finish|rest|stay|end|be find|be lie|settle|be go to end up|be go to be|be go to land|have go|move to|finish up] [<after>]",
    "where be <x> [<after>]", "where <aux> <agent> (find|look for|see|expect to find|expect) <x> [<after>]", "where to (find|look for) <x>", "where [be] <x> (end up|land|go|will be|lie|will end up|will land|fall|come to rest|be)",
    "(in|at|on) what place <aux> <x> (end up|be|land)", "in which place <aux> <x> (end up|be|land)", "what place do <x> end up in", "which place do <x> end up in", "where be <x> go to (end up|land|be|go)",
    "where [<aux>] <x> now", "what be the final (position|place|location) of <x>", "where exactly <aux> <x> (end up|be|land)", "where then",
)  # fmt: skip
_AFTER = (
    "how <aux> <agent> find <x> [<after>]", "what <aux> <x> look like [<after>]", "how <aux> <x> look [like] [<after>]", "[in] what (state|condition|shape) <aux> <x> (be|be in|end up|end up in|be leave in) [<after>]",
    "[in] what (state|condition|shape) be <x> [in] [<after>]", "what be <x> like [<after>]", "what <aux> <x> be like [<after>]", "what be leave of <x>", "what <x> (look|be) like [<after>]",
    "how <x> (look|will look|be) [<after>]", "describe <x>", "what (will|do) <x> be like", "what be <x> [<after>]", "what be the (state|condition) of <x>", "how be <x> [<after>]", "[in] what (kind|sort) of (state|condition|shape) (will|be|do) <x> [be] [in]",
)  # fmt: skip
_WHY = (
    "why", "how come", "for what reason", "what be the reason", "explain why", "why be it that", "why be that", "why be this", "why so", "what be the cause", "what explain that",
    "why do (it|that|this) happen", "how come (it|that|this) happen",
)  # fmt: skip


def _patterns() -> Iterator[Pattern]:
    for action, wordings in _DONE.items():
        yield from _done(wordings, "<tail>", {"action": action})
    for action, wordings in _BEFALLS.items():
        for off in (False, True):
            words = "|".join(one for one in wordings if ("the edge of]" in one) == off)
            if words:
                yield Pattern(f"[<conj>] [<mod>] ({words}) <tail>", {"action": action, **({"off": "yes"} if off else {})})
    yield from _done(_PUSHES, "<edge> <tail>", {"action": "push", "off": "yes"})
    yield from _done(_PUSHES, "off [<down>] <tail>", {"action": "push", "off": "yes"})
    yield Pattern("<lead> (put|place|set|lay|leave|keep|stand|let <x> (sit|stand|lie)) <x> [lie|sit|stand] (on|on top of|at) [<det>] {surface} [<while>] [<place>]", {"action": "wait"})
    yield Pattern("[<conj>] <x> [be] [leave|lie|sit|stand|put|place|rest] (on|on top of) [<det>] {surface} [<while>] [<place>]", {"action": "wait"})
    yield Pattern("<lead> (put|place|set|lay|dip|dunk|stick) <x> (in|in to|on) [<det>] {water}", {"action": "drop"})
    yield Pattern("[<conj>] <x> [be] (put|place|set|in|fall in|drop in) [in|in to] [<det>] {water}", {"action": "drop"})
    yield Pattern("[<conj>] [<agent>] [<mod>] wait <while>", {"action": "wait"})
    yield Pattern("(from|at) [<det>] [very] {height}")
    yield Pattern("[<det>] {did} {thing}")
    yield Pattern("[<conj>] (take|here be|there be|consider|think of|<agent> (have|have get|be hold|hold|own|see)) <np>")
    yield Pattern("(on|on to|in|in to|over|above) [<det>] {surface} [there]")
    yield Pattern("(after|in|for) [a|some|ten|five|a few|a couple of|an] (while|minute|minutes|time|moment|hour) (on|at) [<det>] {surface}", {"action": "wait"})
    yield Pattern("(after|in|for) [a|some|ten|five|a few|a couple of|an] (while|minute|minutes|time|moment|hour)")
    for action, means in _MEANS.items():
        yield Pattern(f"what <aux> {means} do [to|with] <x>|how <aux> <x> (react|respond) to {means}|what effect <aux> {means} have on <x>|what be the effect of {means} on <x>", {"action": action, "form": "happens"})
        yield Pattern(f"<aux> {means} [be enough to] (make <x> {{verb}}|{{verb}} <x>)|be {means} (enough|able) to (make <x> {{verb}}|{{verb}} <x>)|<aux> <x> {{verb}} (from|by|because of|due to) {means}", {"action": action, "form": "will"})
    yield Pattern("[<conj>] [<x>|then] [<mod>] (land|fall|come down|go|hit|end up) [on|on to|in|in to|down on] [<det>] {surface}")
    for form, cues in (("happens", _HAPPENS), ("where", _WHERE), ("after", _AFTER), ("why", _WHY)):
        yield Pattern("|".join(cues), {"form": form})
    yield from _yes_no()
    yield from _whys()
    yield from _about_things()


def _done(wordings: Sequence[str], tail: str, binds: dict[str, str]) -> Iterator[Pattern]:
    """Someone does it, it is done to the thing, or "when dropped" alone."""
    yield Pattern(f"<lead> ({'|'.join(wordings)}) {tail}", binds)
    bare = "|".join(" ".join(words.replace("<x>", " ").split()) for words in wordings if "<x>" in words)
    yield Pattern(f"[<conj>] <x> [that|which] [<agent>] [<mod>] [get|be] ({bare}) [by <agent>] {tail}", binds)
    yield Pattern(f"(when|if|once|after|upon|on|be|by|get) [<agent>] [be|get|have be] ({bare}) [by <agent>] {tail}", binds)


def _yes_no() -> Iterator[Pattern]:
    will = {"form": "will"}
    for words in (
        "[<still>] {verb}", "<aux> <x> {verb}", "<aux> <x> [be] go to {verb}", "<aux> <x> [<still>] {verb}", "(if|whether) <x> [<aux>] {verb}", "<x> <aux> {verb}",
        "be <x> (likely|bound|sure|certain|able|expected|about) to {verb}", "<aux> <x> {verb} or not", "(make|let|cause|get) <x> [to] {verb}",
        "be it (likely|possible|certain|true) that <x> [<aux>] {verb}", "<aux> <agent> (think|expect|believe|see|make|get|guess) [that] <x> [<aux>] [to] {verb}",
        "be enough to make <x> {verb}", "do that make <x> {verb}", "can <agent> make <x> {verb}", "be there a (chance|risk) that <x> [<aux>] {verb}", "<aux> <x> (start to|end up) {verb}",
        "<aux> <x> (have|have be) {verb}", "do you think <x> [<aux>] {verb}", "<aux> the (rest|others|other) {verb}", "<aux> <x> (also|all|ever|ever be|really) {verb}",
    ):  # fmt: skip
        yield Pattern(words, will)
    for verb, seen in {
        "break": "pieces|shards|a mess|broken glass|a crack|splinters", "melt": "a puddle|a pool|water|some water|liquid", "catch fire": "ash|ashes|flames|a fire|fire|smoke",
        "change": "a change|any change|a difference|any difference", "spill": "a spill|[<det>] {liquid} (on the floor|come out|spill|run out|pour out|flow out)",
    }.items():  # fmt: skip
        yield Pattern(f"<aux> there be ({seen})|be there ({seen})|<aux> <agent> (get|see|find|have) ({seen})", {**will, "verb": verb})
    yield Pattern("<aux> [<det>|any] {liquid} (spill|come out|run out|pour out|flow out|spill out)", {**will, "verb": "spill"})
    yield Pattern("<aux> <x> {verb} or [<aux>] [<it>] {or}", {"form": "happens", "or": "yes"})
    for words in ("<aux> not <x> {verb}", "be not <x> go to {verb}"):
        yield Pattern(words, will)
    for words in _WHOLE:
        for frame in ("<aux> <x> [<still>] {v}", "(if|whether) <x> [<aux>] [<still>] {v}", "<aux> <agent> (think|expect|believe) <x> [<aux>] [<still>] [to] {v}", "be <x> (likely|able|going) to {v}", "<x> <aux> {v}", "be <x> go to {v}", "be it (likely|possible) that <x> [<aux>] {v}", "<aux> not <x> {v}"):
            if not (words.startswith("not") and "not" in frame):
                yield Pattern(frame.replace("{v}", words), {"form": "whole"})
    yield Pattern("be <x> [<still>] (whole|intact|unbroken|undamaged|unharmed|in one piece)", {"form": "whole"})
    yield Pattern("be (<np>|<it> <still>) (ok|okay|fine|safe|all right|alright|good)", {"form": "whole"})
    yield Pattern("without [<x>] (break|be break|shatter|be damage|crack|smash|damage) [<x>]", {"form": "whole"})
    yield Pattern("{verb} <it>", will)
    yield Pattern("can <agent>", {"can": "yes"})
    yield Pattern("be it possible [for <agent>] to", {"can": "yes"})
    yield Pattern("without [<x>] (fall|fall off|fall down|slide off|roll off|topple|tip over|tumble) [off|down]", {"form": "will", "verb": "stay on top"})
    yield Pattern("and (expect|have) <x> [to] {verb}", will)


def _whys() -> Iterator[Pattern]:
    yes, no = {"form": "why"}, {"form": "why", "not": "yes"}
    for words in (
        "why <aux> <x> {verb}", "why be <x> {verb}", "why <x> {verb}", "how come <x> [<aux>] {verb}", "what make <x> {verb}", "what <aux> make <x> {verb}", "what cause <x> to {verb}", "what be the reason (for <x> to|that <x>|why <x>) {verb}",
        "why <aux> <x> be go to {verb}", "(what be the reason|the reason|explain why|the cause|reason|explain) (for <x> to|that <x>|why <x>|<x>) [<aux>] {verb}", "for what reason <aux> <x> {verb}", "why be it that <x> [<aux>] {verb}", "what do make <x> {verb}",
        "what lead <x> to {verb}", "because of what <aux> <x> {verb}", "what be (it that makes|make|the thing that makes) <x> {verb}", "why be <x> go to {verb}", "why <aux> it make <x> {verb}",
    ):  # fmt: skip
        yield Pattern(words, yes)
    for words in (
        "why <aux> <x> not {verb}", "why <aux> not <x> {verb}", "how come <x> [<aux>] not {verb}", "what keep <x> from ({verb}|have to {verb})", "what be the reason (for <x> not to|that <x> not|why <x> not|that <x> do not|why <x> do not|for <x> to not) {verb}",
        "what (stop|prevent|save|protect) <x> from {verb}", "what prevent <x> {verb}", "why <x> <aux> not {verb}", "why be it that <x> <aux> not {verb}", "why be not <x> {verb}", "why be <x> not {verb}", "explain why <x> [<aux>] not {verb}", "for what reason <aux> <x> not {verb}", "why <aux> <x> (never|fail to) {verb}",
        "what keep <x> from being {verb}",
    ):  # fmt: skip
        yield Pattern(words, no)
    for words in ("and [<x>] {verb}", "<x> [<aux>] {verb}", "and [<x>] (be|get) {verb}"):
        yield Pattern(words, {"said": "yes"})
    for words in ("(and|but) [<x>] [do] not {verb}", "<x> (do|will) not {verb}"):
        yield Pattern(words, {"said": "yes", "not": "yes"})


def _about_things() -> Iterator[Pattern]:
    for name, frames in _PROPERTIES.items():
        for words in frames:
            binds = {"form": "property", "property": name}
            yield Pattern(words, binds)
            asks, x, rest = words.partition(" <x> ")
            if x and " " not in asks:  # whether it is
                yield Pattern(f"[if|whether|that] <x> [{asks}] {rest}", binds)
    for words in ("be <x> (heavier|weightier|more heavy) than [<det>] {other}", "<do> <x> weigh more than [<det>] {other}", "will <x> be heavier than [<det>] {other}", "be <x> the heavier one compare with [<det>] {other}", "do <x> have more (mass|weight) than [<det>] {other}"):
        yield Pattern(words, {"form": "heavier"})
    for words in ("be [<det>] {other} (lighter|less heavy) than <np>", "do [<det>] {other} weigh less than <np>", "will [<det>] {other} (be lighter|weigh less) than <np>"):
        yield Pattern(words, {"form": "heavier"})
    for words in ("what do <n1> and <n2> have in common", "what have <n1> and <n2> [get] in common", "how be <n1> and <n2> (alike|similar|the same)", "what be the same about <n1> and <n2>", "in what way be <n1> (like|similar to) <n2>",
                  "what be true of both <n1> and <n2>", "in what way be <n1> and <n2> (alike|similar)", "what do <n1> have in common with <n2>", "how be <n1> (like|similar to) <n2>", "what do <n1> and <n2> share",
                  "name something <n1> and <n2> have in common", "what (property|properties|trait|thing|quality) do <n1> and <n2> (share|have in common)", "what be (similar|alike) (about|in|between) <n1> and <n2>", "be there (anything|something) <n1> and <n2> have in common", "do <n1> and <n2> have (anything|something) in common", "what be the (similarity|similarities) between <n1> and <n2>"):  # fmt: skip
        yield Pattern(words, {"form": "common"})
    ones, be = "(which|which one|what|who)", "be [the|a]"
    for words in (f"{ones} {be} {{most}} [one] [of these|of them|among these] [of|among|out of|between] <list>", f"[of|among|out of|between] <list> {ones} [of (them|these|those)] [one] {be} {{most}} [one]", "(name|pick|choose) the {most} [one|thing] [of|among|out of] <list>", f"{ones} [of these|of them|of those|one] {be} {{most}} [one] <list>",
                  f"{ones} [of these|of them|of those|one] weighs {{weigh}} <list>", "the {most} [one] [of|among] <list>"):
        if "{weigh}" not in words:
            yield Pattern(words, {"form": "most"})
    for more, least in (("heaviest", "(most|more|the most)"), ("lightest", "(least|less|the least)")):
        yield Pattern(f"{ones} [one] [of these|of them|of those] weigh {least} [of|among|out of] <list>", {"form": "most", "most": more})
        yield Pattern(f"[of|among|out of] <list> {ones} [one] [of these|of them|of those] weigh {least}", {"form": "most", "most": more})
    yield Pattern("be <n1> or <n2> {most}", {"form": "most"})
    yield Pattern("[of|between] <n1> (and|or) <n2> (which|what) [one] be [the] {most}", {"form": "most"})
    yield Pattern("<do> <x> (sink or float|float or sink|swim or sink|sink or swim) [<on_water>]|be <x> go to (sink or float|float or sink)", {"form": "property", "property": "floats", "or": "yes"})
    for name, shared in _SHARED.items():
        for does in shared:
            for words in (f"{ones} [one] [of (these|them|those|the following)] [thing|things] {does} <list>", f"[of|among|out of] <list> {ones} [one|ones] [of (them|these|those)] {does}", f"one of <list> {does} which [one|one be it|be it]", f"(name|pick|choose) the one that {does} <list>", f"which of <list> {does}"):
                yield Pattern(words, {"form": "which", "property": name})
            for words in (f"how many [of (these|them|those|the following)] [thing|things] {does} <list>", f"how many of <list> {does}", f"[of|among|out of] <list> how many [of (them|these|those)] {does}", f"count the one that {does} <list>", f"<list> how many of them {does}"):
                yield Pattern(words, {"form": "many", "property": name})


PATTERNS = tuple(_patterns())
FILLERS = (
    "explain", "describe", "i mean", "hmm", "i ask", "my question be", "what i want to know be", "(do|will|can)", "or", "give me", "show me", "be what", "there", "please", "exactly", "just", "actually", "really", "accidentally", "by accident", "by mistake", "suddenly", "ever", "simply", "usually", "normally", "probably", "typically", "likely", "perhaps", "maybe", "generally",
    "do you think", "you think", "in your opinion", "i wonder", "i be wonder", "i want to know", "i will like to know", "can you (tell|show|explain to) me", "can you (say|tell|explain|predict|guess)", "tell me", "tell us", "do you know", "you know", "will you (tell|say)", "any idea", "i be curious",
    "hey", "hi", "hello", "so", "ok", "okay", "well", "oh", "um", "question", "quick question", "say", "guess", "let us see", "help", "oops", "imagine", "suppose", "there be", "here be", "i have", "be it true that", "be it the case that", "i guess", "i suppose", "i think", "i believe", "i bet", "right", "then", "now", "afterwards", "later", "still", "at all", "in the end", "and", "but", "also", "the moment", "eventually", "right away", "immediately", "straight away", "at once", "instead",
    "<place>", "let us say", "if so", "thanks", "thank you", "to me", "again", "possible", "for example", "in general", "when that happen", "after that", "as a result", "what do you say", "curious", "out of curiosity", "today", "yesterday", "this morning", "in real life", "according to physics", "physically", "in practice",
)  # fmt: skip
ADVERBS = frozenset(
    "just accidentally simply actually really suddenly ever also please maybe perhaps probably usually normally "
    "typically exactly carelessly unfortunately sadly possibly clumsily unintentionally basically literally "
    "apparently certainly definitely surely obviously even".split()
)
SPELLED = frozenset(
    re.findall(
        r"(?<!\{)\b[a-z]+\b(?!\})",
        " ".join(
            [
                *(words for thing in THINGS.values() for words in (thing.name, thing.short, *thing.indefinite)),
                *(words for wordings in VERBS.values() for words in wordings),
                *(verb for verbs in ASKED.values() for verb in verbs),
                *SURFACES,
                "happen happens happened when what where which does will would shatter freezer survive heavier fragile",
                "common whole bounce throw threw catch floats sinks",
            ]
        ),
    )
)
