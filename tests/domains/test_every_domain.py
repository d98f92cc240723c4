"""What every domain promises: rendering for chat and base, extraction of messy outputs, flags, quality."""

import json
import time
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diversity.domain import Domain, Prompt
from diversity.flags import is_foreign, is_loop, own_turn, without_thought
from diversity.metrics.guards import FLAGS
from diversity.registry import domains

DOMAINS = {name: domain for name, domain in domains().items() if domain.prompts}
DATA = Path(__file__).parents[1] / "data" / "messy_outputs.json"
RECORDED = Path(__file__).parents[3] / "shared" / "data" / "noveltybench.parquet"
each_domain = pytest.mark.parametrize("domain", DOMAINS.values(), ids=list(DOMAINS))


def test_the_eight_domains_and_the_generic_one_are_registered():
    assert set(domains()) >= {"code", "math", "story", "poem", "brainstorm", "factual", "summary", "dialogue", "text"}


# Rendering


@each_domain
def test_the_same_prompt_is_asked_of_chat_and_of_base_models(domain):
    for prompt in domain.prompts:
        (message,) = domain.messages(prompt)
        framed = domain.frame(prompt, 3, 7)

        assert message == {"role": "user", "content": prompt.prompt}
        assert framed.endswith(f"\n###\nRequest: {message['content']}\nAnswer:\n")
        assert framed.count("Request: ") == 3


@each_domain
def test_exemplars_rotate_by_prompt_and_sample_under_the_seed(domain):
    first, second = domain.prompts[:2]
    heads = {domain.frame(first, k, 0).rsplit("Request: ", 1)[0] for k in range(60)}

    assert len(domain.exemplars) >= 4
    assert len(heads) == len(domain.exemplars)
    assert domain.frame(first, 0, 0) == domain.frame(first, 0, 0)
    assert any(domain.frame(first, k, 0).split("\n")[0] != domain.frame(second, k, 0).split("\n")[0] for k in range(20))


@each_domain
def test_exemplars_are_good_answers_without_flags_and_in_no_prompt(domain):
    for ask, told in domain.exemplars:
        answer = domain.answer(told)

        assert domain.is_valid(answer, None), told
        assert not [name for name, raised in domain.flags(told, answer, None).items() if raised], told
        assert all(ask != prompt.prompt for prompt in domain.prompts)
        assert "###" not in told


@each_domain
def test_rewards_name_facets_and_the_primary_one(domain):
    assert domain.primary in domain.rewards
    assert set(domain.rewards) <= {"lexical", "syntactic", "semantic", "functional"}
    assert set(domain.rewards.values()) <= {"converge", "distinct", "neutral"}
    assert domain.noun != Domain.noun


# Messy outputs


@each_domain
@pytest.mark.parametrize(
    ("wrap", "flag"),
    [
        ("{}", None),
        ("<think>Let me see. Perhaps so.</think>\n{}", "thought"),
        ("Let me see. Perhaps so.\n</think>\n\n{}", "thought"),
        ("{}\nUser: And another one?\nAssistant: Of course.", "role_leak"),
        ("{}\n### Instruction:\nNow something else.", "role_leak"),
        ("<|im_start|>assistant\n{}<|im_end|>", None),
        ("{}<|im_end|>\n<|im_start|>user\nMore", "role_leak"),
        ("Assistant: {}", None),
        ("Sure! Here is what you asked for:\n\n{}", None),
        ("\n\n{}\n\n", None),
    ],
)
def test_scaffolding_around_an_answer_is_left_out_and_flagged(domain, wrap, flag):
    for _, told in domain.exemplars:
        output = wrap.replace("{}", told)
        answer = domain.answer(output)
        flags = domain.flags(output, answer, None)

        assert answer == domain.answer(told)
        assert [name for name in ("thought", "role_leak") if flags[name]] == ([flag] if flag else [])


@each_domain
def test_outputs_without_an_answer_are_flagged_and_not_valid(domain):
    prompt = domain.prompts[0]
    cases = {
        "": {"empty", "unparsable"},
        "<think>I must first": {"empty", "unparsable", "thought"},
        "I'm sorry, but I can't help with that request.": {"refused"},
        "the same thing again and the same thing again and " * 12: {"loops"},
    }
    for output, expected in cases.items():
        answer = domain.answer(output)
        raised = {name for name, is_raised in domain.flags(output, answer, prompt).items() if is_raised}

        # A refusal and a loop hold no program, which the code domain sees first.
        assert expected <= raised or "empty" in raised, (output, raised)
        assert not domain.is_valid(answer, prompt)
        assert not domain.quality(answer, prompt) or expected & {"refused", "loops"}


