"""Form of prose: word shapes, parts of speech, function words, punctuation, sentences and layout."""

from __future__ import annotations

import re
import zlib
from functools import cache, lru_cache
from itertools import chain, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diversity.errors import Undefined
from diversity.metrics.kernels import Matrix, ruzicka
from diversity.registry import metric
from diversity.sequences import BLOCK, Batch, Sequences, classes
from diversity.views import Answers
from diversity.words import WORD

TEMPLATE = 6  # tags in a template
TAGGER_DATA = "averaged_perceptron_tagger_eng"
# Function words that no other language in Latin script uses often.
ENGLISH = frozenset(
    (  # noqa: SIM905 - a hundred quoted words are harder to read
        "about after again all although and any are because been before being between both could did does down each "
        "either enough even every from have here hers herself himself how however into its itself just like many "
        "might much must myself neither never nothing now off only other others ours out own perhaps rather shall "
        "she should since than that the their theirs them themselves then there these they this those though through "
        "too toward towards until upon very were when where whether which while whose why with within without you "
        "your yours yourself"
    ).split()
)
ENGLISH_SHARE = 0.05  # of the words; English prose has some 20 %, other languages in Latin script below 1 %
FEW_WORDS = 20  # below which an answer alone does not show its language

# A run of end marks with the quotes that close it, or line breaks. The look-behind keeps the search linear on a long
# run. What may begin it stands first, in one set: nothing else is then looked at.
SENTENCE_END = re.compile(
    r"""[.!?…。！？\r\n](?:(?<=[.!?…])(?<![.!?…].)[.!?…]*+["'”’»)\]*_]*+(?=\s|$)"""
    r"""|(?<=[。！？])(?<![。！？].)[。！？]*+["'”’」』）]*+|(?<=[\r\n])[\r\n]*+)"""
)
ABBREVIATIONS = frozenset(
    ["mr", "mrs", "ms", "dr", "prof", "st", "jr", "sr", "vs", "etc", "no", "fig", "vol", "e.g", "i.e", "cf", "approx"]
)
SIGNS_AWAY = "".join(c if c.isalnum() or c == "_" else " " for c in map(chr, range(128)))
MARKER = re.compile(r"\s*(?:[-*+•]|\d+[.)]|#{1,6}|>)\s+")
BULLET = re.compile(r"\s*[-*+•]\s+\S")
NUMBERED = re.compile(r"\s*\d+[.)]\s+\S")
HEADING = re.compile(r"\s{0,3}(#{1,6})\s+\S")
BOLD_LINE = re.compile(r"\s*(?:\*\*[^*]+\*\*|__[^_]+__):?\s*\Z")
RULE = re.compile(r"\s*([-*_=])(?:\s*\1){2,}\s*\Z")
FENCE = re.compile(r"\s*(?:```|~~~)")

SHAPES = "Function words as they are, every other word by its kind; see `Answers.shapes`."
POOLED = "Falls with the number of answers and with their length: 150 symbols make few different n-grams."
REPEATED = "Rises with the number of answers and with their length."
LATIN = "Content words of languages other than English are all one kind, so only their punctuation and word order show."
ENGLISH_ONLY = "English only: undefined where the answers do not read as English."
TAGGED = f"{ENGLISH_ONLY} Needs the nltk data {TAGGER_DATA}; without them use the shape_ form."
BY_LINE = "A line break ends a sentence, so lists and verse have short ones. Text without spaces counts as one word."

PROSE: dict[str, Any] = {"facet": "syntactic", "needs": "prose"}
TAGS: dict[str, Any] = {**PROSE, "default": False, "cost": "tagging: some 10 us a word, each sentence once"}
SHAIB = "Shaib et al. 2024, arXiv:2407.00211"


def _distinct(tokens: Sequences, order: int, what: str) -> float:
    """Share of n-grams that are different, all answers pooled."""
    total, different = tokens.counted(order)
    if not total:
        raise Undefined(f"no answer has {order} {what}")
    return different / total


def _compression(tokens: Sequences) -> float:
    """Bytes over compressed bytes, one byte a token; the answers sorted, so that their order does not count."""
    answers = tokens.per_set(_as_bytes)
    if not any(answers):
        raise Undefined("the answers have no words")
    text = b"\xff".join(sorted(answers))
    return len(text) / len(zlib.compress(text, 9, -15))


