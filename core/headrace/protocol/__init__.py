"""HTTP and WebSocket as sans-I/O objects: bytes in, events out, bytes to send."""