@each_domain
def test_flags_are_known_to_the_guards(domain):
    assert set(domain.flags("", "", None)) <= set(FLAGS)


SPANISH = "El perro corre por la calle y su dueño lo llama desde la puerta, pero no quiere volver a casa todavía."


@pytest.mark.parametrize("domain", [d for d in DOMAINS.values() if d.speech], ids=lambda d: d.name)
def test_another_language_is_flagged_where_english_was_asked_for(domain):
    prompt = domain.prompts[0]
    answer = domain.answer(SPANISH)

    assert domain.flags(SPANISH, answer, prompt)["off_language"]
    assert not domain.is_valid(answer, prompt)
    assert not domain.flags(SPANISH, answer, None)["off_language"]


@settings(max_examples=120, deadline=None)
@given(
    st.text(max_size=400)
    | st.lists(
        st.sampled_from(["User: ", "<think>", "</think>", "1. ", "- ", "\n", "= 7", "\\boxed{", "# ", "a "])
    ).map("".join)
)
def test_any_output_is_read_by_every_domain(output):
    for domain in DOMAINS.values():
        prompt = domain.prompts[1]
        answer = domain.answer(output)
        quality = domain.quality(answer, prompt)

        assert isinstance(answer, str)
        assert quality is None or 0 <= quality <= 1
        assert domain.behaviour(answer, prompt) is None or isinstance(domain.behaviour(answer, prompt), str)
        assert isinstance(domain.is_valid(answer, prompt), bool)


@pytest.mark.parametrize(
    "unit", ["<think>", "</think>", "User:", "\n", "#", "- ", "1. ", "= ", "sqrt(", "a, ", "* ", "\\boxed{"]
)
def test_no_output_takes_long(unit):
    output = f"Well, x{unit * (60_000 // len(unit))}x."
    for domain in DOMAINS.values():
        if domain.name == "code":
            continue  # has its own test
        begin = time.monotonic()
        answer = domain.answer(output)
        domain.flags(output, answer, domain.prompts[0])
        domain.behaviour(answer, domain.prompts[0])
        domain.quality(answer, domain.prompts[0])
        assert time.monotonic() - begin < 3, domain.name


@pytest.mark.parametrize("case", json.loads(DATA.read_text(encoding="utf-8")), ids=lambda case: case["why"])
def test_real_outputs_of_a_small_model_are_read_as_a_person_reads_them(case):
    """SmolLM2-135M-Instruct wrote most of them; what a person found in each stands beside it."""
    domain = domains()[case["domain"]]
    prompt = domain.by_id[case["prompt_id"]]
    answer = domain.answer(case["output"])
    raised = {name for name, is_raised in domain.flags(case["output"], answer, prompt).items() if is_raised}

    assert raised == set(case["flags"])
    assert domain.is_valid(answer, prompt) == case["valid"]
    if "behaviour" in case:
        assert domain.behaviour(answer, prompt) == case["behaviour"]


@pytest.mark.skipif(not RECORDED.exists(), reason="recorded outputs are not here")
def test_recorded_answers_of_large_models_are_hardly_ever_flagged():
    rows = pl.read_parquet(RECORDED).filter(pl.col("model").str.contains("gpt-4o"))
    outputs = rows["output"].head(300).to_list()
    found = [
        DOMAINS["dialogue"].flags(o, DOMAINS["dialogue"].answer(o), DOMAINS["dialogue"].prompts[0]) for o in outputs
    ]
    shares = {name: sum(f[name] for f in found) / len(found) for name in found[0]}

    assert max(shares[n] for n in ("empty", "loops", "off_language", "role_leak", "thought")) <= 0.02, shares


# Without a model


def test_thought_is_dropped_also_where_its_begin_was_in_the_prompt():
    assert without_thought("a </think> b") == ("b", True)
    assert without_thought("<think>never ends") == ("", True)
    assert without_thought("plain </b>") == ("plain </b>", False)


def test_a_parameter_called_user_is_no_turn():
    program = 'def f(user):\n    """Greet.\n\n    user: a name\n    """\n    return user'
    assert own_turn(program) == (program, False)


@pytest.mark.parametrize(
    "text",
    [
        "Ich weiß nicht, ob die Katze auf dem Dach ist und was der Hund dazu sagt, aber es ist laut.",
        "Le chat est sur le toit et le chien qui dort dans la cour ne dit rien du tout pour une fois.",
        SPANISH,
        "Собака живёт в доме на холме.",
        "犬が公園を走っています。",
    ],
)
def test_foreign_texts_are_told(text):
    assert is_foreign(text, "en")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Tokyo",
        "11/12",
        "Señor López of São Paulo",
        "moss lawn rain / a red leaf on the old gate / no one comes to see it fall",
        "Crumb & Co, The Rolling Pin, Tide and Dough, La Mer, Le Petit Pain, Il Forno, Das Brot, El Sol, De Zee",
        "asdf qwer zxcv uiop hjkl vbnm tyui ghjk asdf qwer zxcv uiop hjkl vbnm",
    ],
)
def test_english_names_numbers_and_nonsense_are_not_called_foreign(text):
    assert not is_foreign(text, "en")


