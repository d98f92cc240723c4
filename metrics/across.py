"""Across prompts: measures over one answer to each prompt, which ask whether all prompts are answered alike.

A checkpoint can keep its variety on each prompt and still come to answer every prompt in one manner, or the other way
round; the two are not one finding. Kirk et al. 2024 (arXiv:2310.06452) call them across-input and per-input diversity.
"""

from diversity.registry import across

SAME_MANNER = "Rises when every prompt is answered in one manner. Mean over pairs of different prompts: unbiased in n."

# Cheap pair means are in the default panel; what counts n-grams again without each group of prompts is not.
across("lexical.similarity", default=True, aliases=("s_across", "lexical.s_across"))
across("syntactic.similarity", default=True, aliases=("syntactic.s_across",))
across("semantic.similarity", default=True, aliases=("semantic.s_across",))
for _name in ("pairwise_cosine_distance",):
    across(_name, default=True)
for _name in (
    "distinct_1",
    "distinct_2",
    "distinct_3",
    "distinct_4",
    "self_bleu",
    "compression_ratio",
    "vendi",
):
    across(_name)
