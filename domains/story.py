"""Short fiction: good stories of one prompt are different stories."""

import re
from functools import cache, lru_cache

from diversity.domain import Domain, Prompt
from diversity.flags import letters_and_spaces

# "Sure! Here is a short story about a dog:" says nothing of the story, and tuned checkpoints open with it. What
# could be a story's own first line stays: "Okay, I admit it: I broke the vase.", "Here is what I remember:".
_ASSENT = r"(?:sure(?: thing)?|certainly|of course|absolutely|gladly|no problem)"
_GREETING = rf"(?:{_ASSENT}|okay|ok|alright|great)"
_HERE = (
    r"(?:here(?:['’]s| is| are| you go)|below (?:is|are)|i(?:['’]ll| will| can| have|['’]ve) "
    r"(?:write|written|create|created|craft|crafted))"
)


@cache
def _preamble(work: str) -> re.Pattern[str]:
    """Return what matches a greeting or an announcement at the start of an output; made when it is first needed."""
    announced = rf"(?:{work}|piece|draft|version|attempt|you (?:asked|requested|wanted))"
    return re.compile(
        r"\A\s*(?:"
        rf"{_GREETING}[!,:]+[ \t]*\n+|{_ASSENT}\.[ \t]*\n+"
        # announced on a line of its own
        rf"|{_HERE}\b[^\n:]{{0,160}}?\b{announced}\b[^\n:]{{0,160}}?:[*_]*[ \t]*\n+"
        rf"|{_GREETING}[!,.]+\s*{_HERE}\b[^\n:]{{0,160}}?\b{announced}\b[^\n:]{{0,160}}?[:.!…][*_]*[ \t]*\n+"
        rf"|{_ASSENT}[!,.]+\s*{_HERE}\b[^\n:]{{0,200}}[:.!…][ \t]*\n+"
        # greeted and announced on the answer's own first line
        rf"|{_GREETING}[!,.]+\s*{_HERE}\b[^\n:]{{0,120}}\b{announced}\b[^\n:]{{0,120}}:[ \t]+(?=\S)"
        rf"|(?:{_GREETING}[!,.]+\s*)?i(?:['’]d| would) be (?:happy|glad|delighted) to (?:write|help|tell|create|share)"
        r"[^\n]{0,160}\n+"
        rf"|\**(?:short )?{work}\**:\**[ \t]*\n+"
        r")",
        re.IGNORECASE,
    )


WORK = r"(?:stor(?:y|ies)|tale|fable|fiction|narrative|vignette|paragraphs?|sentences)"  # what is announced
RULE = re.compile(r"\A\s*(?:[-*_][ \t]*){3,}\n+")
# Marked as a title, on a line of its own; a sentence in bold is a sentence.
TITLE = re.compile(
    r"\A\s*(?:#{1,6}[ \t]+[^\n]+|\*{0,2}title\*{0,2}:[^\n]+|(?P<mark>\*\*|__)(?:(?!(?P=mark))[^\n]){1,100}"
    r"(?<![.…,;])(?<![.…,;!?][\"”])(?P=mark))[ \t]*\n+",
    re.IGNORECASE,
)
# Not marked: a short line before a blank one, its words capitalised, without a full stop.
PLAIN_TITLE = re.compile(r"\A\s*[\"“*_]?((?:[^\W_][\w'’-]*[ ,:&]+){1,8}[^\W_][\w'’-]*)[\"”*_]?[ \t]*\n[ \t]*\n+(?=\S)")
SMALL_WORDS = {
    *("a", "an", "and", "as", "at", "but", "by", "for", "from", "in", "into", "is", "it", "of", "on", "or", "over"),
    *("the", "to", "under", "with"),
}
FEWEST_WORDS = 20
FINISHED = re.compile(r"[.!?…][\"'”’)*_\]]*\s*(?:the end\.?)?\W*\Z", re.IGNORECASE)


class Story(Domain):
    """Short stories on a given subject."""

    name = "story"
    noun = "stories"
    primary = "semantic"
    rewards = {"lexical": "distinct", "syntactic": "distinct", "semantic": "distinct"}  # noqa: RUF012
    speech = "en"
    max_tokens = 320
    prompt_file = "story.jsonl"
    version = "3"
    exemplars = (
        (
            "Write a short story about a baker.",
            "The ovens failed on the eve of the fair. Marta carried her dough to the smithy and baked forty loaves on "
            "the anvil plate, and the smith, who had not spoken to her in years, turned every one.",
        ),
        (
            "Tell a story in which a child finds a map.",
            '"It only shows our street," said Ines. But the map had a thirteenth house, and that evening, between '
            "number twelve and the chapel, a lamp was lit in a window neither of them had seen.",
        ),
        (
            "I need a few paragraphs of fiction set in a train station.",
            "Nobody had come for the trunk. By Thursday the porters were sitting on it to eat; by Sunday they had "
            "named it. When the owner arrived at last she was ninety, and asked them not to get up.",
        ),
        (
            "A short story, please: two sisters and a storm.",
            "We counted between the flash and the sound. Seven, said Ruth, who always rounded down. The roof went at "
            "three. Years later we still disagree about which of us was holding the cat.",
        ),
    )

    def extract(self, output: str) -> str:
        """Return the story without a greeting, an announcement or a title before it."""
        return untitled(without_preamble(output, WORK))

    def quality(self, answer: str, prompt: Prompt | None) -> float | None:
        """Return 1 for a finished text of words that is long enough, 0.5 when it breaks off, 0 when it is no story.

        One that breaks off still passes: how much fits is the choice of who set the token limit, for both
        checkpoints alike, and the guard `truncated` tells how often it was.
        """
        return _rated(answer)


@lru_cache(maxsize=4)  # validity asks again
def _rated(answer: str) -> float:
    letters = letters_and_spaces(answer)
    if len(answer.split(maxsplit=FEWEST_WORDS)) < FEWEST_WORDS or letters <= 0.8 * len(answer):
        return 0.0
    return 1.0 if FINISHED.search(answer) else 0.5


def without_preamble(output: str, work: str) -> str:
    """Drop a greeting, an announcement of the `work` (a regular expression) and a rule before an answer."""
    pattern = _preamble(work)
    text = output.replace("\r\n", "\n").replace("\r", "\n")
    for each in (pattern, pattern, RULE):
        text = each.sub("", text, count=1)
    return text


def untitled(text: str) -> str:
    """Drop the title of a text, marked or not."""
    text, titles = TITLE.subn("", text, count=1)
    text = TITLE.sub("", RULE.sub("", text), count=1) if titles else _untitled(text)
    return RULE.sub("", text).strip()


def _untitled(text: str) -> str:
    """Drop a title that nothing marks but its capitals."""
    found = PLAIN_TITLE.match(text)
    if not found:
        return text
    words = re.findall(r"\w[\w'’-]*", found[1])
    titled = words[0][0].isupper() and all(not w[0].islower() or w in SMALL_WORDS for w in words)
    return text[found.end() :] if titled else text