def _as_bytes(tokens: Batch) -> list[list[bytes]]:
    """Each answer of each set with one byte a token.

    The most frequent 254 symbols of a set have a byte each; what is rarer shares one. Equally frequent ones go by their
    names.
    """
    ids, codes, first = tokens.numbered
    rank = {code: place for place, code in enumerate(sorted(set(codes.tolist()), key=tokens.name))}
    ranks = np.fromiter(map(rank.__getitem__, codes.tolist()), dtype=np.int64, count=len(codes))
    sets = np.repeat(np.arange(len(tokens)), np.diff(first))
    byte_of = np.empty(len(codes), dtype=np.uint8)
    in_order = np.lexsort((ranks, -np.bincount(ids, minlength=len(codes)), sets))
    byte_of[in_order] = np.minimum(np.arange(len(codes)) - first[sets], 254)
    whole, ends = byte_of[ids].tobytes(), np.cumsum(tokens.lengths).tolist()
    answers = [whole[begin:end] for begin, end in pairwise([0, *ends])]
    return [answers[own] for own in tokens.answers]


def _templates(tokens: Sequences) -> NDArray[np.int64]:
    """How many templates each answer has, equal ones counted as often as they occur.

    A template is a run of 6 tokens that occurs in 2 answers or more, and in a tenth of them or more.
    """
    if not tokens.counted(TEMPLATE)[0]:
        raise Undefined(f"no answer has {TEMPLATE} words")
    return tokens.per_answer(_templates_of)


def _templates_of(tokens: Batch) -> NDArray[np.int64]:
    grams, cells = tokens.grams(TEMPLATE), tokens.cells(TEMPLATE)
    least = np.maximum(2, np.ceil(0.1 * np.diff(tokens.begins)))
    is_template = cells.holders >= least[tokens.set_of[cells.owners[cells.first]]]
    return np.bincount(tokens.owners[grams.starts[is_template[grams.ids]]], minlength=len(tokens.lengths))


def _template_rate(tokens: Sequences) -> float:
    return np.count_nonzero(_templates(tokens)) / len(tokens.lengths)


def _templates_per_token(tokens: Sequences) -> float:
    return float(_templates(tokens).sum() / tokens.lengths.sum())


@metric(
    name="shape_distinct_4",
    higher_is="more diverse",
    range=(0, 1),
    source=f"as pos_distinct_4, after {SHAIB}",
    aliases=("word-shape distinct-4",),
    confounds=f"{POOLED} {LATIN}",
    **PROSE,
)
def shape_distinct_4(answers: Answers) -> float:
    """Share of word-shape 4-grams that are different, all answers of the prompt pooled.

    Function words stand as they are, every other word as its kind. The form of `pos_distinct_4` that needs no data.
    """
    return _distinct(answers.shapes, 4, "words")


@metric(
    name="shape_compression_ratio",
    higher_is="less diverse",
    range=(0, float("inf")),
    source=f"as pos_compression_ratio, after {SHAIB}",
    aliases=("cr: shapes",),
    confounds=f"{REPEATED} {LATIN}",
    **PROSE,
)
def shape_compression_ratio(answers: Answers) -> float:
    """Bytes of the word shapes, one a word, over their bytes when compressed (raw deflate, level 9).

    The form of `pos_compression_ratio` that needs no data.
    """
    return _compression(answers.shapes)


@metric(
    name="shape_template_rate",
    higher_is="less diverse",
    range=(0, 1),
    source=f"as pos_template_rate, after {SHAIB}",
    aliases=("word-shape template rate",),
    confounds=f"{REPEATED} {LATIN}",
    **PROSE,
)
def shape_template_rate(answers: Answers) -> float:
    """Share of answers with a run of 6 word shapes that other answers have too.

    A run counts when it occurs in 2 answers or more, and in a tenth of them or more. The form of
    `pos_template_rate` that needs no data.
    """
    return _template_rate(answers.shapes)


@metric(
    name="shape_templates_per_token",
    higher_is="less diverse",
    range=(0, 1),
    source=f"as pos_templates_per_token, after {SHAIB}",
    aliases=("word-shape templates-per-token",),
    confounds=f"Rises with the number of answers. {LATIN}",
    **PROSE,
)
def shape_templates_per_token(answers: Answers) -> float:
    """Occurrences of runs of 6 word shapes that other answers have too, over the number of words.

    Steadier under a shift in length than `shape_template_rate`.
    """
    return _templates_per_token(answers.shapes)


