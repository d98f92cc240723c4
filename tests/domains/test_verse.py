"""Rhyme and metre read from spelling, tried on verse that everybody knows (all of it out of copyright) and on prose."""

import random
import re

import pytest

from diversity.domains.verse import metred, rhymed, rhymes, syllables
from diversity.registry import find_domain

POEM = find_domain("poem")
KNOWN = {
    "limerick": [
        "There was an Old Man with a beard,\nWho said, 'It is just as I feared!\nTwo Owls and a Hen,\nFour Larks and a Wren,\nHave all built their nests in my beard!'",
        "There was a Young Lady whose chin,\nResembled the point of a pin;\nSo she had it made sharp,\nAnd purchased a harp,\nAnd played several tunes with her chin.",
        "There was an Old Man in a tree,\nWho was horribly bored by a Bee;\nWhen they said, 'Does it buzz?'\nHe replied, 'Yes, it does!\nIt's a regular brute of a Bee!'",
        "There was an Old Person whose habits,\nInduced him to feed upon rabbits;\nWhen he'd eaten eighteen,\nHe turned perfectly green,\nUpon which he relinquished those habits.",
        "There was a young lady of Niger\nWho smiled as she rode on a tiger;\nThey returned from the ride\nWith the lady inside,\nAnd the smile on the face of the tiger.",
    ],
    "sonnet": [
        """Shall I compare thee to a summer's day?
Thou art more lovely and more temperate:
Rough winds do shake the darling buds of May,
And summer's lease hath all too short a date;
Sometime too hot the eye of heaven shines,
And often is his gold complexion dimm'd;
And every fair from fair sometime declines,
By chance or nature's changing course untrimm'd;
But thy eternal summer shall not fade,
Nor lose possession of that fair thou ow'st;
Nor shall death brag thou wander'st in his shade,
When in eternal lines to time thou grow'st:
So long as men can breathe or eyes can see,
So long lives this, and this gives life to thee.""",
        """Let me not to the marriage of true minds
Admit impediments. Love is not love
Which alters when it alteration finds,
Or bends with the remover to remove.
O no! it is an ever-fixed mark
That looks on tempests and is never shaken;
It is the star to every wand'ring bark,
Whose worth's unknown, although his height be taken.
Love's not Time's fool, though rosy lips and cheeks
Within his bending sickle's compass come;
Love alters not with his brief hours and weeks,
But bears it out even to the edge of doom.
If this be error and upon me prov'd,
I never writ, nor no man ever lov'd.""",
        """When I consider how my light is spent,
Ere half my days, in this dark world and wide,
And that one Talent which is death to hide
Lodged with me useless, though my Soul more bent
To serve therewith my Maker, and present
My true account, lest he returning chide;
"Doth God exact day-labour, light denied?"
I fondly ask. But patience, to prevent
That murmur, soon replies, "God doth not need
Either man's work or his own gifts; who best
Bear his mild yoke, they serve him best. His state
Is Kingly. Thousands at his bidding speed
And post o'er Land and Ocean without rest:
They also serve who only stand and wait.\"""",
        """I met a traveller from an antique land
Who said: Two vast and trunkless legs of stone
Stand in the desert. Near them, on the sand,
Half sunk, a shattered visage lies, whose frown,
And wrinkled lip, and sneer of cold command,
Tell that its sculptor well those passions read
Which yet survive, stamped on these lifeless things,
The hand that mocked them and the heart that fed:
And on the pedestal these words appear:
"My name is Ozymandias, king of kings:
Look on my works, ye Mighty, and despair!"
Nothing beside remains. Round the decay
Of that colossal wreck, boundless and bare
The lone and level sands stretch far away.""",
    ],
    "couplets": [
        "Tyger Tyger, burning bright,\nIn the forests of the night;\nWhat immortal hand or eye,\nCould frame thy fearful symmetry?",
        "A little learning is a dangerous thing;\nDrink deep, or taste not the Pierian spring:\nThere shallow draughts intoxicate the brain,\nAnd drinking largely sobers us again.",
        "'Twas the night before Christmas, when all through the house\nNot a creature was stirring, not even a mouse;\nThe stockings were hung by the chimney with care,\nIn hopes that St. Nicholas soon would be there;",
        "Had we but world enough and time,\nThis coyness, lady, were no crime.\nWe would sit down, and think which way\nTo walk, and pass our long love's day.",
        "I think that I shall never see\nA poem lovely as a tree.\nA tree whose hungry mouth is prest\nAgainst the earth's sweet flowing breast;\nA tree that looks at God all day,\nAnd lifts her leafy arms to pray;",
    ],
    "ballad": [
        "It is an ancient Mariner,\nAnd he stoppeth one of three.\nBy thy long grey beard and glittering eye,\nNow wherefore stopp'st thou me?\nThe Bridegroom's doors are opened wide,\nAnd I am next of kin;\nThe guests are met, the feast is set:\nMay'st hear the merry din.\nHe holds him with his skinny hand,\nThere was a ship, quoth he.\nHold off! unhand me, grey-beard loon!\nEftsoons his hand dropt he.",
        "The king sits in Dunfermline town,\nDrinking the blude-red wine;\nO whare will I get a skeely skipper,\nTo sail this new ship of mine?\nBecause I could not stop for Death,\nHe kindly stopped for me;\nThe carriage held but just ourselves\nAnd Immortality.",
    ],
    "ABAB": [
        "The curfew tolls the knell of parting day,\nThe lowing herd wind slowly o'er the lea,\nThe ploughman homeward plods his weary way,\nAnd leaves the world to darkness and to me.",
        "She dwelt among the untrodden ways\nBeside the springs of Dove,\nA Maid whom there were none to praise\nAnd very few to love:",
        "She walks in beauty, like the night\nOf cloudless climes and starry skies;\nAnd all that's best of dark and bright\nMeet in her aspect and her eyes;",
    ],
}

