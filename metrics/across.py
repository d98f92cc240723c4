"""Across prompts: measures over one answer to each prompt, which ask whether all prompts are answered alike.

A checkpoint can keep its variety on each prompt and still come to answer every prompt in one manner, or the other way
round; the two are not one finding. Kirk et al. 2024 (arXiv:2310.06452) call them across-input and per-input diversity.
"""

from diversity.registry import across

# Cheap pair means are in the default panel; what counts n-grams again without each group of prompts is not.
across("lexical.similarity", default=True, aliases=("s_across", "lexical.s_across"))
across("syntactic.similarity", default=True, aliases=("syntactic.s_across",))
across("semantic.similarity", default=True, aliases=("semantic.s_across",))
across("pairwise_cosine_distance", default=True)
# Left out are measures within one answer, which are the same either way, and classes of meaning: a judge is asked about
# answers to one prompt.
LEXICAL = (
    *(f"{name}_{n}" for name in ("distinct", "ead", "ngram_entropy") for n in (1, 2, 3, 4)),
    *(f"{name}_{n}" for name in ("rarefied_distinct", "jaccard", "ruzicka") for n in (1, 2, 3)),
    *(f"ngram_hill_{n}_q{q}" for n in (1, 2) for q in ("0", "1", "2", "inf")),
    "averaged_distinct",
    "ngram_diversity_sum",
    "ead",
    "self_repetition",
    "template_share",
    "top_opening_share",
    "same_opening",
    "self_bleu",
    "self_bleu_sacrebleu",
    "pair_bleu",
    "self_rouge_l",
    "self_chrf",
    "edit_distance_words",
    "edit_distance_characters",
    "ngram_vendi",
    "compression_ratio",
    "compression_ratio_gzip",
    "compression_ratio_zstd",
    "cr_lift",
    "ncd",
    "duplicates",
    "near_duplicates",
)
PROSE = (
    *(f"{kind}_{name}" for kind in ("shape", "pos") for name in ("distinct_4", "compression_ratio", "template_rate")),
    *(f"{kind}_templates_per_token" for kind in ("shape", "pos")),
    *(f"{kind}_{name}" for kind in ("function_word", "punctuation") for name in ("distinct_3", "similarity")),
    "sentence_length_sd",
    "sentence_length_difference",
    "sentence_opening_distinct",
    "sentence_opening_similarity",
    "layout_unique",
    "layout_similarity",
)
SEMANTIC = (
    "median_cosine_distance",
    "centroid_distance",
    "nearest_neighbour_distance",
    "semantic_near_duplicates",
    *(f"vendi{order}" for order in ("", "_0.5", "_2", "_inf")),
    "kernel_entropy",
    "squared_cosine",
    "log_determinant",
    "participation_ratio",
    *(f"leinster_cobbold_{order}" for order in ("0", "1", "2", "inf")),
)
for _name in (*LEXICAL, *PROSE, *SEMANTIC):
    across(_name)