@metric(
    name="pos_distinct_4",
    higher_is="more diverse",
    range=(0, 1),
    source=SHAIB,
    aliases=("pos-distinct", "POS distinct-n"),
    confounds=f"{POOLED} {TAGGED}",
    **TAGS,
)
def pos_distinct_4(answers: Answers) -> float:
    """Share of part-of-speech 4-grams that are different, all answers of the prompt pooled (Penn tags)."""
    return _distinct(tags(answers), 4, "words")


@metric(
    name="pos_compression_ratio",
    higher_is="less diverse",
    range=(0, float("inf")),
    source="Shaib et al. 2024, arXiv:2403.00553; 2407.00211",
    aliases=("CR-POS", "cr:pos", "POS compression"),
    confounds=f"{REPEATED} {TAGGED}",
    **TAGS,
)
def pos_compression_ratio(answers: Answers) -> float:
    """Bytes of the part-of-speech tags, one a word, over their bytes when compressed (raw deflate, level 9).

    The papers compress the tags as they are spelled. Spelling and separators compress well, so their ratios are
    higher; here one tag is one byte.
    """
    return _compression(tags(answers))


@metric(
    name="pos_template_rate",
    higher_is="less diverse",
    range=(0, 1),
    source=f"{SHAIB}, section 3",
    aliases=("template rate", "syntactic templates"),
    confounds=f"{REPEATED} {TAGGED}",
    **TAGS,
)
def pos_template_rate(answers: Answers) -> float:
    """Share of answers with a run of 6 part-of-speech tags that other answers have too.

    A run counts when it occurs in 2 answers or more, and in a tenth of them or more. The paper takes the hundred
    most frequent runs of a corpus instead; one prompt's answers are too few for that.
    """
    return _template_rate(tags(answers))


@metric(
    name="pos_templates_per_token",
    higher_is="less diverse",
    range=(0, 1),
    source=f"{SHAIB}, section 3",
    aliases=("TPT", "templates-per-token"),
    confounds=f"Rises with the number of answers. {TAGGED}",
    **TAGS,
)
def pos_templates_per_token(answers: Answers) -> float:
    """Occurrences of runs of 6 part-of-speech tags that other answers have too, over the number of words."""
    return _templates_per_token(tags(answers))


def tags(answers: Answers) -> Sequences:
    """Penn part-of-speech tags of each answer, sentence by sentence, by nltk's averaged perceptron.

    Raises
    ------
    Undefined
        When the tagger's data are not on this machine (they are never fetched), or an answer is not English.
    """
    _must_read_as_english(answers, "an English tagger is not run on them")
    if _tagger() is None:
        raise Undefined(
            f"part-of-speech tags need nltk's data, which are not on this machine: python -m nltk.downloader "
            f"{TAGGER_DATA}, or read the shape_ form of this metric"
        )
    return Sequences(answers.each(_tags))


def _tags(text: str) -> list[str]:
    return list(chain.from_iterable(map(_tagged, split_sentences(text))))


@cache
def _tagger() -> Any:
    """The English tagger of nltk; None where its data are not on the machine."""
    from nltk.tag.perceptron import PerceptronTagger

    try:
        return PerceptronTagger()
    except LookupError:
        return None


@lru_cache(maxsize=65536)
def _tagged(sentence: str) -> tuple[str, ...]:
    from nltk.tokenize import NLTKWordTokenizer

    return tuple(tag for _, tag in _tagger().tag(NLTKWordTokenizer().tokenize(sentence)))


def _must_read_as_english(answers: Answers, consequence: str) -> None:
    foreign = answers.words.per_set(_foreign)
    if foreign:
        raise Undefined(f"{foreign:.0f} of {len(answers)} answers do not read as English: {consequence}")


def _foreign(words: Batch) -> NDArray[np.float64]:
    """How many answers of each set are not in Latin script, or lack the words that English cannot do without."""
    count, telling, letters, latin = words.sums(_as_english).T
    is_foreign = (latin < 0.8 * letters) | ((count >= FEW_WORDS) & (telling < ENGLISH_SHARE * count))
    short = ~is_foreign & (count < FEW_WORDS)
    # Answers too short to tell one by one are judged together.
    are_foreign = words.of_sets(telling * short) < ENGLISH_SHARE * words.of_sets(count * short)
    found: NDArray[np.float64] = words.of_sets(is_foreign) + are_foreign * words.of_sets(short)
    return found


