"""auth/grants.py: what a grant covers, its escapes, its cost, and which grants are refused."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.auth.grants import check_grant, covers
from headrace.errors import InputError
from headrace.messages.entries import Entry


def to(*client_ids: str) -> Entry:
    return Entry(data="x", to=client_ids)


def group(name: str) -> Entry:
    return Entry(data="x", group=name)


@pytest.mark.parametrize(
    ("grant", "entry", "covered"),
    [
        ("client:bob", to("bob"), True),
        ("client:bob", to("bobby"), False),
        ("client:bob", to("Bob"), False),
        ("client:bob", group("bob"), False),
        ("group:lobby", group("lobby"), True),
        ("group:lobby", to("lobby"), False),
        ("client:*", to("anybody"), True),
        ("client:*", to(""), True),
        ("client:*", group("g"), False),
        ("group:game-*", group("game-7"), True),
        ("group:game-*", group("game-"), True),
        ("group:game-*", group("game"), False),
        ("group:game-*", group("a game-7"), False),
        ("group:*-end", group("the-end"), True),
        ("group:*-end", group("the-end!"), False),
        ("group:a*b*c", group("a1b2c"), True),
        ("group:a*b*c", group("abc"), True),
        ("group:a*b*c", group("acb"), False),
        ("group:a*a", group("a"), False),  # one letter cannot be both ends
        ("group:a*a", group("aa"), True),
        ("group:*ab*ab*", group("ab"), False),
        ("group:*ab*ab*", group("abab"), True),
        ("group:**", group("g"), True),
        ("group:two\nlines*", group("two\nlines\nmore"), True),
        # An escaped star or backslash is literal; any other backslash matches itself.
        (r"group:\*", group("*"), True),
        (r"group:\*", group("x"), False),
        (r"group:\*", group(r"\*"), False),
        (r"group:\*\**", group("**x"), True),
        (r"group:a\\b", group(r"a\b"), True),
        (r"group:a\\b", group(r"a\\b"), False),
        (r"group:a\\*", group(r"a\anything"), True),
        (r"group:a\\*", group("a*"), False),
        (r"group:a\b", group(r"a\b"), True),
        ("group:a\\", group("a\\"), True),
        # Every other character matches itself.
        ("group:[a-z].+", group("[a-z].+"), True),
        ("group:[a-z].+", group("xyz"), False),
        ("client:a/b-c=d&e+f:g h", to("a/b-c=d&e+f:g h"), True),
        ("client:Zoë*", to("Zoë/žluť"), True),
        # Malformed grants match nothing.
        ("*", to("bob"), False),
        ("bob", to("bob"), False),
        ("", to("bob"), False),
        ("*:bob", to("bob"), False),
        ("clients:bob", to("bob"), False),
        ("client*:bob", to("bob"), False),
        ("everyone", Entry(data="x", everyone=True), False),
        ("client:*", Entry(data="x", everyone=True), False),
        ("client:*", Entry(data="x"), False),
    ],
)
def test_what_a_grant_covers(grant: str, entry: Entry, covered: bool) -> None:
    assert covers([grant], entry) is covered


def test_every_target_must_be_covered_by_some_grant() -> None:
    grants = ["client:a*", "client:b", "group:g"]
    assert covers(grants, to("a1", "b", "a2"))
    assert not covers(grants, to("a1", "c"))
    assert covers(grants, Entry(data="x", to=("b",), group="g"))
    assert not covers(grants, Entry(data="x", to=("b",), group="h"))
    assert not covers([], to("a"))


@given(st.text("ab*\\", max_size=8), st.text("ab*\\", max_size=8))
def test_a_pattern_equals_a_regular_expression(pattern: str, name: str) -> None:
    tokens = re.findall(r"\\[\\*]|.", pattern)
    expression = "".join(
        ".*" if token == "*" else re.escape(token[1:] if len(token) > 1 else token)
        for token in tokens
    )
    expected = re.fullmatch(expression, name, re.DOTALL) is not None
    assert covers([f"group:{pattern}"], group(name)) is expected


def test_a_pattern_with_many_stars_does_not_backtrack() -> None:
    started = time.perf_counter()
    assert not covers(["group:" + "*a" * 60 + "b"], group("a" * 256))
    assert time.perf_counter() - started < 0.5


# --- what is refused when a token is minted -----------------------------------------------------


@pytest.mark.parametrize(
    "grant", ["client:bob", "group:lobby", "client:*", "group:a b/ü:\n", r"group:\*", "group::"]
)
def test_a_grant_that_can_match_is_accepted(grant: str) -> None:
    check_grant(grant)


@pytest.mark.parametrize(
    ("grant", "suggestion"),
    [
        ("lobby", "group:lobby"),
        ("Group:lobby", "group:lobby"),
        ("groups:lobby", "group:lobby"),
        ("group/lobby", "group:lobby"),
        ("group=lobby", "group:lobby"),
        ("group lobby", "group:lobby"),
        (" group:lobby ", "group:lobby"),
        ("room:lobby", "group:lobby"),
        ("group : lobby", "group:lobby"),
        ("CLIENT:bob", "client:bob"),
        ("clients/bob", "client:bob"),
        ("user:bob", "client:bob"),
        ("channel:bob", "client:bob"),
        ("client:", "client:*"),
        ("group:", "group:*"),
        ("*", "group:*"),
        ("grouped", "group:grouped"),
        ("a/b:c", "group:a/b:c"),
    ],
)
def test_a_grant_that_can_never_match_is_refused_with_a_suggestion(
    grant: str, suggestion: str
) -> None:
    with pytest.raises(InputError) as caught:
        check_grant(grant)
    assert f"the grant {grant!r} matches nothing" in str(caught.value)
    assert str(caught.value).endswith(f"did you mean `{suggestion}`?")
    check_grant(suggestion)


@pytest.mark.parametrize("grant", ["", "\ud800", "group:\ud800", "group:" + "x" * 6144])
def test_a_grant_that_does_not_fit_a_token_is_refused(grant: str) -> None:
    with pytest.raises(InputError, match="grant") as caught:
        check_grant(grant)
    assert len(str(caught.value).encode()) < 200


@given(st.text().filter(lambda text: not text.startswith(("client:", "group:"))))
def test_any_text_without_a_prefix_is_refused(grant: str) -> None:
    with pytest.raises(InputError) as caught:
        check_grant(grant)
    assert len(str(caught.value).encode()) < 800
