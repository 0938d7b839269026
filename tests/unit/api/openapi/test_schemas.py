"""api/openapi/schemas.py: every alias of the wire types has a component, with the limits."""

import re
from typing import Any

import pytest

from headrace.api.openapi.schemas import components_of
from headrace.messages import wire
from headrace.settings import Settings

COMPONENTS = components_of(Settings(client_id_max_bytes=77, message_max_bytes=5000))


def aliases() -> set[str]:
    """Return the components that the annotated aliases in wire.py refer to."""
    found = set()
    for value in vars(wire).values():
        for meta in getattr(value, "__metadata__", ()):
            extra: dict[str, Any] = meta.extra_json_schema or {}
            if "$ref" in extra:
                found.add(extra["$ref"].rpartition("/")[2])
    return found


def test_every_alias_has_a_component() -> None:
    assert aliases() == set(COMPONENTS)


@pytest.mark.parametrize(
    ("name", "shortest", "longest"),
    [
        ("ClientId", 1, 77),
        ("GroupName", 1, 256),
        ("IdempotencyKey", 1, 256),
        ("Data", 0, 5000),
    ],
)
def test_a_text_has_its_limits(name: str, shortest: int, longest: int) -> None:
    schema = COMPONENTS[name]
    assert (schema["minLength"], schema["maxLength"]) == (shortest, longest)
    assert f"At most {longest} bytes of UTF-8." in schema["description"]


@pytest.mark.parametrize(
    ("name", "valid", "invalid"),
    [
        ("MessageId", ["0-0", "1732412345678-0", "5-17"], ["", "5", "05-0", "5-", "-5", "a-b"]),
        ("LastId", ["", "5-17"], ["5", "05-0"]),
        ("Grant", ["group:lobby", "client:*", "group:a\nb"], ["group:", "lobby", "everyone:x"]),
    ],
)
def test_the_patterns(name: str, valid: list[str], invalid: list[str]) -> None:
    schema = COMPONENTS[name]
    for text in [*valid, *schema["examples"]]:
        assert re.search(schema["pattern"], text), text
    for text in invalid:
        assert not re.search(schema["pattern"], text), text
