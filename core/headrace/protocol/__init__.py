"""HTTP and WebSocket as sans-I/O objects: bytes in, events out, bytes to send.

http.py       HttpConnection: requests out of bytes, answers into bytes
state.py      its states, and what leads from one to another
request.py    the events that it gives: Request, Body, EndOfRequest
head.py       one request's head: its limits and its grammar
body.py       one request's body: of a known length, or chunked
answer.py     an answer's head and chunks
handshake.py  a request that becomes a WebSocket
websocket.py  FrameReader: a client's frames
guard.py      the limits and the inflation that wsproto leaves to us
"""