def _as_english(word: str) -> tuple[int, int, int, int]:
    """Whether a token is a word, and one that English cannot do without; its letters, and those that are Latin."""
    if not word[0].isalpha():
        return 0, 0, 0, 0
    lower = word.lower()
    return 1, int(lower in ENGLISH), len(lower), len(lower.encode("ascii", "ignore"))


@metric(
    name="function_word_distinct_3",
    higher_is="more diverse",
    range=(0, 1),
    source="function words as style: Mosteller and Wallace 1964; Stamatatos 2009",
    aliases=("function-word distinct-3",),
    confounds=f"{POOLED} {ENGLISH_ONLY}",
    **PROSE,
)
def function_word_distinct_3(answers: Answers) -> float:
    """Share of runs of 3 function words, other words skipped, that are different; all answers pooled."""
    _must_read_as_english(answers, "the list of function words is English")
    return _distinct(answers.function_words, 3, "function words")


@metric(
    name="function_word_similarity",
    higher_is="less diverse",
    range=(0, 1),
    source="function words as style: Mosteller and Wallace 1964; Stamatatos 2009",
    aliases=("function-word n-gram overlap",),
    confounds=f"Falls when the lengths of the answers differ. {ENGLISH_ONLY}",
    pairwise=True,
    unbiased_in_n=True,
    **PROSE,
)
def function_word_similarity(answers: Answers) -> Matrix:
    """Likeness of the runs of 1, 2 and 3 function words of two answers: sum of minima over sum of maxima."""
    _must_read_as_english(answers, "the list of function words is English")
    if not answers.function_words.lengths.any():
        raise Undefined("no answer has a function word")
    return ruzicka(answers.function_words, (1, 2, 3))


@metric(
    name="punctuation_distinct_3",
    higher_is="more diverse",
    range=(0, 1),
    source="punctuation as style: Darmon et al. 2021, arXiv:1901.00519",
    aliases=("punctuation distinct-3",),
    confounds=POOLED,
    **PROSE,
)
def punctuation_distinct_3(answers: Answers) -> float:
    """Share of runs of 3 punctuation marks, words skipped, that are different; all answers pooled."""
    return _distinct(answers.punctuation, 3, "punctuation marks")


@metric(
    name="punctuation_similarity",
    higher_is="less diverse",
    range=(0, 1),
    source="punctuation as style: Darmon et al. 2021, arXiv:1901.00519",
    aliases=("punctuation n-gram overlap",),
    confounds="Falls when the lengths of the answers differ. Markdown is made of these marks.",
    pairwise=True,
    unbiased_in_n=True,
    **PROSE,
)
def punctuation_similarity(answers: Answers) -> Matrix:
    """Likeness of the runs of 1, 2 and 3 punctuation marks of two answers: sum of minima over sum of maxima.

    Two answers without any are alike.
    """
    if not answers.punctuation.lengths.any():
        raise Undefined("no answer has a punctuation mark")
    return ruzicka(answers.punctuation, (1, 2, 3))


def split_sentences(text: str) -> tuple[str, ...]:
    """Sentences of a text, without any data.

    A sentence ends at a run of . ! ? … before white space, at 。！？, and at a line break. A full stop does not
    end one after a common abbreviation, an initial, or the number of a list item.

    Examples
    --------
    >>> split_sentences("Dr. No slept. Nobody (else) did! 1. J. Smith?")
    ('Dr. No slept.', 'Nobody (else) did!', '1. J. Smith?')
    """
    found, start = [], 0
    for end in SENTENCE_END.finditer(text):
        if end[0] == "." and _is_abbreviated(text[max(start, end.start() - 20) : end.start()]):
            continue
        found.append(text[start : end.end()].strip())
        start = end.end()
    found.append(text[start:].strip())
    return tuple(sentence for sentence in found if sentence)


def _is_abbreviated(before: str) -> bool:
    """Whether the full stop after a text belongs to its last word."""
    words = before.split()
    if not words or before[-1].isspace():
        return False
    word = words[-1].lstrip("\"'“‘([*_")
    is_initial = len(word) == 1 and word.isupper() and word != "I"
    is_item = word.isdecimal() and len(words) == 1
    return is_initial or is_item or word.lower() in ABBREVIATIONS


