"""Problems in families, each familiar and in five structural variants: whether a model has a method or a template.

A family is a form of problem with a generator and an exact solver. Its familiar instance is the textbook form; the
variants change one thing each that a method survives and a template need not: an element less ("removed"), other
names ("renamed"), other magnitudes ("rescaled"), a clause that does not matter ("irrelevant"), and the question asked
backwards ("reversed"). Prompts are made by the generator, the same on every machine. What the drop from familiar to
variant says is in `diversity.transfer` and docs/probes.md.

References
----------
The pairs of an instance and the same without one element follow studies of constraint optimisation after GRPO (the
N-1 case); arXiv:2510.15990 asks whether tuning leaves what pretraining had.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise, product
from random import Random
from typing import Any

from diversity.domain import Domain, Prompt
from diversity.domains.maths import Math

FAMILIAR = "familiar"
VARIANTS = ("removed", "renamed", "rescaled", "irrelevant", "reversed")
INSTANCES = 2  # of each family

END = "Work it out step by step, then end with a line 'Answer:' and the answer alone."

Values = Mapping[str, Any]
Told = tuple[str, str, str]  # what is given, the question, the answer


@dataclass(frozen=True, slots=True)
class Family:
    """A form of problem.

    Attributes
    ----------
    name : str
    values : callable
        A random generator and a scale (1, or larger for "rescaled") -> the instance's numbers or words.
    forward, backward : callable
        Values and names -> what is given, the question and the answer; `backward` asks for what `forward` gives.
    shorter : callable
        The values with one element less.
    names, others : sequence of str
        The familiar names, and those of the renamed variant.
    aside : str
        A clause that does not matter to the answer.
    kind : str
        "number" or "word": how answers are compared.
    """

    name: str
    values: Callable[[Random, int], Values]
    forward: Callable[[Values, Sequence[str]], Told]
    backward: Callable[[Values, Sequence[str]], Told]
    shorter: Callable[[Values], Values]
    names: Sequence[str]
    others: Sequence[str]
    aside: str
    kind: str = "number"


def without_last(key: str) -> Callable[[Values], Values]:
    """Return what drops the last element of a list among the values."""
    return lambda values: {**values, key: values[key][:-1]}


def listed(items: Sequence[Any]) -> str:
    """Items in a sentence: 'a, b and c'."""
    told = [str(item) for item in items]
    return told[0] if len(told) == 1 else f"{', '.join(told[:-1])} and {told[-1]}"


def _draw(rng: Random, count: int, low: int, high: int, scale: int = 1) -> list[int]:
    return [rng.randint(low, high) * scale for _ in range(count)]


# Solvers: by enumeration, since instances are small


def best_load(weights: Sequence[int], values: Sequence[int], limit: int) -> int:
    """Greatest total value of items whose weights fit in a limit (0-1 knapsack).

    Examples
    --------
    >>> best_load([2, 3, 4], [3, 4, 6], 5)
    7
    """
    places = range(len(weights))
    return max(
        sum(values[i] for i in chosen)
        for size in range(len(weights) + 1)
        for chosen in combinations(places, size)
        if sum(weights[i] for i in chosen) <= limit
    )


def lightest_load(weights: Sequence[int], values: Sequence[int], wanted: int) -> int:
    """Least total weight of items that reach a total value."""
    places = range(len(weights))
    return min(
        sum(weights[i] for i in chosen)
        for size in range(len(weights) + 1)
        for chosen in combinations(places, size)
        if sum(values[i] for i in chosen) >= wanted
    )


def earliest_end(durations: Sequence[int], machines: int) -> int:
    """Least time in which so many machines finish all jobs, none of which can be split.

    Examples
    --------
    >>> earliest_end([3, 3, 2, 2, 2], 2)
    6
    """
    return min(
        max(sum(d for d, m in zip(durations, placed, strict=True) if m == machine) for machine in range(machines))
        for placed in product(range(machines), repeat=len(durations))
    )


def fewest_machines(durations: Sequence[int], deadline: int) -> int:
    """Fewest machines that finish all jobs by a deadline, which no single job exceeds."""
    return next(m for m in range(1, len(durations) + 1) if earliest_end(durations, m) <= deadline)


def most_meetings(spans: Sequence[tuple[int, int]]) -> int:
    """Most spans of time of which no two overlap; one may begin when another ends.

    Examples
    --------
    >>> most_meetings([(9, 11), (10, 12), (11, 13)])
    2
    """
    return max(
        len(chosen)
        for size in range(len(spans) + 1)
        for chosen in combinations(sorted(spans), size)
        if all(a[1] <= b[0] for a, b in pairwise(chosen))
    )


def fewest_rooms(spans: Sequence[tuple[int, int]]) -> int:
    """Fewest rooms that hold all spans of time: the most that run at once."""
    return max(sum(begin <= at < end for begin, end in spans) for at, _ in spans)


# Families


def _shop(v: Values, names: Sequence[str]) -> Told:
    items = listed([f"a {thing} for {price} dollars" for thing, price in zip(v["things"], v["prices"], strict=False)])
    return f"{names[0]} buys {items}.", f"How many dollars does {names[0]} spend in all?", str(sum(v["prices"]))


def _shop_back(v: Values, names: Sequence[str]) -> Told:
    prices = v["prices"]
    items = listed([f"a {t} for {p} dollars" for t, p in zip(v["things"][1:], prices[1:], strict=False)])
    first = v["things"][0]
    given = f"{names[0]} buys a {first}, {items}, and spends {sum(prices)} dollars in all."
    return given, f"How many dollars does the {first} cost?", str(prices[0])


def _bus(v: Values, names: Sequence[str]) -> Told:
    stops = "; ".join(f"{on} get on and {off} get off" for on, off in v["stops"])
    end = v["start"] + sum(on - off for on, off in v["stops"])
    return (
        f"A {names[0]} leaves with {v['start']} passengers. At its next stops, in turn, {stops}.",
        f"How many passengers are in the {names[0]} at the end?",
        str(end),
    )


def _bus_back(v: Values, names: Sequence[str]) -> Told:
    stops = "; ".join(f"{on} get on and {off} get off" for on, off in v["stops"])
    end = v["start"] + sum(on - off for on, off in v["stops"])
    return (
        f"A {names[0]} sets out with some passengers. At its stops, in turn, {stops}. It ends with {end} passengers.",
        f"With how many passengers did the {names[0]} set out?",
        str(v["start"]),
    )


def _pages(v: Values, names: Sequence[str]) -> Told:
    days = listed(v["days"])
    left = v["total"] - sum(v["days"])
    return (
        f"{names[0]} has a book of {v['total']} pages and reads {days} pages on successive days.",
        "How many pages are left to read?",
        str(left),
    )


def _pages_back(v: Values, names: Sequence[str]) -> Told:
    left = v["total"] - sum(v["days"])
    given = f"{names[0]} reads {listed(v['days'])} pages of a book on successive days, and has {left} pages left."
    return given, "How many pages does the book have?", str(v["total"])


def _pipes(v: Values, names: Sequence[str]) -> Told:
    rates = listed(v["rates"])
    return (
        f"Pipes that give {rates} litres a minute fill a {names[0]} together for {v['minutes']} minutes.",
        f"How many litres flow into the {names[0]}?",
        str(sum(v["rates"]) * v["minutes"]),
    )


def _pipes_back(v: Values, names: Sequence[str]) -> Told:
    litres = sum(v["rates"]) * v["minutes"]
    return (
        f"Pipes that give {listed(v['rates'])} litres a minute fill an empty {names[0]} of {litres} litres together.",
        f"How many minutes does it take to fill the {names[0]}?",
        str(v["minutes"]),
    )


def _ages(v: Values, names: Sequence[str]) -> Told:
    steps = v["steps"]
    chain = " ".join(f"{names[i + 1]} is {d} years older than {names[i]}." for i, d in enumerate(steps))
    return (
        f"{names[0]} is {v['youngest']} years old. {chain}",
        f"How old is {names[len(steps)]}?",
        str(v["youngest"] + sum(steps)),
    )


def _ages_back(v: Values, names: Sequence[str]) -> Told:
    steps = v["steps"]
    chain = " ".join(f"{names[i + 1]} is {d} years older than {names[i]}." for i, d in enumerate(steps))
    oldest = v["youngest"] + sum(steps)
    return f"{chain} {names[len(steps)]} is {oldest} years old.", f"How old is {names[0]}?", str(v["youngest"])


def _load(v: Values, names: Sequence[str]) -> Told:
    items = listed([f"one of {w} kg worth {p} dollars" for w, p in zip(v["weights"], v["worth"], strict=False)])
    worth = v["worth"][: len(v["weights"])]
    return (
        f"A {names[0]} carries at most {v['limit']} kg. There are these parcels: {items}. A parcel is taken or left.",
        f"What is the greatest total worth in dollars that the {names[0]} can carry?",
        str(best_load(v["weights"], worth, v["limit"])),
    )


def _load_back(v: Values, names: Sequence[str]) -> Told:
    items = listed([f"one of {w} kg worth {p} dollars" for w, p in zip(v["weights"], v["worth"], strict=False)])
    wanted = best_load(v["weights"], v["worth"], v["limit"])
    return (
        f"A {names[0]} must carry parcels worth {wanted} dollars or more in total. There are: {items}.",
        f"What is the least total weight in kg that the {names[0]} must carry?",
        str(lightest_load(v["weights"], v["worth"], wanted)),
    )


def _jobs(v: Values, names: Sequence[str]) -> Told:
    given = f"Two {names[0]} share jobs of {listed(v['jobs'])} hours, working side by side. A job cannot be split."
    return given, "After how many hours can all jobs be done at the earliest?", str(earliest_end(v["jobs"], 2))


def _jobs_back(v: Values, names: Sequence[str]) -> Told:
    deadline = max(v["jobs"])
    return (
        f"There are jobs of {listed(v['jobs'])} hours for {names[0]} who work side by side. A job cannot be split.",
        f"How many {names[0]} are needed at least to finish all jobs within {deadline} hours?",
        str(fewest_machines(v["jobs"], deadline)),
    )


def _talks(v: Values, names: Sequence[str]) -> Told:
    spans = listed([f"{a}:00 to {b}:00" for a, b in v["spans"]])
    return (
        f"The {names[0]} on offer run from {spans}. One may begin at the moment another ends.",
        f"How many {names[0]} can one person attend in full at most?",
        str(most_meetings(v["spans"])),
    )


def _talks_back(v: Values, names: Sequence[str]) -> Told:
    spans = listed([f"{a}:00 to {b}:00" for a, b in v["spans"]])
    return (
        f"The {names[0]} on offer run from {spans}. A room is free again at the moment one ends.",
        f"How many rooms are needed at least to hold all {names[0]}?",
        str(fewest_rooms(v["spans"])),
    )


def _letters(v: Values, names: Sequence[str]) -> Told:
    words = [names[i] for i in v["words"]]
    letter = v["letter"]
    given = f"Take these words: {', '.join(words)}."
    return given, f"How many times does the letter '{letter}' occur in them?", str("".join(words).count(letter))


def _letters_back(v: Values, names: Sequence[str]) -> Told:
    words = [names[i] for i in v["words"]]
    rest = sum(c != v["letter"] for c in "".join(words))
    return f"Take these words: {', '.join(words)}.", f"How many of their letters are not '{v['letter']}'?", str(rest)


def _ends(v: Values, names: Sequence[str]) -> Told:
    words = [names[i] for i in v["words"]]
    joined = "".join(w[-1] for w in words)
    return f"Take these words: {', '.join(words)}.", "Join their last letters in this order. What do you get?", joined


def _ends_back(v: Values, names: Sequence[str]) -> Told:
    words = [names[i] for i in v["words"]]
    joined = "".join(w[-1] for w in reversed(words))
    question = "Join their last letters, beginning with the last word and going back. What do you get?"
    return f"Take these words: {', '.join(words)}.", question, joined


ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")


def _sorted(v: Values, names: Sequence[str]) -> Told:
    words = [names[i] for i in v["words"]]
    place = v["place"]
    question = f"Put them in alphabetical order. Which word is {ORDINALS[place]}?"
    return f"Take these words: {', '.join(words)}.", question, sorted(words)[place]


def _sorted_back(v: Values, names: Sequence[str]) -> Told:
    words = [names[i] for i in v["words"]]
    place = v["place"]
    question = (
        f"Put them in alphabetical order, beginning from the end of the alphabet. Which word is {ORDINALS[place]}?"
    )
    return f"Take these words: {', '.join(words)}.", question, sorted(words, reverse=True)[place]


def _coins(v: Values, names: Sequence[str]) -> Told:
    amounts = {a + b for a, b in combinations(v["coins"], 2)}
    given = f"A {names[0]} holds one coin of each of these values: {listed(v['coins'])} cents."
    return given, "How many different amounts can be paid with exactly two of the coins?", str(len(amounts))


def _coins_back(v: Values, names: Sequence[str]) -> Told:
    coins = v["coins"]
    payable = {sum(c) for size in range(1, len(coins) + 1) for c in combinations(coins, size)}
    missing = next(a for a in range(1, sum(coins) + 2) if a not in payable)
    given = f"A {names[0]} holds one coin of each of these values: {listed(coins)} cents."
    return given, "What is the smallest whole amount in cents that cannot be paid exactly with them?", str(missing)


THINGS = ("book", "lamp", "chair", "kettle", "scarf")
WORDS = ("cheese", "garden", "window", "pencil", "basket", "meadow", "engine", "feather")
OTHER_WORDS = ("terrace", "referral", "emerald", "zebra", "kelp", "creek", "sequin", "breeze")


def _stops(rng: Random, scale: int) -> Values:
    stops = [(rng.randint(3, 9) * scale, rng.randint(1, 3) * scale) for _ in range(3)]
    return {"start": rng.randint(8, 20) * scale, "stops": stops}


def _spans(rng: Random, scale: int) -> Values:
    # Hours of a day cannot be scaled: the larger instance has longer ones.
    begins = sorted(rng.sample(range(8, 17), 5))
    return {"spans": [(b, b + rng.randint(1, 2) + (scale > 1)) for b in begins]}


def _book(rng: Random, scale: int) -> Values:
    return {"total": rng.randint(150, 220) * scale, "days": _draw(rng, 4, 12, 30, scale)}


def _parcels(rng: Random, scale: int) -> Values:
    weights = _draw(rng, 4, 2, 7)
    limit = sum(weights) * 3 // 5 * scale
    return {"weights": [w * scale for w in weights], "worth": _draw(rng, 4, 3, 20, scale), "limit": limit}


def _words(rng: Random, scale: int) -> Values:
    chosen = rng.sample(range(len(WORDS)), 4 + (scale > 1))
    return {"words": chosen, "letter": "e", "place": rng.randint(0, 2)}


FAMILIES = (
    Family(
        "shopping",
        lambda r, s: {"things": r.sample(THINGS, 4), "prices": _draw(r, 4, 3, 25, s)},
        _shop,
        _shop_back,
        without_last("prices"),
        ("Anna",),
        ("Qvistrel",),
        "The shop opens at 9 and has 14 shelves.",
    ),
    Family(
        "bus",
        _stops,
        _bus,
        _bus_back,
        without_last("stops"),
        ("bus",),
        ("sky ferry",),
        "The driver has 12 years of service.",
    ),
    Family(
        "pages",
        _book,
        _pages,
        _pages_back,
        without_last("days"),
        ("Tom",),
        ("Ozzimandra",),
        "The book was printed 30 years ago and cost 15 dollars.",
    ),
    Family(
        "pipes",
        lambda r, s: {"rates": _draw(r, 3, 3, 9, s), "minutes": r.randint(4, 9)},
        _pipes,
        _pipes_back,
        without_last("rates"),
        ("tank",),
        ("gwimble",),
        "The pipes are 8 metres long.",
    ),
    Family(
        "ages",
        lambda r, s: {"youngest": r.randint(5, 12) * s, "steps": _draw(r, 3, 2, 6, s)},
        _ages,
        _ages_back,
        without_last("steps"),
        ("Ben", "Clara", "David", "Emma"),
        ("Brix", "Corvane", "Dolumi", "Eskarp"),
        "They live at number 17.",
    ),
    Family(
        "knapsack",
        _parcels,
        _load,
        _load_back,
        without_last("weights"),
        ("van",),
        ("zeppelin",),
        "It is painted in 3 colours.",
    ),
    Family(
        "jobs",
        lambda r, s: {"jobs": _draw(r, 5, 1, 6, s)},
        _jobs,
        _jobs_back,
        without_last("jobs"),
        ("painters",),
        ("automata",),
        "Their workshop is 40 years old.",
    ),
    Family(
        "talks",
        _spans,
        _talks,
        _talks_back,
        without_last("spans"),
        ("talks",),
        ("seances",),
        "The building has 6 floors.",
    ),
    Family(
        "letters",
        _words,
        _letters,
        _letters_back,
        without_last("words"),
        WORDS,
        OTHER_WORDS,
        "They were found on page 23.",
    ),
    Family(
        "last-letters",
        _words,
        _ends,
        _ends_back,
        without_last("words"),
        WORDS,
        OTHER_WORDS,
        "They were found on page 41.",
        "word",
    ),
    Family(
        "sorting",
        _words,
        _sorted,
        _sorted_back,
        without_last("words"),
        WORDS,
        OTHER_WORDS,
        "They were written in blue ink.",
        "word",
    ),
    Family(
        "coins",
        lambda r, s: {
            "coins": [1, *sorted(r.sample(range(2, 10), 3))] if s == 1 else sorted(r.sample(range(11, 60), 4))
        },
        _coins,
        _coins_back,
        without_last("coins"),
        ("purse",),
        ("lockbox",),
        "It weighs 90 grams.",
    ),
)

SCALE = 10


def problem(family: Family, instance: int, kind: str) -> tuple[str, str]:
    """Return the text and the answer of one member of a family.

    Parameters
    ----------
    family : Family
    instance : int
        Sets the numbers; the variants of one instance share them, but for "rescaled".
    kind : str
        "familiar" or one of `VARIANTS`.

    Examples
    --------
    >>> problem(FAMILIES[4], 0, "familiar")[0].split(" Work")[0][:25]
    'Ben is 9 years old. Clara'
    """
    scale = SCALE if kind == "rescaled" else 1
    values = family.values(Random(f"{family.name}|{instance}"), scale)  # noqa: S311 - texts, no secrets
    names = family.others if kind == "renamed" else family.names
    if kind == "removed":
        values = family.shorter(values)
    given, question, answer = (family.backward if kind == "reversed" else family.forward)(values, names)
    aside = f" {family.aside}" if kind == "irrelevant" else ""
    return f"{given}{aside} {question} {END}", answer


class Variants(Math):
    """Problem families, each in a familiar form and five structural variants, with exact answers."""

    name = "variants"
    noun = "solutions"
    primary = "functional"
    rewards = {"lexical": "neutral", "syntactic": "neutral", "semantic": "neutral", "functional": "converge"}  # noqa: RUF012
    max_tokens = 256
    prompt_file = None
    exemplars = (
        (
            f"A tray holds 4 cups and 3 plates. How many pieces are on two such trays? {END}",
            "One tray holds 4 + 3 = 7 pieces, so two hold 2 * 7 = 14.\nAnswer: 14",
        ),
        (
            f"Take these words: lamp, stone. Join their first letters in this order. What do you get? {END}",
            "The first letters are l and s, in this order ls.\nAnswer: ls",
        ),
        (
            f"A rope of 30 metres is cut into 6 equal parts. How many metres long is a part? {END}",
            "Each part is 30 / 6 = 5 metres long.\nAnswer: 5",
        ),
        (
            f"Mia has 12 stamps and gives away a third of them. How many stamps does she keep? {END}",
            "A third of 12 is 4, so she keeps 12 - 4 = 8.\nAnswer: 8",
        ),
    )

    @cached_property
    def prompts(self) -> tuple[Prompt, ...]:
        """All members of all families: the first instance of each family with its variants, then the next one."""
        made = []
        for instance in range(INSTANCES):
            for family in FAMILIES:
                for kind in (FAMILIAR, *VARIANTS):
                    text, answer = problem(family, instance, kind)
                    details = {
                        "family": family.name,
                        "instance": instance,
                        "form": kind,
                        "kind": family.kind,
                        "answer": answer,
                    }
                    made.append(Prompt(f"variants-{family.name}-{instance + 1}-{kind}", text, details))
        return tuple(made)

    def behaviour(self, answer: str, prompt: Prompt | None) -> str | None:
        """Return the final answer: a number in one normal form, a word in lower case."""
        if prompt is None or prompt.details.get("kind") != "word":
            return super().behaviour(answer, prompt)
        return word(answer)

    def quality(self, answer: str, prompt: Prompt | None) -> float | None:
        """Return 1 when the final answer is the solver's, else 0."""
        if prompt is None or "answer" not in prompt.details:
            return None
        if prompt.details.get("kind") != "word":
            return super().quality(answer, prompt)
        return float(word(answer) == str(prompt.details["answer"]).lower())

    def is_parsable(self, answer: str, prompt: Prompt | None) -> bool:
        """Whether a final answer is found."""
        return (
            Domain.is_parsable(self, answer, prompt) if prompt is None else self.behaviour(answer, prompt) is not None
        )


ANSWER = re.compile(r"answer\b\W{0,6}(?:is\b\W{0,4})?([^\n]{0,120})", re.IGNORECASE)


def word(answer: str) -> str | None:
    """Return the word that a solution ends with, behind 'Answer:' where it says so, without spaces and signs."""
    found = [text for text in ANSWER.findall(answer) if re.search(r"[A-Za-z]", text)]
    line = found[-1] if found else next((x for x in reversed(answer.split("\n")) if re.search(r"[A-Za-z]", x)), "")
    line = line[-200:]
    if re.fullmatch(r"(?:\W*[A-Za-z]\b){2,}\W*", line):  # letters one by one: r, n, r
        return re.sub(r"[^a-z]", "", line.lower()) or None
    words = re.findall(r"[A-Za-z]+", line)
    # "Answer: winter" and "the answer is the word winter" both end with it; longer sentences say nothing certain.
    return words[-1].lower() if words else None
