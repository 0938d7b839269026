"""headrace.client.models: the same fields as in the server's types."""

import pytest

from headrace.client import Channel, Send, Sent
from headrace.messages.wire import ChannelResponse, SendRequest, SendResponse


def test_the_fields_are_those_of_the_server() -> None:
    assert Channel.__struct_fields__ == ChannelResponse.__struct_fields__
    assert Sent.__struct_fields__ == SendResponse.__struct_fields__
    assert Send.__struct_fields__ == SendRequest.__struct_fields__


def test_data_that_is_not_a_string() -> None:
    with pytest.raises(TypeError, match=r"data is dict; .* send json\.dumps\(data\)"):
        Send(data={"a": 1}, to="alice")  # type: ignore[arg-type]  # the error under test
