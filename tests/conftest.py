"""Shared fixtures: a tiny model that loads in milliseconds, small tables, one thread."""

import os
import random

# Before torch and polars are imported: several test processes on few cores only wait for each other's threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("POLARS_MAX_THREADS", "2")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["DIVERSITY_NO_CACHE"] = "1"  # what is measured is what the code of today gives
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import polars as pl
import pytest

from diversity.tables import Samples

TEMPLATE = (
    "{% for m in messages %}<|user|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
CORPUS = ["def add(a, b):\n    return a + b", "Write a short story about a dog.", "Request: Answer:\n###\n"]


def pytest_collection_modifyitems(items):
    """Begin with the demo: it takes longest, and the rest fits beside it."""
    items.sort(key=lambda item: item.path.name != "test_demo.py")


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Let torch, where a test loads it, run on one thread."""
    import sys

    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def build_tiny_model(folder, *, seed=0, template=TEMPLATE, end=True):
    """Save a random Llama of two layers with a tokenizer of 300 pieces: 36,768 weights, 0.1 s."""
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.set_num_threads(1)
    trained = ByteLevelBPETokenizer()
    marks = ["<|end|>", "<|user|>", "<|assistant|>"]
    trained.train_from_iterator(CORPUS * 4, vocab_size=300, min_frequency=1, special_tokens=marks)
    named = {"eos_token": "<|end|>", "pad_token": "<|end|>"} if end else {}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=trained._tokenizer, additional_special_tokens=marks[1:], padding_side="left", **named
    )
    if template:
        tokenizer.chat_template = template
    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=300,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=2048,
            initializer_range=0.3,
            bos_token_id=None,
            eos_token_id=0 if end else None,
            pad_token_id=0 if end else None,
        )
    )
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def build_model():
    """Give the function that saves a tiny model, for tests that need a special one."""
    return build_tiny_model


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """Folder of a tiny random chat model."""
    return build_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def make_samples():
    """Give a function that fills a Samples table with texts drawn from a list."""

    def make(texts, *, checkpoint="pre", domain="story", prompts=3, n=4, seed=0, **columns):
        """Draw n texts for each prompt (a count, or their ids); a further column has one value for all rows."""
        rng = random.Random(seed)
        ids = [f"p{i:02d}" for i in range(prompts)] if isinstance(prompts, int) else prompts
        rows = [
            {
                "checkpoint": checkpoint,
                "domain": domain,
                "prompt_id": prompt_id,
                "sample_index": index,
                "output": rng.choice(texts),
                **columns,
            }
            for prompt_id in ids
            for index in range(n)
        ]
        return Samples.of(pl.DataFrame(rows, infer_schema_length=None))

    return make
