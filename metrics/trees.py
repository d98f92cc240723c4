"""Syntax of programs: subtrees, whole programs, tokens, control flow and libraries, over the programs that parse.

One rule for all: a program that the parser had to guess at is left out, whether it nearly parses or not at all, since
every broken program is broken in its own way and would read as diversity. How many were left out stands in the note
of each score and in the guards `parse_failures` and `partial_parses`; below two programs that parse there is no score.
"""

from collections.abc import Hashable, Iterable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from diversity.errors import MissingExtra, Undefined
from diversity.metrics.kernels import ruzicka
from diversity.registry import Function, metric
from diversity.sequences import Sequences, classes
from diversity.trees import Level
from diversity.views import Answers

Matrix = NDArray[np.float64]

LEFT_OUT = "Programs that do not parse are left out and counted."
CONFOUNDS = f"Falls with the size and number of the programs. {LEFT_OUT}"
SATURATES = f"Saturates at 1 for long programs and falls with the number of answers. {LEFT_OUT}"
LONGER = f"Longer programs share more common nodes; falls when sizes differ. {LEFT_OUT}"
PROXY = f"Read from the syntax alone: a proxy. {LEFT_OUT}"
SHYPULA = "distinct-n over syntax subtrees, after Shypula et al. 2025, arXiv:2504.12522"
PAIRS = "n² products over the different subtrees"
LARGEST = 400  # nodes; tree edit distance in pure Python takes minutes beyond


def _share(distinct: int, total: float) -> float:
    return distinct / float(total)


def distinct_subtrees(answers: Answers, *, levels: int) -> float:
    """Share of subtrees cut to so many levels that are different, all programs of the prompt pooled.

    Over the nodes that have so many levels below and including them.
    """
    forest = answers.forest
    deep = forest.reaches(levels)
    if not deep.any():
        raise Undefined(f"no tree has {levels} levels")
    different = int(np.count_nonzero(np.bincount(forest.numbers(levels)[deep])))
    return _share(different, forest.weights[deep].sum())


def averaged_subtrees(answers: Answers) -> float:
    """Mean of the shares of different subtrees cut to 3, 4 and 5 levels."""
    return float(np.mean([distinct_subtrees(answers, levels=levels) for levels in (3, 4, 5)]))


def distinct_full_subtrees(answers: Answers, *, level: Level) -> float:
    """Share of whole subtrees, down to their leaves, that are different, all programs of the prompt pooled."""
    forest = answers.forest
    return _share(forest.classes(None, level)[1], forest.weights.sum())


def _register(name: str, function: Function, **details: object) -> None:
    """Register a metric of this family with what most of them have in common."""
    common = {"facet": "syntactic", "range": (0, 1), "needs": "trees", "confounds": CONFOUNDS}
    metric(name=name, **{**common, **details})(function)  # type: ignore[arg-type]


_diverse = partial(_register, higher_is="more diverse")
_alike = partial(_register, higher_is="less diverse", pairwise=True, unbiased_in_n=True)

for _levels in (2, 3, 4, 5):
    _diverse(
        f"distinct_subtrees_{_levels}",
        partial(distinct_subtrees, levels=_levels),
        source=f"{SHYPULA}; heights are ours",
        aliases=(f"ast_distinct_{_levels}", f"ast_distinct_height_{_levels}"),
    )
_diverse(
    "distinct_subtrees",
    averaged_subtrees,
    source=f"{SHYPULA}; heights 3, 4 and 5 are ours",
    aliases=("ast_distinct_h", "syntactic_diversity"),
)
_diverse(
    "distinct_subtrees_full",
    partial(distinct_full_subtrees, level="type"),
    source=f"{SHYPULA}; whole subtrees",
    aliases=("ast_distinct_full", "ast_distinct_full_subtrees"),
)
_diverse(
    "distinct_subtrees_raw",
    partial(distinct_full_subtrees, level="raw"),
    source=f"{SHYPULA}; whole subtrees with names and literals as written",
    aliases=("ast_distinct_raw",),
    confounds=f"Counts names and literals: a renamed program is another one. {CONFOUNDS}",
    default=False,
)


def distinct_programs(answers: Answers, *, level: Level) -> float:
    """Share of programs whose syntax trees are different: comments and layout do not count."""
    programs = answers.forest.programs(level)
    return _share(len(np.unique(programs)), len(programs))


def _told(function: Function, summary: str) -> Function:
    """Give a partial its own docstring."""
    function.__doc__ = summary
    return function