def _sentences(text: str) -> tuple[tuple[int, str], ...]:
    """Length in words and first word of each sentence that has one."""
    found = []
    for sentence in split_sentences(text):
        marker = None if sentence[0].isalpha() else MARKER.match(sentence)
        rest = sentence[marker.end() if marker else 0 :]
        if rest.isascii():
            words = rest.translate(SIGNS_AWAY).split()  # the same words in a third of the time
        else:
            words = [w for w in WORD.findall(rest) if w[0].isalnum() or w[0] == "_"]
        if words:
            found.append((len(words), words[0].lower()))
    return tuple(found)


def _sentence_lengths(answers: Answers) -> list[list[int]]:
    """Words of each sentence of each answer."""
    lengths = [[size for size, _ in found] for found in answers.each(_sentences)]
    if not any(lengths):
        raise Undefined("no answer has a sentence")
    return lengths


@metric(
    name="sentence_length",
    higher_is="neither",
    range=(1, float("inf")),
    source="docs/metrics.md",
    unit="within output",
    min_n=1,
    unbiased_in_n=True,
    aliases=("mean sentence length",),
    confounds=BY_LINE,
    **PROSE,
)
def sentence_length(answers: Answers) -> float:
    """Mean number of words in a sentence; each answer counts alike."""
    return float(np.mean([sum(each) / len(each) for each in _sentence_lengths(answers) if each]))


@metric(
    name="sentence_length_variation",
    higher_is="more diverse",
    range=(0, float("inf")),
    source="coefficient of variation of sentence length (Yule 1939)",
    aliases=("burstiness",),
    unit="within output",
    min_n=1,
    unbiased_in_n=True,
    confounds=f"Rises with the number of sentences of an answer while they are few. {BY_LINE}",
    **PROSE,
)
def sentence_length_variation(answers: Answers) -> float:
    """Standard deviation of the sentence lengths of an answer over their mean, averaged over the answers.

    Answers of one sentence are left out.
    """
    several = [each for each in _sentence_lengths(answers) if len(each) > 1]
    if not several:
        raise Undefined("no answer has two sentences")
    sizes, lengths = np.array(list(map(len, several))), np.array(list(chain.from_iterable(several)))
    begins = np.cumsum(sizes) - sizes
    means = np.add.reduceat(lengths, begins) / sizes
    squares = np.add.reduceat((lengths - np.repeat(means, sizes)) ** 2, begins)
    return float((np.sqrt(squares / (sizes - 1)) / means).mean())


@metric(
    name="sentence_length_sd",
    higher_is="more diverse",
    range=(0, float("inf")),
    source="docs/metrics.md",
    aliases=("sentence-length standard deviation",),
    confounds=f"Follows the mean length. {BY_LINE}",
    **PROSE,
)
def sentence_length_sd(answers: Answers) -> float:
    """Standard deviation of the lengths of all sentences of all answers, in words."""
    pooled = np.array(list(chain.from_iterable(_sentence_lengths(answers))))
    if pooled.size < 2:
        raise Undefined("1 sentence in all, 2 are needed")
    return float(pooled.std(ddof=1))


@metric(
    name="sentence_length_difference",
    higher_is="more diverse",
    range=(0, float("inf")),
    source="mean difference (Gini 1912) of the answers' mean sentence lengths",
    pairwise=True,
    unbiased_in_n=True,
    aliases=("mean difference of sentence lengths",),
    confounds=f"Follows the mean length. {BY_LINE}",
    **PROSE,
)
def sentence_length_difference(answers: Answers) -> Matrix:
    """Difference between two answers in their mean sentence length, in words. An answer without one counts as 0."""
    means = np.array([sum(each) / len(each) if each else 0.0 for each in _sentence_lengths(answers)])
    difference: Matrix = np.abs(means[:, None] - means[None, :])
    return difference


@metric(
    name="sentence_opening_distinct",
    higher_is="more diverse",
    range=(0, 1),
    source="distinct-1 (Li et al. 2016) over the first words of sentences",
    aliases=("sentence-opening distinct-1",),
    confounds=f"Falls with the number of answers and of their sentences. {BY_LINE}",
    **PROSE,
)
def sentence_opening_distinct(answers: Answers) -> float:
    """Different first words of sentences over the number of sentences, all answers of the prompt pooled."""
    openings = [word for found in answers.each(_sentences) for _, word in found]
    if not openings:
        raise Undefined("no answer has a sentence")
    return len(set(openings)) / len(openings)


