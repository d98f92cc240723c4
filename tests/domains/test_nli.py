"""Inference on clinical text: the items, the labels in answers, and the forms of files that users hold."""

import json
from collections import Counter

import pytest

from diversity.domains.nli import LABELS, WAYS, Nli, label
from diversity.errors import InputError
from diversity.registry import find_domain

DOMAIN = find_domain("nli")


def test_items_are_balanced_and_each_is_asked_in_every_way():
    items = {p.details["item"]: p.details["answer"] for p in DOMAIN.prompts}

    assert len(items) == 66
    assert Counter(items.values()) == dict.fromkeys(LABELS, 22)
    assert len(DOMAIN.prompts) == 66 * len(WAYS)
    assert DOMAIN.prompts[0].prompt_id == "nli-001-plain"
    assert len({p.prompt for p in DOMAIN.prompts}) == len(DOMAIN.prompts)


def test_a_hypothesis_does_not_give_its_label_away_by_its_length():
    lengths = {name: [] for name in LABELS}
    for p in DOMAIN.prompts:
        lengths[p.details["answer"]].append(len(p.prompt.split("Hypothesis: ")[1].split("\n")[0].split()))
    means = [sum(v) / len(v) for v in lengths.values()]

    assert max(means) - min(means) < 1.5


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Label: entailment", "entailment"),
        ("**Label:** Neutral.", "neutral"),
        ("The premise contradicts the hypothesis.", "contradiction"),
        ("It is not a contradiction; the hypothesis is neutral.", "neutral"),
        ("Neither an entailment, but neutral", "neutral"),
        ("Some thought that it entails it.\nLabel: contradiction", "contradiction"),
        ("Label: one of entailment, contradiction, neutral", None),
        ("entailment or neutral", None),
        ("The patient has a fever.", None),
        ("", None),
    ],
)
def test_a_label_is_read_where_one_is_decided_for(answer, expected):
    assert label(answer) == expected


def test_right_is_the_known_label():
    prompt = DOMAIN.by_id["nli-002-plain"]

    assert DOMAIN.quality("Label: contradiction", prompt) == 1
    assert DOMAIN.quality("Label: neutral", prompt) == 0
    assert DOMAIN.quality("I cannot say", prompt) == 0


def test_a_file_in_the_form_of_mednli_is_read(tmp_path):
    rows = [
        {"sentence1": "He has a cough.", "sentence2": "He coughs.", "gold_label": "entailment", "pairID": "a1"},
        {"sentence1": "He has a cough.", "sentence2": "He is silent.", "gold_label": "-", "pairID": "a2"},
    ]
    path = tmp_path / "mli.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    domain = Nli.read(path, name="mednli")

    assert domain.name == "mednli"
    assert [p.prompt_id for p in domain.prompts] == ["a1-plain", "a1-definition", "a1-steps"]
    assert domain.quality("Label: entailment", domain.by_id["a1-plain"]) == 1


def test_a_file_in_the_form_of_nli4ct_takes_its_premise_from_the_trials(tmp_path):
    (tmp_path / "NCT1.json").write_text(json.dumps({"Results": ["12 of 60 had nausea.", " None died."]}))
    (tmp_path / "NCT2.json").write_text(json.dumps({"Results": ["3 of 60 had nausea."]}))
    item = {"Type": "Comparison", "Section_id": "Results", "Primary_id": "NCT1", "Secondary_id": "NCT2"}
    path = tmp_path / "dev.json"
    path.write_text(json.dumps({"u1": {**item, "Statement": "Nausea is rarer in the second.", "Label": "Entailment"}}))
    prompt = Nli.read(path, name="nli4ct", trials=tmp_path).prompts[0]

    assert "Primary trial: 12 of 60 had nausea. None died. Secondary trial: 3 of 60 had nausea." in prompt.prompt
    assert prompt.details["answer"] == "entailment"
    with pytest.raises(InputError, match="give the folder of trials"):
        Nli.read(path, name="x")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "line 1: no JSON"),
        ('{"premise": "a", "hypothesis": "b", "label": "maybe"}', "the label is 'maybe'"),
        ('{"premise": "a", "label": "neutral"}', "lacks a premise or a hypothesis"),
        ('{"premise": "a", "hypothesis": "b"}', "no item has a label"),
        ('{"Primary_id": "../x", "Statement": "b", "Label": "Neutral"}', "is no id"),
        (
            '[{"id": 1, "premise": "a", "hypothesis": "b", "label": "neutral"}, {"id": 1, "premise": "a", '
            '"hypothesis": "c", "label": "neutral"}]',
            "occurs twice",
        ),
    ],
)
def test_a_bad_file_is_refused_with_its_place(tmp_path, text, complaint):
    path = tmp_path / "bad.jsonl"
    path.write_text(text)

    with pytest.raises(InputError, match=complaint):
        Nli.read(path, name="x", trials=tmp_path)
