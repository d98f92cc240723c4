"""Natural-language inference on specialist text: does a clinical premise entail, contradict or leave open a statement.

The embedded items were written for this project: clinical in manner, about no real patient, a premise with one
hypothesis of each label. Each item is asked in three ways, so that one sees whether prompting variants that help in
general text help here. MedNLI and NLI4CT, which their holders may not pass on, are read from the user's own files.

References
----------
Romanov and Shivade 2018, arXiv:1808.06752 (MedNLI). Jullien et al. 2025, arXiv:2508.10777 (models that know the
facts, agree with themselves, and infer wrongly).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from diversity.domain import Domain, Prompt
from diversity.domains.story import without_preamble
from diversity.errors import InputError

WORK = r"(?:answers?|labels?|analysis|reasoning|steps?)"
LABELS = ("entailment", "contradiction", "neutral")

# The ways of asking. "plain" is what the others are compared with.
PLAIN = "plain"
WAYS = {
    PLAIN: "Is the hypothesis an entailment, a contradiction or neutral, given the premise?",
    "definition": (
        "Entailment means that the hypothesis must be true if the premise is; contradiction, that it cannot be true; "
        "neutral, that it may be true or not. Which of the three is it?"
    ),
    "steps": (
        "Think step by step: first say what the premise states, then what the hypothesis adds, then decide whether it "
        "is an entailment, a contradiction or neutral."
    ),
}
END = "End with a line 'Label:' and one of the words entailment, contradiction, neutral."

NAMES = {
    "entailment": ("entailment", "entails", "entailed", "entail"),
    "contradiction": ("contradiction", "contradicts", "contradicted", "contradictory", "contradict"),
    "neutral": ("neutral",),
}
LABEL_OF = {name: label for label, names in NAMES.items() for name in names}
SAID = re.compile(rf"\b({'|'.join(LABEL_OF)})\b", re.IGNORECASE)
NOT = re.compile(r"\b(?:not|no|nor|neither|isn['’]?t|doesn['’]?t|rather than)(?:\s+\w+){0,2}\s*$", re.IGNORECASE)
MARKED = re.compile(r"\b(?:label|answer|verdict|relation)\b\W{0,6}(?:is\b\W{0,4})?([^\n]{0,80})", re.IGNORECASE)

# What the files of MedNLI, SNLI and others call the parts.
PREMISE, HYPOTHESIS = ("premise", "sentence1", "text"), ("hypothesis", "sentence2", "statement", "Statement")
GIVEN_LABEL, ID = ("label", "gold_label", "Label"), ("prompt_id", "pairID", "id", "uid")


class Nli(Domain):
    """Premise and hypothesis in clinical language; the answer is one of three labels."""

    name = "nli"
    noun = "labels"
    primary = "functional"
    rewards = {"lexical": "neutral", "syntactic": "neutral", "semantic": "converge", "functional": "converge"}  # noqa: RUF012
    speech = "en"
    chance = 1 / 3
    max_tokens = 160
    prompt_file = "nli.jsonl"
    exemplars = (
        (
            "Premise: The child has a fever of 39 degrees.\nHypothesis: The child's temperature is raised.\n"
            f"{WAYS[PLAIN]} {END}",
            "A fever is a raised temperature.\nLabel: entailment",
        ),
        (
            f"Premise: The wound is clean and dry.\nHypothesis: Pus is draining from the wound.\n{WAYS[PLAIN]} {END}",
            "A dry wound does not drain pus.\nLabel: contradiction",
        ),
        (
            f"Premise: He broke his wrist in a fall.\nHypothesis: He fell from a ladder.\n{WAYS[PLAIN]} {END}",
            "The premise does not say where he fell.\nLabel: neutral",
        ),
        (
            "Premise: Both tonsils were removed in 1998.\nHypothesis: The patient has had an operation.\n"
            f"{WAYS[PLAIN]} {END}",
            "Taking out tonsils is an operation.\nLabel: entailment",
        ),
    )

    def __init__(self, items: Sequence[Mapping[str, Any]] | None = None, *, name: str | None = None) -> None:
        self._items = items
        if name is not None:
            self.name = name  # type: ignore[misc]  # a set of the user's own is a domain of its own

    @classmethod
    def read(cls, path: str | Path, *, name: str, trials: str | Path | None = None) -> Nli:
        """Make a domain of a file that the user holds; register it with `diversity.registry.add_domain`.

        Parameters
        ----------
        path : str or Path
            MedNLI: JSON lines with `sentence1`, `sentence2`, `gold_label`, `pairID`. NLI4CT: one JSON object that maps
            ids to `Statement`, `Label`, `Section_id`, `Primary_id` and perhaps `Secondary_id`. Or JSON lines with
            `premise`, `hypothesis`, `label`.
        name : str
            What the domain is called.
        trials : str or Path, optional
            NLI4CT: the folder with a JSON file a trial (`NCT00000000.json`), whose sections are the premises.

        Raises
        ------
        InputError
            With the file, the item, what is wrong and what to do.
        """
        return cls(read_items(path, trials), name=name)

    @cached_property
    def prompts(self) -> tuple[Prompt, ...]:
        """Every item in every way of asking, item by item."""
        items = self._items
        if items is None:
            text = Path(__file__).with_name(str(self.prompt_file)).read_text(encoding="utf-8")
            items = [json.loads(line) for line in text.split("\n") if line.strip()]
        return tuple(self._asked(item, way) for item in items for way in WAYS)

    def _asked(self, item: Mapping[str, Any], way: str) -> Prompt:
        text = f"Premise: {item['premise']}\nHypothesis: {item['hypothesis']}\n{WAYS[way]} {END}"
        return Prompt(
            f"{item['prompt_id']}-{way}", text, {"item": item["prompt_id"], "way": way, "answer": item["label"]}
        )

    def extract(self, output: str) -> str:
        """Return the reasoning and the label without an announcement before them."""
        return without_preamble(output, WORK).strip()

    def behaviour(self, answer: str, prompt: Prompt | None) -> str | None:
        """Return the label that an answer decides for, None when it decides for none."""
        return label(answer)

    def quality(self, answer: str, prompt: Prompt | None) -> float | None:
        """Return 1 when the label is the known one, else 0."""
        if prompt is None or "answer" not in prompt.details:
            return None
        return float(label(answer) == prompt.details["answer"])

    def is_parsable(self, answer: str, prompt: Prompt | None) -> bool:
        """Whether a label is found."""
        return label(answer) is not None


def label(answer: str) -> str | None:
    """Return the label in an answer: behind 'Label:', else the only one that is named and not denied.

    Examples
    --------
    >>> label("It is not an entailment, it is neutral."), label("entailment or neutral")
    ('neutral', None)
    """
    for text in reversed(MARKED.findall(answer)):
        marked = _named(text)
        if marked:
            # "Label: one of entailment, contradiction, neutral" repeats the question.
            return marked.pop() if len(marked) == 1 else None
    found = _named(answer[-2000:])
    return found.pop() if len(found) == 1 else None


def _named(text: str) -> set[str]:
    return {
        LABEL_OF[m[1].lower()] for m in SAID.finditer(text) if not NOT.search(text[max(0, m.start() - 40) : m.start()])
    }


def read_items(path: str | Path, trials: str | Path | None = None) -> list[dict[str, str]]:
    """Read premise, hypothesis, label and id of each item; see `Nli.read`."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise InputError(f"{path}: cannot be read ({reason}): check the file") from None
    records = _records(text, path)
    items = [_item(record, place, path, Path(trials) if trials is not None else None) for place, record in records]
    known = [item for item in items if item is not None]
    if not known:
        raise InputError(f"{path}: no item has a label: give the file with gold labels")
    ids = [item["prompt_id"] for item in known]
    twice = next((i for i in ids if ids.count(i) > 1), None) if len(set(ids)) < len(ids) else None
    if twice:
        raise InputError(f"{path}: the id '{twice[:80]}' occurs twice: make them unique")
    return known


