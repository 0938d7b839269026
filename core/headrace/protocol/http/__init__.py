"""The server side of HTTP/1.1 without I/O.

Pass bytes to `HttpConnection.receive_data`, take events from `next_event` (RequestHead, Body,
EndOfRequest), and write the bytes that `respond`, `start_response`, `send_body`, `end_response`,
`send_continue` and `upgrade` return. The module docstring of `connection.py` has the details.
"""

from headrace.protocol.http.connection import HttpConnection
from headrace.protocol.http.events import Body, EndOfRequest, HttpEvent, RequestHead
from headrace.protocol.http.states import HttpState

__all__ = ["Body", "EndOfRequest", "HttpConnection", "HttpEvent", "HttpState", "RequestHead"]
