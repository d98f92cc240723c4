"""What every registered metric says of itself, and that the families of the literature are all there."""

import re
from pathlib import Path

import pytest

from diversity.registry import FACETS, UNITS, find_metric, metrics

ROOT = Path(__file__).parents[2]
METRICS = list(metrics().values())
# Each measure as papers and packages name it: one name for one thing that a reader may look for.
LITERATURE = [
    *(f"{name}-{n}" for name in ("distinct", "dist", "ead", "ent") for n in (1, 2, 3, 4)),
    *(f"hill number of order {q} of {n}-grams" for q in ("0", "1", "2", "inf") for n in (1, 2, 3, 4)),
    *("expectation-adjusted distinct", "averaged_ead", "averaged distinct n-grams", "n-gram diversity"),
    *("type-token ratio", "moving-average type-token ratio", "hd-d", "measure of textual lexical diversity"),
    *("self-bleu", "self-bleu-2", "self-bleu-3", "self-bleu-4", "self-bleu-5", "self-sacrebleu", "pairwise-bleu"),
    *(f"self_bleu_m{method}" for method in (0, 2, 3, 4, 5, 6, 7)),
    *("self-rouge-l", "self-chrf", "homogenization_score", "homogenization_rouge_l", "homogenization_bleu"),
    *("homogenization_chrf", "self-repetition", "cr", "cr: gzip", "cr: xz", "cr_zstd", "ncd"),
    "normalised compression distance",
    *("levenshtein_norm", "levenshtein_norm_char", "jaccard-1", "jaccard-2", "jaccard-3", "ruzicka-2"),
    *("exact duplicate rate", "near-duplicate rate", "opening-words mass", "ngram_vendi_score"),
    *("pos_template_rate", "TPT", "pos_compression_ratio", "pos_distinct_4", "function-word distinct-3"),
    *("punctuation distinct-3", "burstiness", "sentence-opening distinct-1", "layout_unique"),
    *("APS", "median pairwise distance", "distance to centroid", "vendi_0.5", "vendi score", "RKE mode count"),
    *("vendi_inf", "von Neumann entropy", "kernel language entropy", "logdet", "participation_ratio", "chamfer_dist"),
    *("cluster count", "distinct_k", "NoveltyBench utility", "discrete semantic entropy", "cluster collision"),
    *("precision", "recall", "density", "coverage", "mmd", "energy", "js_ngram_1", "js_opener", "fid"),
    *(f"{facet}.inter_checkpoint_homogeneity" for facet in ("lexical", "syntactic", "semantic", "functional")),
    *(f"{facet}.similarity" for facet in ("lexical", "syntactic", "semantic", "functional")),
    *("s_across", "across-input distinct_2", "across-input self_bleu", "across-input vendi", "across-input ead"),
]


@pytest.mark.parametrize("name", LITERATURE)
def test_a_measure_of_the_literature_is_found_by_its_name(name):
    assert find_metric(name).function


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.name)
def test_a_metric_says_what_it_is(metric):
    assert metric.facet in FACETS
    assert metric.unit in UNITS
    assert metric.range[0] < metric.range[1]
    assert metric.higher_is in {"more diverse", "less diverse", "neither"}
    assert 0 <= metric.min_n <= 3
    assert metric.cost
    assert metric.confounds.endswith(".")
    assert metric.summary
    assert not metric.summary.startswith("partial(")
    # A paper by its year, a page of ours, or the metric that it is a form of.
    assert re.search(r"\b(19|20)\d\d\b|docs/[\w-]+\.md|as \w+", metric.source)


@pytest.mark.parametrize("metric", [m for m in METRICS if m.facet in {"lexical", "semantic"}], ids=lambda m: m.name)
def test_a_metric_of_words_or_meaning_has_the_names_that_papers_use(metric):
    assert metric.aliases


def test_no_name_means_two_metrics():
    names = [name for m in METRICS for name in (m.name, *m.aliases)]
    assert sorted(names) == sorted(set(names))


def test_pages_that_metrics_cite_are_there():
    cited = {page for m in METRICS for page in re.findall(r"docs/[\w-]+\.md", f"{m.source} {m.documentation}")}
    assert cited
    for page in cited:
        assert (ROOT / page).is_file(), page


def test_no_two_metrics_of_words_are_summed_up_alike():
    summaries = [m.summary for m in METRICS if m.facet == "lexical" and m.unit == "within prompt"]
    assert sorted(summaries) == sorted(set(summaries))


def test_across_prompts_it_is_the_same_function_and_never_a_headline():
    for metric in METRICS:
        if metric.unit == "across prompts":
            original = find_metric(metric.name.removesuffix(".across"))
            assert metric.function is original.function
            assert metric.range == original.range
            assert not metric.headline


def test_a_metric_that_calls_itself_free_of_n_is_a_mean_over_pairs_or_over_answers():
    for metric in METRICS:
        if metric.unbiased_in_n and metric.unit == "within prompt":
            assert metric.pairwise or metric.min_n <= 1, metric.name


def test_the_page_of_metrics_is_what_the_registry_says():
    import runpy

    made = runpy.run_path(str(ROOT / "docs" / "make_metrics_page.py"))
    # Where this fails, run `python docs/make_metrics_page.py`.
    assert (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8") == made["page"]()
    for metric in METRICS:
        if metric.source.startswith("docs/metrics.md"):
            assert metric.name.split(".")[-1 if "relocation" in metric.name else 0] in made["DEFINED"], metric.name