@metric(
    name="sentence_opening_similarity",
    higher_is="less diverse",
    range=(0, 1),
    source="docs/metrics.md; one minus the total variation distance of shares of opening words",
    pairwise=True,
    unbiased_in_n=True,
    aliases=("sentence-opening overlap",),
    confounds=f"Rises with the number of sentences of an answer. {BY_LINE}",
    **PROSE,
)
def sentence_opening_similarity(answers: Answers) -> Matrix:
    """Overlap of the words with which the sentences of two answers open: sum over words of the smaller share.

    Two answers without a sentence are alike, one without and one with are not.
    """
    openings = [[word for _, word in found] for found in answers.each(_sentences)]
    if not any(openings):
        raise Undefined("no answer has a sentence")
    # No opening at all is an opening of its own.
    openings = [words or [""] for words in openings]
    sizes = np.array(list(map(len, openings)))
    ids = classes(list(chain.from_iterable(openings)))
    width = int(ids.max()) + 1
    cells = np.repeat(np.arange(len(sizes)) * width, sizes) + ids
    shares = np.bincount(cells, weights=np.repeat(1 / sizes, sizes), minlength=len(sizes) * width).reshape(-1, width)
    step = max(1, BLOCK // shares.size)
    rows = [shares[begin : begin + step, None] for begin in range(0, len(shares), step)]
    return np.concatenate([np.minimum(own, shares).sum(axis=2) for own in rows])


def layout(text: str) -> str:
    """Blocks of a text in their order, one word each.

    P paragraph, B a line in bold, H1 to H6 heading, L3 bullet list of 3 items, N3 numbered list, C fenced code,
    T table, Q quotation, R rule.

    Examples
    --------
    >>> layout("Sure!\\n\\n# Plan\\n- one\\n- two\\n\\nDone.")
    'P H1 L2 P'
    """
    blocks: list[tuple[str, int]] = []
    is_code, is_open = False, False
    for line in text.splitlines():
        first = line.lstrip()[:1]
        if first and first in "`~" and FENCE.match(line):
            if not is_code:
                blocks.append(("C", 1))
            is_code, is_open = not is_code, False
            continue
        if is_code:
            continue
        if not first:
            is_open = False
            continue
        kind = "P" if first.isalpha() else _kind(line)
        if blocks and kind in {"L", "N"} and blocks[-1][0] == kind:
            blocks[-1] = (kind, blocks[-1][1] + 1)  # white space between items does not end a list
        elif not (is_open and (kind == "P" or (kind in {"T", "Q"} and blocks[-1][0] == kind))):
            blocks.append((kind, 1))
        is_open = kind[0] not in "HRB"
    return " ".join(f"{kind}{size}" if kind in {"L", "N"} else kind for kind, size in blocks)


def _kind(line: str) -> str:
    """Kind of block that a line outside of code begins or continues."""
    heading = HEADING.match(line)
    if heading:
        return f"H{len(heading[1])}"
    for kind, pattern in (("R", RULE), ("B", BOLD_LINE), ("L", BULLET), ("N", NUMBERED)):
        if pattern.match(line):
            return kind
    return {"|": "T", ">": "Q"}.get(line.lstrip()[0], "P")


def _layouts(answers: Answers) -> NDArray[np.int64]:
    """Number of the layout of each answer."""
    return classes(answers.each(layout))


@metric(
    name="layout_unique",
    facet="format",
    higher_is="more diverse",
    range=(1, float("inf")),
    source="Hill number of order 0 (Hill 1973) of layouts",
    needs="prose",
    aliases=("distinct layouts",),
    confounds="At most the number of answers, and rises with it. Item counts and paragraph counts follow length.",
)
def layout_unique(answers: Answers) -> float:
    """Number of different layouts: the order of paragraphs, headings, lists with their items, code, tables, quotes."""
    return float(_layouts(answers).max() + 1)


@metric(
    name="layout_similarity",
    facet="format",
    higher_is="less diverse",
    range=(0, 1),
    source="Collision probability (Simpson 1949) of layouts",
    needs="prose",
    pairwise=True,
    unbiased_in_n=True,
    aliases=("layout collision",),
    confounds="Item counts and paragraph counts follow length. Answers of one paragraph are all alike.",
)
def layout_similarity(answers: Answers) -> Matrix:
    """Share of pairs of answers with the same layout; see `layout_unique`. The form to compare at unequal n."""
    found = _layouts(answers)
    return np.equal.outer(found, found).astype(np.float64)