PROSE = """The shop opens at nine. She walked along the river. Nobody had seen the letter. He paid for the ticket in coins. The
meeting was moved to Thursday. A cup stood on the table. Their train left without them. We could hear the neighbours.
It had rained since morning. The children asked for more bread. He never answered the question. Somebody had painted the
fence green. The bill came to forty pounds. Her brother works in a bank. They bought the house in spring. The road was
closed for a week. I put the keys on the shelf. The cat slept under the car. Lunch is served until two. The lamp needs a new
bulb."""
UNLIKE = re.findall(r"\w+", "table orange chair river window paper moss garden stone kitchen ladder bread fork cup")
SENTENCES = re.split(r"(?<=[.])\s+", PROSE)


@pytest.mark.parametrize(("form", "text"), [(form, text) for form, texts in KNOWN.items() for text in texts])
def test_known_verse_has_the_rhymes_and_lengths_of_its_form(form, text):
    lines = text.split("\n")
    assert rhymed(lines, form) >= 0.6
    assert metred(lines, form) >= 0.9


@pytest.mark.parametrize(
    ("form", "lines"), [("limerick", 5), ("sonnet", 14), ("couplets", 4), ("ballad", 12), ("ABAB", 4)]
)
def test_sentences_of_prose_do_not_rhyme_by_chance(form, lines):
    rng = random.Random(0)
    drawn = [rhymed(rng.sample(SENTENCES, lines), form) for _ in range(100)]
    assert sum(share >= 0.5 for share in drawn) <= 8


def test_a_villanelle_keeps_its_refrains():
    first, third = "Do not go gently now", "Rage at the light"
    middle = [
        line
        for i in range(4)
        for line in (f"they also show how {i} bow", "a middle line of day", (first, third)[i % 2])
    ]
    lines = [first, "a middle line of day", third, *middle, "they bow", "the last of day", first, third]
    assert len(lines) == 19
    assert rhymed(lines, "villanelle") == 1
    assert (
        rhymed([f"{line} {word}" for line, word in zip(lines, "abcdefghijklmnopqrs", strict=True)], "villanelle") < 0.5
    )


@pytest.mark.parametrize("pair", [
    ("bright", "kite"), ("day", "they"), ("love", "above"), ("prove", "love"), ("eyes", "skies"), ("time", "rhyme"),
    ("go", "though"), ("giving", "living"), ("station", "nation"), ("table", "able"), ("heart", "part"), ("said", "bed"),
    ("more", "four"), ("fear", "here"), ("rings", "things"), ("pretty", "city"), ("laugh", "half"), ("the sea.", "to be!"),
])  # fmt: skip
def test_pairs_that_rhyme(pair):
    assert rhymes(*pair)
    assert rhymes(*reversed(pair))


@pytest.mark.parametrize("pair", [
    ("bright", "bread"), ("day", "sea"), ("table", "chair"), ("running", "singing"), ("river", "paper"), ("moon", "sun"),
    ("stone", "stop"), ("tree", "tree"), ("", "tree"), ("12", "13"), ("garden", "kitchen"), ("window", "yellow"),
])  # fmt: skip
def test_pairs_that_do_not(pair):
    assert not rhymes(*pair)


@pytest.mark.parametrize(("text", "counts"), [
    ("one leg in the reeds", (5, 5)), ("the heron folds the river", (7, 7)), ("", (0, 0)), ("An old silent pond", (5, 5)),
    ("Whales' walnut-trees", (4, 4)), ("didn't couldn't I'm", (5, 5)), ("little candles cradled rhythm", (8, 8)),
    ("jumped wanted loved gnarled", (5, 5)), ("make likes homes lonely", (5, 5)), ("science idea create", (7, 8)), ("naïve café", (3, 4)),
])  # fmt: skip
def test_syllables_lie_between_bounds(text, counts):
    low, high = syllables(text)
    assert low <= counts[1]
    assert high >= counts[0]
    assert high - low <= 3


@pytest.mark.parametrize(("prompt_id", "form"), [
    ("poem-004", "limerick"), ("poem-013", "sonnet"), ("poem-006", "couplets"), ("poem-052", "ballad"), ("poem-010", "ABAB"),
])  # fmt: skip
def test_quality_asks_for_the_form_that_was_asked(prompt_id, form):
    prompt = POEM.by_id[prompt_id]
    verse = next(
        text for text in KNOWN[form] if prompt.details["lines"][0] <= text.count("\n") + 1 <= prompt.details["lines"][1]
    )
    lines = verse.split("\n")
    plain = "\n".join(
        f"{line.rstrip('.,;:!?')} {word}"
        for line, word in zip(
            lines,
            UNLIKE,
            strict=False,
        )
    )

    assert POEM.quality(verse, prompt) >= 0.75
    assert POEM.quality(plain, prompt) == 0.25
    assert not POEM.is_valid(plain, prompt)


def test_a_haiku_counts_its_syllables():
    prompt = POEM.by_id["poem-002"]
    right = "one leg in the reeds\nthe heron folds the river\nback into itself"
    near = right.replace("back into itself", "back into its old self")
    off = "in the reeds at last one leg\nthe heron folds\nthe whole river back into itself"

    assert [POEM.quality(text, prompt) for text in (right, near, off)] == [1.0, pytest.approx(5 / 6), 0.25]
