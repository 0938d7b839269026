"""Minting and verifying tokens: every connect verifies one."""

import time

from pytest_benchmark.fixture import BenchmarkFixture

from headrace.auth.tokens import TokenSigner

NOW = time.time()
SIGNER = TokenSigner([b"the first secret, 32 bytes long."])
TWO_KEYS = TokenSigner([b"a newer secret, 32 bytes long...", b"the first secret, 32 bytes long."])


def test_mint(benchmark: BenchmarkFixture) -> None:
    assert benchmark(SIGNER.mint, "client-1", now=NOW, groups=("lobby",)).token


def test_verify(benchmark: BenchmarkFixture) -> None:
    token = SIGNER.mint("client-1", now=NOW, groups=("lobby",)).token
    assert benchmark(SIGNER.verify, token, now=NOW).sub == "client-1"


def test_verify_with_older_secret(benchmark: BenchmarkFixture) -> None:
    token = SIGNER.mint("client-1", now=NOW, groups=("lobby",)).token
    assert benchmark(TWO_KEYS.verify, token, now=NOW).sub == "client-1"
