"""token_format: which texts have the format of a token."""

import jwt
import pytest
from tests.helpers.appengine import NOW, SECRET, mint

from headrace.appengine.token_format import client_id_in


def test_tokens() -> None:
    assert client_id_in(mint("é/=")) == "é/="
    assert client_id_in(mint("alice", padding="x" * 4000)) == "alice"


@pytest.mark.parametrize(
    "text",
    [
        "alice",
        "a.b.c",
        "..",
        mint("alice")[:-1],
        mint("alice") + "x",
        mint("alice") + "=",
        mint("alice") + "\n",
        mint("alice").replace(".", "-"),
        mint("alice", padding="x" * 6000),
        mint(""),
        "e30." + mint("alice").partition(".")[2],
        "W10." + mint("alice").partition(".")[2],
        "_w." + mint("alice").partition(".")[2],
        "a." + mint("alice").partition(".")[2],
        jwt.encode({"sub": "alice"}, SECRET),
        jwt.encode({"exp": NOW}, SECRET),
        jwt.encode({"sub": "alice", "exp": NOW}, SECRET * 2, algorithm="HS512"),
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIiwiZXhwIjoxfQ." + "A" * 43,
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9." + "W1tb" * 1000 + "." + "A" * 43,
    ],
)
def test_other_texts(text: str) -> None:
    assert client_id_in(text) is None
