"""backend.is_signed: which tokens are the server's."""

from tests.helpers.appengine import NOW, SECRET, mint

from headrace.appengine.backend import is_signed
from headrace.auth.tokens import TokenSigner


def test_is_signed() -> None:
    signer = TokenSigner([b"x" * 32, SECRET.encode()])
    assert is_signed(signer, mint("alice", exp=NOW + 60), NOW)
    assert is_signed(signer, mint("alice", exp=NOW - 60), NOW)
    assert not is_signed(signer, mint("alice", "another secret, of 32 bytes or so", exp=NOW), NOW)
    assert not is_signed(signer, "alice", NOW)