def _records(text: str, path: Path) -> list[tuple[str, dict[str, Any]]]:
    try:
        whole = json.loads(text)
    except ValueError:
        whole = None
    if isinstance(whole, dict) and all(isinstance(v, dict) for v in whole.values()):
        return [(f"item '{key[:40]}'", {**value, "prompt_id": key}) for key, value in whole.items()]
    if isinstance(whole, list):
        return [(f"item {i}", value) for i, value in enumerate(whole, 1)]
    records = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                records.append((f"line {number}", json.loads(line)))
            except ValueError:
                raise InputError(f"{path}, line {number}: no JSON: one object a line is wanted") from None
    return records


def _item(record: Any, place: str, path: Path, trials: Path | None) -> dict[str, str] | None:
    """One item; None where annotators found no label ("-" in SNLI's form)."""
    if not isinstance(record, dict):
        raise InputError(f"{path}, {place}: not an object: one object a line is wanted")
    said = next((str(record[k]).strip().lower() for k in GIVEN_LABEL if record.get(k) is not None), "")
    if said in {"", "-"}:
        return None
    if said not in LABELS:
        raise InputError(f"{path}, {place}: the label is '{said[:40]}': one of {', '.join(LABELS)} is wanted")
    premise = next((record[k] for k in PREMISE if isinstance(record.get(k), str)), None)
    if premise is None and "Primary_id" in record:
        premise = _trial_premise(record, place, path, trials)
    hypothesis = next((record[k] for k in HYPOTHESIS if isinstance(record.get(k), str)), None)
    if not premise or not hypothesis:
        raise InputError(f"{path}, {place}: lacks a premise or a hypothesis: see the forms that docs/probes.md names")
    named = next((str(record[k]) for k in ID if record.get(k) is not None), place.replace(" ", "-"))
    return {"prompt_id": named, "premise": premise, "hypothesis": hypothesis, "label": said}


def _trial_premise(record: Mapping[str, Any], place: str, path: Path, trials: Path | None) -> str:
    """The section of one trial's report, or of two, that an NLI4CT statement is about."""
    if trials is None:
        raise InputError(f"{path}, {place}: its premise lies in a trial's file: give the folder of trials")
    parts = []
    for which, key in (("Primary trial", "Primary_id"), ("Secondary trial", "Secondary_id")):
        trial = record.get(key)
        if trial is None:
            continue
        if not re.fullmatch(r"\w+", str(trial)):  # it becomes a file's name
            raise InputError(f"{path}, {place}: the trial '{str(trial)[:40]}' is no id such as NCT01234567: mend it")
        file = trials / f"{trial}.json"
        try:
            section = json.loads(file.read_text(encoding="utf-8"))[record.get("Section_id", "Results")]
        except (OSError, ValueError, KeyError, TypeError):
            raise InputError(f"{file}: no such trial, or it lacks the section of {place}: check the folder") from None
        lines = section if isinstance(section, list) else [section]
        parts.append(f"{which}: {' '.join(str(line).strip() for line in lines)}")
    return " ".join(parts)
