"""messages/entries.py: the JSON form in which a backplane carries entries between processes."""

import msgspec
import pytest

from headrace.messages.entries import AnyEntry, Entry, Join, Leave, Revoke


@pytest.mark.parametrize(
    ("entry", "wire"),
    [
        (Entry(data="x", to=("a", "b")), b'{"type":"send","data":"x","to":["a","b"]}'),
        (Entry(data="x", group="g"), b'{"type":"send","data":"x","group":"g"}'),
        (Entry(data="", everyone=True), b'{"type":"send","data":"","everyone":true}'),
        (Join("a", "g", 1.5), b'{"type":"join","client_id":"a","group":"g","at":1.5}'),
        (Leave("a", "g", 1.5), b'{"type":"leave","client_id":"a","group":"g","at":1.5}'),
        (Revoke("a", 1.5), b'{"type":"revoke","client_id":"a","at":1.5}'),
    ],
)
def test_the_json_form_of_each_entry(entry: AnyEntry, wire: bytes) -> None:
    assert msgspec.json.encode(entry) == wire
    assert msgspec.json.decode(wire, type=AnyEntry) == entry
