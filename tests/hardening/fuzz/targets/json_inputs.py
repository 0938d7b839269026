"""Strategies for JSON: valid documents, and texts that are nearly valid."""

import json
from typing import Any

from hypothesis import strategies as st

JSON_WORDS = (
    *(b'"data":', b'"to":', b'"group":', b'"type":', b'"id":', b'"ref":', b"null", b"true", b"[]"),
    *(b"{}", b"1e400", b"-0", b"NaN", b'"\\ud800"', b'"\\ud83d\\ude00"', b"\\u0000", b"[" * 600),
    b'{"a":' * 600,
)

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=10),
    st.text(st.characters(categories=["Cs"]), max_size=2),
)


def json_like() -> st.SearchStrategy[Any]:
    """Return any value that JSON can express, and some that it cannot (NaN, lone surrogates)."""
    return st.recursive(
        LEAVES,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
        ),
        max_leaves=6,
    )


def json_text(values: st.SearchStrategy[Any]) -> st.SearchStrategy[str]:
    """Return the values as JSON, sometimes with an unknown member that is nested 2,000 deep."""
    texts = values.map(json.dumps)
    deep = texts.filter(lambda text: text.endswith("}") and len(text) > 2).map(
        lambda text: f'{text[:-1]},"deep":{"[" * 1500}{"]" * 1500}}}'
    )
    return st.one_of(texts, texts, texts, deep)