_diverse(
    "distinct_programs",
    _told(
        partial(distinct_programs, level="alpha"),
        "Share of programs whose normalised trees are different: renaming, comments and layout do not count.\n\n"
        "Names that the program gives are numbered by first occurrence; builtins, attributes of libraries and "
        "literals count.",
    ),
    source="docs/metrics.md",
    aliases=("ast_unique", "ast_unique_normalised"),
    confounds=SATURATES,
)
_diverse(
    "distinct_programs_type",
    _told(
        partial(distinct_programs, level="type"),
        "Share of programs whose trees of node kinds and operators are different: no name or literal counts.",
    ),
    source="docs/metrics.md",
    aliases=("ast_unique_type",),
    confounds=SATURATES,
)
_diverse(
    "distinct_programs_raw",
    _told(
        partial(distinct_programs, level="raw"),
        "Share of programs whose trees with all names and literals are different: only comments and layout do not "
        "count.",
    ),
    source="docs/metrics.md",
    aliases=("ast_unique_raw",),
    confounds=f"A renamed program is another one. {SATURATES}",
)


def _equal(items: Iterable[Hashable]) -> Matrix:
    numbers = classes(list(items))
    return np.equal.outer(numbers, numbers).astype(np.float64)


def same_program(answers: Answers) -> Matrix:
    """Whether two programs have the same normalised tree: renaming, comments and layout do not count."""
    return _equal(answers.forest.programs().tolist())


_alike(
    "same_program",
    same_program,
    source="Collision probability (Simpson 1949) of normalised trees",
    aliases=("ast_eff",),
    confounds=f"Near 0 for long programs, however alike. {LEFT_OUT}",
)


def _of_answers(answers: Answers, matrix: Matrix) -> Matrix:
    """A matrix over the different programs, as one over the answers that parse."""
    which = answers.forest.which
    return matrix[np.ix_(which, which)]


def _cosine(products: Matrix) -> Matrix:
    lengths = np.diag(products)
    # Whole numbers under one root: programs with equal counts are alike by exactly 1.
    return np.clip(products / np.sqrt(np.outer(lengths, lengths)), 0, 1)


def wl_similarity(answers: Answers) -> Matrix:
    """Cosine of the counts of subtrees cut to 1, 2 and 3 levels, over the normalised trees that parse."""
    products = [answers.forest.bag(levels).products() for levels in (1, 2, 3)]
    return _of_answers(answers, _cosine(np.sum(products, axis=0)))


def subtree_kernel(answers: Answers) -> Matrix:
    """Cosine of the counts of whole subtrees, over the normalised trees that parse."""
    return _of_answers(answers, _cosine(answers.forest.bag(None).products()))


def subtree_ruzicka(answers: Answers, *, level: Level) -> Matrix:
    """Whole subtrees that two programs share, over those that either has (sum of minima over sum of maxima)."""
    return _of_answers(answers, answers.forest.bag(None, level).ruzicka())


_alike(
    "wl_similarity",
    wl_similarity,
    source="Weisfeiler-Lehman subtree kernel (Shervashidze et al. 2011, JMLR 12), normalised to cosines",
    aliases=("ast_wl", "weisfeiler_lehman", "wl_rooted_kernel_cosine"),
    confounds="Node kinds that every program has outweigh the rest: programs of one task score over 0.8.",
    cost=PAIRS,
)
_alike(
    "subtree_kernel",
    subtree_kernel,
    source="Subtree kernel (Vishwanathan and Smola 2003), normalised to cosines",
    aliases=("subtree_similarity", "ast_subtree_kernel"),
    confounds=f"Single leaves, which every program has, outweigh the rest. {LEFT_OUT}",
    cost=PAIRS,
)
_alike(
    "subtree_ruzicka",
    partial(subtree_ruzicka, level="type"),
    source="Ruzicka 1958 over the counts of whole subtrees",
    aliases=("ast_ruzicka", "ast_subtree_ruzicka"),
    confounds=LONGER,
    cost=PAIRS,
)
_alike(
    "subtree_ruzicka_raw",
    partial(subtree_ruzicka, level="raw"),
    source="Ruzicka 1958 over the counts of whole subtrees with names and literals as written",
    confounds=f"Counts names and literals: a renamed program is another one. {LONGER}",
    cost=PAIRS,
    default=False,
)