def test_loops_without_spaces_are_loops():
    assert is_loop("ha" * 300)
    assert not is_loop("https://example.org/" + "".join(chr(97 + (i * i * 7 + i // 3) % 26) for i in range(300)))


# Each domain's own check


def judged(name, prompt_id, answer):
    domain = domains()[name]
    return domain.quality(domain.answer(answer), domain.by_id[prompt_id])


@pytest.mark.parametrize(
    ("prompt_id", "answer", "right"),
    [
        ("factual-001", "Tokyo", 1),
        ("factual-001", "The capital of Japan is Tokyo.", 1),
        ("factual-001", "**Answer:** Tokyo.", 1),
        ("factual-001", "Let me think of Japan's cities.\n**Answer:** Tokyo", 1),
        ("factual-001", "It is Kyoto, not Tokyo.", 0),
        ("factual-001", "Tokyo, not Kyoto.", 1),
        ("factual-001", "Tokyo or Kyoto", 0),
        ("factual-001", "Osaka. Tokyo came later.", 0),
        ("factual-003", "366 days", 1),
        ("factual-003", "365", 0),
        ("factual-007", "Six", 1),
        ("factual-007", "It has 6 sides.", 1),
        ("factual-007", "It has 6 sides, or rather corners: 12.", 0),
        ("factual-013", "It boils at 100 degrees Celsius (212 degrees Fahrenheit)[1].", 1),
        ("factual-013", "It boils at 100 or so (90) degrees.", 0),
        ("factual-001", f"The capital is Tokyo, which {'is a city of many parts and ' * 8}ports.", 1),
        ("factual-001", f"Cities are {'Osaka, Kobe, Nara, ' * 8}Tokyo.", 0),
        ("factual-016", "The złoty", 1),
        ("factual-045", "Vitamin C", 1),
        ("factual-045", "Vitamin D", 0),
        ("factual-049", "Sound travels fastest in steel.", 1),
        ("factual-049", "air, water or steel", 0),
    ],
)
def test_a_fact_is_right_under_any_of_its_names_and_not_beside_another(prompt_id, answer, right):
    assert judged("factual", prompt_id, answer) == right


def test_wrong_facts_are_grouped_by_what_they_say():
    factual = DOMAINS["factual"]
    prompt = factual.by_id["factual-001"]

    assert factual.behaviour("The capital of Japan is Kyoto.", prompt) == factual.behaviour("Kyoto", prompt) == "kyoto"
    assert factual.behaviour("It's Tokyo!", prompt) == "tokyo"


HAIKU = "one leg in the reeds\nthe heron folds the river\nback into itself"


@pytest.mark.parametrize(
    ("prompt_id", "answer", "quality"),
    [
        ("poem-002", HAIKU, 1),
        ("poem-002", f"Here is a haiku about a heron:\n\n**Heron**\n\n{HAIKU}\n\nI hope you like it!", 1),
        ("poem-002", f"{HAIKU}\nand then it leaves us", 0.25),
        ("poem-002", "The heron is a long-legged bird that stands in rivers and eats fish.", 0),
        (
            "poem-003",
            "Rooms keep the shape of tables.\nDust sits where we sat,\nand the door, that was always ours,",
            0.5,
        ),
        ("poem-024", "Rain comes\nIn from the hills,\nVery cold and brown;\nEvery bridge\nRemembers.", 1),
        ("poem-024", "Rain comes\nDown from the hills,\nVery cold and brown;\nEvery bridge\nRemembers.", 0.25),
    ],
)
def test_a_poem_is_verse_in_the_form_asked(prompt_id, answer, quality):
    assert judged("poem", prompt_id, answer) == quality


@pytest.mark.parametrize(
    ("answer", "count"),
    [
        ("1. Crust & Tide\n2. The Oven\n3. Salt Loaf", 3),
        ("- one thing\n  that goes on\n- another\n* a third", 3),
        ("1) bread 2) cake 3) pie", 3),
        ("Crumb; Tide; The Rolling Pin", 3),
        ("Crumb, Tide and Salt", 3),
        ("First bake less. Then sell more.", 2),
        ("Crumb\nTide\nSalt", 3),
        ("1. **Oslo**\n   - fjords\n   - music\n2. **Rome**\n   - ruins", 2),
        ("**1. Oslo** - fjords\n**2. Rome** - ruins", 2),
        ("All Creatures Great and Small, Deadloch, Better Things", 3),
        ("Crumb, Salt, and Bread and Butter", 4),
        ("", 0),
    ],
)
def test_ideas_come_apart(answer, count):
    from diversity.domains.brainstorm import items

    assert len(items(answer)) == count, items(answer)


def test_a_subject_that_is_not_known_is_not_missed():
    brainstorm = DOMAINS["brainstorm"]
    prompt = Prompt("p", "List two influential persons.", {"fewest": 2})
    assert brainstorm.quality("Karl Marx\nCharles Darwin\nAda Lovelace", prompt) == 1


def test_ideas_are_counted_once_and_must_touch_the_subject():
    assert judged("brainstorm", "brainstorm-001", "1. Crust\n2. Tide Bread\n3. Salt Loaf\n4. Flour Quay\n5. Oven") == 1
    assert judged("brainstorm", "brainstorm-001", "1. Crust\n2. Crust\n3. Crust\n4. Crust\n5. Crust") == 0.6
    assert judged("brainstorm", "brainstorm-001", "1. Zorp\n2. Quux\n3. Blix\n4. Frob\n5. Gleep") == 0


def test_a_summary_is_judged_by_the_facts_it_keeps_and_its_length():
    good = "The old bridge closes in October because its supports have cracks."
    prompt = DOMAINS["summary"].by_id["summary-001"]

    assert judged("summary", "summary-001", good) == 1
    assert judged("summary", "summary-001", f"Sure! Here is a summary:\n\n{good}") == 1
    assert judged("summary", "summary-001", "A bridge will be closed for some months.") == 0.5
    assert judged("summary", "summary-001", prompt.prompt * 2) <= 0.5
    assert judged("summary", "summary-001", "Birds sing in the morning air.") == 0


@pytest.mark.parametrize(
    ("prompt_id", "answer", "stance"),
    [
        ("dialogue-002", "I'd pick the countryside. The city wears me out.", "countryside"),
        ("dialogue-002", "It depends on what you want from life.", "undecided"),
        ("dialogue-002", "Hard to say! Cities have noise.", "city"),
        ("dialogue-006", "Yes, they should be. Children need to play.", "yes"),
        ("dialogue-006", "No. I don't think it does any harm.", "no"),
        ("dialogue-006", "Whether homework should go is a debated question. No, I'd keep it.", "no"),
        ("dialogue-006", "As an AI, I don't have personal opinions.", "undecided"),
        ("dialogue-002", "I'm an AI without feelings. But many like the city.", "undecided"),
        (
            "dialogue-002",
            "If you like noise, the city is for you. Those who don't prefer the countryside.",
            "undecided",
        ),
        ("dialogue-002", "The phrase city life often refers to noise. I prefer the countryside.", "countryside"),
        ("dialogue-001", "Talk to her in private.", None),
    ],
)
def test_the_stance_of_a_reply_is_read_where_there_are_sides(prompt_id, answer, stance):
    dialogue = DOMAINS["dialogue"]

    assert dialogue.behaviour(answer, dialogue.by_id[prompt_id]) == stance


def test_a_long_reply_that_shares_no_word_with_the_question_talks_of_something_else():
    dialogue = DOMAINS["dialogue"]
    prompt = dialogue.by_id["dialogue-002"]
    other = "Bread needs time above all: leave the dough overnight, fold it twice, and bake it very hot in an iron pot."

    assert dialogue.quality(f"{other} Then let it cool before you cut.", prompt) == 0.25
    assert not dialogue.is_valid(f"{other} Then let it cool before you cut.", prompt)
    assert dialogue.quality("Bread needs time above all.", prompt) == 0.5
    assert dialogue.quality("The city.", prompt) == 1.0
    assert dialogue.quality("Hm, well.", prompt) == 0.0


def test_flags_of_recorded_programs_and_stories_are_the_ones_a_reader_gives():
    rows = pl.read_parquet(DATA.parent / "smollm2_instruct.parquet")
    raised = {
        (row["domain"], row["prompt_id"], name)
        for row in rows.iter_rows(named=True)
        for domain in [DOMAINS[row["domain"]]]
        for name, is_raised in domain.flags(
            row["output"], domain.answer(row["output"]), domain.by_id[row["prompt_id"]]
        ).items()
        if is_raised and name in {"off_language", "role_leak", "thought", "refused"}
    }

    # One program in C#, one in JavaScript.
    assert raised == {("code", "code-012", "off_language"), ("code", "code-016", "off_language")}
