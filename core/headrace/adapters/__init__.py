"""Headrace inside an application that has a web server already.

`headrace.adapters.asgi` is for Starlette, FastAPI and other ASGI applications,
`headrace.adapters.aiohttp` for aiohttp. The host reads and writes HTTP and WebSocket; the hub, its
routes and its sessions are those of `headrace.Server`.

Settings of the listening server have no effect here: `host`, `port`, `max_connections`, TLS,
`state_dir`. The host logs request targets, which have the token if a client sends it as `?token=`.
"""
