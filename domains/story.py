"""Short fiction: good stories of one prompt are different stories."""

import re

from diversity.domain import Domain, Prompt, is_loop

# "Sure! Here is a short story about a dog:" says nothing of the story, and tuned checkpoints open with it.
PREAMBLE = re.compile(
    r"\A\s*(?:(?:sure|certainly|of course|absolutely|okay|ok|great)[!,.][^\n]*?\n+"
    r"|(?:(?:sure|certainly|of course|absolutely|okay|ok)[!,.]\s*)?(?:here(?:['’]s| is| are)|below is)\b"
    r"[^\n]{0,160}?:\s*\n+)",
    re.IGNORECASE,
)
TITLE = re.compile(r"\A\s*(?:#{1,6}\s+[^\n]+|\*\*[^*\n]{1,100}\*\*|title:[^\n]+)\s*\n+", re.IGNORECASE)
FEWEST_WORDS = 20


class Story(Domain):
    """Short stories on a given subject."""

    name = "story"
    noun = "stories"
    primary = "semantic"
    rewards = {"lexical": "distinct", "syntactic": "distinct", "semantic": "distinct"}  # noqa: RUF012
    max_tokens = 320
    prompt_file = "story.jsonl"
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
        text = PREAMBLE.sub("", output, count=1)
        return TITLE.sub("", text, count=1).strip()

    def is_valid(self, answer: str, prompt: Prompt | None) -> bool:
        """Whether it is long enough to be a story, made of words, no refusal and no loop."""
        words = answer.split()
        letters = sum(c.isalpha() or c.isspace() for c in answer)
        return (
            len(words) >= FEWEST_WORDS
            and letters > 0.8 * len(answer)
            and not self.is_refusal(answer)
            and not is_loop(answer)
        )
