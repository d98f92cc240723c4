"""Haiku: three short lines."""

import diversity


class Haiku(diversity.Domain):
    """Poems of three short lines; any image and any words will do."""

    name = "haiku"
    noun = "haiku"
    primary = "semantic"
    rewards = {"lexical": "distinct", "semantic": "distinct"}
    speech = "en"
    max_tokens = 64
    prompt_file = "haiku.jsonl"
    exemplars = (
        ("Write a haiku about a well.", "The bucket comes up\nwith a leaf and half the moon;\nI drink from the leaf."),
        ("A haiku about bread, please.", "Flour on the sill.\nOutside, the first snow is late.\nBoth of us rising."),
    )

    def extract(self, output):
        """Take the first run of three lines or more without an empty one, else the whole output."""
        verses = [v.strip() for v in output.strip().split("\n\n")]
        return next((v for v in verses if len(v.splitlines()) >= 3), output.strip())

    def quality(self, answer, prompt):
        """One for three lines of at most eight words each, else zero."""
        lines = answer.splitlines()
        return float(len(lines) == 3 and all(len(line.split()) <= 8 for line in lines))