def tree_edit_distances(answers: Answers) -> Matrix:
    """Fewest nodes to insert, delete or relabel to turn one normalised tree into another, for every two trees.

    Raises
    ------
    Undefined
        A tree has over 400 nodes or, being a reference, over 100 levels.
    MissingExtra
        The package apted is not installed.
    """
    try:
        from apted import APTED, Config
    except ImportError:
        raise MissingExtra('tree edit distance needs apted: pip install "diversity-shift[trees]"') from None

    class Places(Config):  # type: ignore[misc]
        """Nodes as their places in the forest."""

        def children(self, node: int) -> list[int]:
            return below[node]

        def rename(self, one: int, other: int) -> int:
            return int(labels[one] != labels[other])

    forest = answers.forest
    largest, deepest = int(forest.sizes.max()), int(forest.heights.max())
    if largest > LARGEST or deepest > 100:
        raise Undefined(f"a tree has {largest} nodes and {deepest} levels, tree edit distance reads 400 and 100")
    labels = forest.labels().tolist()
    below: list[list[int]] = [[] for _ in labels]
    for node, parent in enumerate(forest.parents.tolist()):
        if parent >= 0:
            below[parent].append(node)
    # Programs of one normalised form are at distance 0: measured once.
    forms = classes(forest.classes(None)[0][forest.roots].tolist())
    firsts = forest.roots[np.unique(forms, return_index=True)[1]].tolist()
    distances = np.zeros((len(firsts), len(firsts)))
    for i in range(len(firsts)):
        for j in range(i):
            distances[i, j] = distances[j, i] = APTED(firsts[i], firsts[j], Places()).compute_edit_distance()
    between: Matrix = distances[np.ix_(forms, forms)]
    return between


def tree_edit_similarity(answers: Answers) -> Matrix:
    """One minus the tree edit distance over the nodes of the larger tree (TSED), for every two programs.

    A slow reference for small trees: undefined where one has over 400 nodes. Needs the package apted.
    """
    try:
        distances = tree_edit_distances(answers)
    except MissingExtra as error:
        raise Undefined(str(error)) from None
    sizes = answers.forest.sizes[answers.forest.roots]
    return _of_answers(answers, np.maximum(0, 1 - distances / np.maximum.outer(sizes, sizes)))


_alike(
    "tree_edit_similarity",
    tree_edit_similarity,
    source="TSED (Song et al. 2024, arXiv:2404.08817) with unit costs, by APTED (Pawlik and Augsten 2016)",
    aliases=("tsed", "tsed_similarity", "ast_ted"),
    confounds=LONGER,
    cost="n² times the cube of the nodes",
    default=False,
)


def _pooled_grams(answers: Answers, tokens: Sequences, order: int) -> float:
    totals = np.maximum(tokens.lengths - order + 1, 0) * answers.forest.copies
    if not totals.sum():
        raise Undefined(f"no program has {order} tokens")
    return _share(tokens.counted(order)[1], totals.sum())


def distinct_code_tokens(answers: Answers, *, order: int) -> float:
    """Share of token n-grams that are different, with every name, number and string alike, all programs pooled.

    Keywords, operators and brackets stand as they are; comments, docstrings, commas, semicolons and brackets round an
    expression are left out, which formatters add and take away.
    """
    return _pooled_grams(answers, answers.code_tokens, order)


def distinct_renamed_tokens(answers: Answers, *, order: int) -> float:
    """Share of token n-grams that are different, with the program's own names numbered by first occurrence.

    Builtins, names of libraries and literals stand as they are; comments, docstrings, commas, semicolons and brackets
    round an expression are left out.
    """
    return _pooled_grams(answers, answers.renamed_tokens, order)


def code_token_similarity(answers: Answers) -> Matrix:
    """Ruzicka similarity of token 1-, 2- and 3-grams, averaged, with every name, number and string alike."""
    return _of_answers(answers, ruzicka(answers.code_tokens, (1, 2, 3)))


def renamed_token_similarity(answers: Answers) -> Matrix:
    """Ruzicka similarity of token 1-, 2- and 3-grams, averaged, with the program's own names numbered."""
    return _of_answers(answers, ruzicka(answers.renamed_tokens, (1, 2, 3)))


