"""The small text parsers: ids, grants and origins; an input's lines are the arguments."""

import contextlib
from urllib.parse import urlsplit

from hypothesis import strategies as st
from tests.hardening.fuzz.target import Target, fields, joined

from headrace.auth.grants import check_grant, covers
from headrace.auth.origins import OriginPolicy
from headrace.errors import ConfigError, InputError
from headrace.messages.entries import Entry
from headrace.messages.position import Position, parse_position

# --- ids -----------------------------------------------------------------------------------------


def check_position(data: bytes) -> None:
    text = data.decode(errors="surrogateescape")
    try:
        position = parse_position(text)
    except InputError:
        assert _reference_position(text) is None
        return
    assert position == _reference_position(text)
    assert str(position) == "%d-%d" % position == text


def _reference_position(text: str) -> Position | None:
    parts = text.split("-")
    if len(parts) != 2 or not text.isascii():
        return None
    if not all(part.isdecimal() and len(part) <= 20 and part == str(int(part)) for part in parts):
        return None
    position = Position(int(parts[0]), int(parts[1]))
    return position if max(position) < 2**64 else None


DIGITS = st.one_of(
    st.integers(0, 2**64 + 1).map(str),
    st.sampled_from(["0", "00", "-1", "1e3", "\u0661", "+1", ""]),
)
POSITION = Target(
    "position",
    check_position,
    st.one_of(st.builds("{}-{}".format, DIGITS, DIGITS), st.text()).map(
        lambda text: text.encode(errors="surrogatepass")
    ),
    (b"-", b"18446744073709551615", b"0", "\u0661".encode()),
)


# --- grants --------------------------------------------------------------------------------------


def check_grants(data: bytes) -> None:
    """The lines are a kind of target, the target's name, and the grants."""
    kind, name, rest = fields(data, 3)
    grants = rest.split("\n")[:5]
    if kind == "group":
        entry = Entry(data="", group=name)
    elif kind == "everyone":
        entry = Entry(data="", everyone=True)
    else:
        entry = Entry(data="", to=tuple(name.split(",")))
    names = [f"group:{name}"] if kind == "group" else [f"client:{each}" for each in entry.to]
    expected = kind != "everyone" and all(
        any(_reference_covers(grant, each) for grant in grants) for each in names
    )
    assert covers(grants, entry) is expected
    for grant in grants:
        valid = grant.startswith(("client:", "group:")) and grant not in ("client:", "group:")
        try:
            check_grant(grant)
        except InputError:
            continue
        assert valid, f"check_grant accepts {grant!r}"


def _reference_covers(grant: str, target: str) -> bool:
    """Match character by character, with the set of all places in `target` that can be reached."""
    if not grant.startswith(("client:", "group:")):
        return False
    reached = {0}
    at = 0
    while at < len(grant):
        if grant[at] == "*":
            reached = set(range(min(reached), len(target) + 1)) if reached else set()
        else:
            if grant[at : at + 2] in ("\\\\", "\\*"):
                at += 1
            reached = {place + 1 for place in reached if target[place : place + 1] == grant[at]}
        at += 1
    return len(target) in reached


PATTERNS = st.lists(
    st.sampled_from(
        ["*", "a", "b", "\\*", "\\\\", "\\", "\u00e9", ":", "client:", "group:", "\\a"]
    ),
    max_size=8,
).map("".join)
GRANTS = Target(
    "grants",
    check_grants,
    st.builds(
        lambda kind, name, grants: joined([kind, name, *grants]),
        st.sampled_from(["client", "group", "everyone"]),
        PATTERNS | st.text(max_size=6).filter(lambda text: "\n" not in text),
        st.lists(st.builds("{}{}".format, st.sampled_from(["client:", "group:", ""]), PATTERNS)),
    ),
    (b"client:", b"group:", b"*", b"\\*", b"\\\\", b"\n"),
)


# --- origins -------------------------------------------------------------------------------------


def check_origins(data: bytes) -> None:
    """The lines are an `Origin`, a `Host` and the allowed origins."""
    origin, host, rest = fields(data, 3)
    allowed = []
    for text in rest.split("\n")[:4]:
        with contextlib.suppress(ConfigError):
            OriginPolicy([text])
            allowed.append(text)
    policy = OriginPolicy(allowed)
    assert policy.allows(None, host) is True
    same = OriginPolicy([]).allows(origin, host)
    if same:
        parts = urlsplit(origin.lower())
        assert parts.scheme in ("http", "https")
        assert parts.path == parts.query == parts.fragment == ""
        assert "@" not in origin
        hosts = urlsplit(f"{parts.scheme}://{host.lower()}")
        assert parts.hostname == hosts.hostname
        default = {"http": 80, "https": 443}[parts.scheme]
        assert (parts.port or default) == (hosts.port or default)
    expected = same or "*" in allowed or any(_same_origin(origin, text) for text in allowed)
    assert policy.allows(origin, host) is expected
    assert OriginPolicy(allowed).allows(origin, None) is (
        "*" in allowed or any(_same_origin(origin, text) for text in allowed)
    )


def _same_origin(origin: str, allowed: str) -> bool:
    """Compare two origins as one that is allowed alone does."""
    return OriginPolicy([allowed]).allows(origin, None)


ORIGINS = st.one_of(
    st.builds(
        "{}://{}{}".format,
        st.sampled_from(["http", "https", "HTTP", "app", "file", "", "1x"]),
        st.sampled_from(
            ["a", "a.example", "A.example", "[::1]", "127.0.0.1", "u@a", "\u00e9", "", "a_b"]
        ),
        st.sampled_from(["", ":80", ":443", ":0", ":65536", ":080", ":", "/", "/x", "?", "\r"]),
    ),
    st.sampled_from(["null", "*", "", "a", "a:80", "[::1]:80"]),
    st.text(max_size=10).filter(lambda text: "\n" not in text),
)
HOSTS = ORIGINS.map(lambda origin: origin.partition("://")[2] or origin)
ORIGINS_TARGET = Target(
    "origins",
    check_origins,
    st.builds(
        lambda origin, host, allowed: joined([origin, host, *allowed]),
        ORIGINS,
        HOSTS,
        st.lists(ORIGINS, max_size=3),
    ),
    (b"http://", b"https://", b":80", b":443", b"[::1]", b"\n", b"*", b"."),
)
