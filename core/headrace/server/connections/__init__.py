"""The asyncio protocols of a connection, one after the other on the same transport.

    HttpProtocol ──upgrade──▶ WebSocketProtocol, EventStreamProtocol
         │
         └──last response──▶ LingeringProtocol

They know the `ServerContext`, never the `Server`.
"""