RENUMBERED = "Numbering by first occurrence tells equal code apart where other names stand before it."
for _order in (1, 2, 3, 4):
    _diverse(
        f"distinct_code_tokens_{_order}",
        partial(distinct_code_tokens, order=_order),
        source="distinct-n (Li et al. 2016, arXiv:1510.03055) over lexer tokens without names and literals",
        aliases=(f"code_distinct_{_order}",),
        default=_order > 1,
    )
    _diverse(
        f"distinct_renamed_tokens_{_order}",
        partial(distinct_renamed_tokens, order=_order),
        source="distinct-n (Li et al. 2016, arXiv:1510.03055) over lexer tokens with names renumbered",
        aliases=(f"code_distinct_renamed_{_order}",),
        confounds=f"{RENUMBERED} {CONFOUNDS}",
        default=_order > 1,
    )
_alike(
    "code_token_similarity",
    code_token_similarity,
    source="Ruzicka 1958 over lexer tokens without names and literals",
    confounds=LONGER,
    cost="n² products over the different n-grams",
)
_alike(
    "renamed_token_similarity",
    renamed_token_similarity,
    source="Ruzicka 1958 over lexer tokens with names renumbered",
    confounds=f"{RENUMBERED} {LONGER}",
    cost="n² products over the different n-grams",
)


def distinct_skeletons(answers: Answers) -> float:
    """Share of control-flow skeletons that are different: loops, branches, handlers, returns from a loop, recursion.

    A skeleton is the nesting of these alone: ``for(if(return))``.
    """
    outlines = [s.control for s in answers.skeletons]
    return _share(len(set(outlines)), len(outlines))


def same_skeleton(answers: Answers) -> Matrix:
    """Whether two programs have the same control-flow skeleton."""
    return _equal(s.control for s in answers.skeletons)


def distinct_strategies(answers: Answers) -> float:
    """Share of strategy profiles that are different.

    A profile is the set of a program's ways to repeat: for, while, comprehension, recursion, mapping (a function run
    over a collection), and whether one loop holds another.
    """
    profiles = [s.strategies for s in answers.skeletons]
    return _share(len(set(profiles)), len(profiles))


def same_strategy(answers: Answers) -> Matrix:
    """Whether two programs repeat in the same ways: for, while, comprehension, recursion, mapping, nested loops."""
    return _equal(s.strategies for s in answers.skeletons)


def _jaccard(sets: list[frozenset[str]]) -> Matrix:
    numbers = {item: number for number, item in enumerate(frozenset().union(*sets))}
    has = np.zeros((len(sets), len(numbers)), dtype=np.float32)
    has[np.repeat(np.arange(len(sets)), list(map(len, sets))), [numbers[item] for each in sets for item in each]] = 1
    shared = (has @ has.T).astype(np.float64)
    sizes = shared.diagonal()
    either = np.add.outer(sizes, sizes) - shared
    # Two programs that bring in nothing are alike in that.
    return np.divide(shared, either, out=np.ones_like(shared), where=either > 0)


def api_similarity(answers: Answers) -> Matrix:
    """Jaccard similarity of what two programs import and call without defining it; two that use nothing are alike.

    Aliases are resolved: ``sqrt``, ``math.sqrt`` and ``m.sqrt`` are one. Of a method only the name is known.
    """
    return _jaccard([s.apis for s in answers.skeletons])


def import_similarity(answers: Answers) -> Matrix:
    """Jaccard similarity of the sets of modules that two programs import; two that import nothing are alike."""
    return _jaccard([s.imports for s in answers.skeletons])


_diverse(
    "distinct_skeletons",
    distinct_skeletons,
    source="docs/metrics.md",
    aliases=("cf_sig", "control_flow_skeletons"),
    confounds=f"Falls with the number of answers, rises with their size. {PROXY}",
)
_alike(
    "same_skeleton",
    same_skeleton,
    source="Collision probability (Simpson 1949) of control-flow skeletons",
    confounds=f"Falls with the size of the programs. {PROXY}",
)
_diverse(
    "distinct_strategies",
    distinct_strategies,
    source="docs/metrics.md",
    aliases=("algo_sig", "strategy_profile"),
    confounds=f"Falls with the number of answers. {PROXY}",
)
_alike(
    "same_strategy",
    same_strategy,
    source="Collision probability (Simpson 1949) of strategy profiles",
    confounds=PROXY,
)
_alike(
    "api_similarity",
    api_similarity,
    source="Jaccard 1912 over imported modules and called names",
    aliases=("api_set",),
    confounds=f"Short programs that call nothing are alike. {PROXY}",
)
_alike(
    "import_similarity",
    import_similarity,
    source="Jaccard 1912 over imported modules",
    aliases=("import_set",),
    confounds=f"Programs that import nothing are alike. {PROXY}",
)
