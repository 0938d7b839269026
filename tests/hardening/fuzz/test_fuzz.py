"""Each fuzz target for a few seconds: its corpus, structured inputs, and mutated inputs."""

from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.hardening.fuzz import corpus
from tests.hardening.fuzz.mutation import mutate
from tests.hardening.fuzz.registry import TARGETS
from tests.hardening.fuzz.target import INPUT_MAX_BYTES

EXAMPLES = 400

CORPUS_FILES = [(name, path) for name in TARGETS for path in corpus.files(name)]

few_seconds = settings(
    deadline=None, max_examples=EXAMPLES, suppress_health_check=list(HealthCheck)
)


@pytest.mark.parametrize(
    ("name", "path"), CORPUS_FILES, ids=[f"{name}/{path.name}" for name, path in CORPUS_FILES]
)
def test_corpus(name: str, path: Path) -> None:
    TARGETS[name].check(path.read_bytes())


def test_every_folder_of_the_corpus_has_a_target() -> None:
    folders = {path.name for path in corpus.CORPUS.iterdir()}
    assert folders == set(TARGETS)
    assert {name for name, _ in CORPUS_FILES} == set(TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_structured_inputs(name: str) -> None:
    target = TARGETS[name]

    @few_seconds
    @given(target.strategy)
    def check(data: bytes) -> None:
        target.check(data[:INPUT_MAX_BYTES])

    check()


@pytest.mark.parametrize("name", TARGETS)
def test_mutated_inputs(name: str) -> None:
    target = TARGETS[name]
    inputs = corpus.inputs(name)

    @few_seconds
    @given(st.randoms(use_true_random=False), st.sampled_from(inputs))
    def check(random: Random, data: bytes) -> None:
        target.check(mutate(random, data, inputs, target.dictionary))

    check()
