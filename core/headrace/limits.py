"""Fixed limits that several modules share; each name ends in its unit.

A limit that one module uses is in that module. What an operator may change is in `settings.py`.
"""

# --- HTTP requests -----------------------------------------------------------------------------

HEAD_MAX_BYTES = 16 * 1024
"""Request line and headers together; over it 431 (RFC 6585 section 5), as in nginx and Node."""

HEADERS_MAX_COUNT = 100
"""Header lines of one request; over it 431. Browsers send about 20."""

TARGET_MAX_BYTES = 8 * 1024
"""The request target; over it 414. There is room for a token in the query."""

BODY_MAX_BYTES = 1024 * 1024
"""A request body that is read whole; over it 413. A list of 3,000 client IDs fits."""

# --- WebSocket ---------------------------------------------------------------------------------

CLIENT_FRAME_MAX_BYTES = 256 * 1024
"""A message from a client, before and after decompression; over it 1009."""

# --- tokens ------------------------------------------------------------------------------------

SECRET_MIN_BYTES = 32
"""A signing key: as long as the output of SHA-256 (RFC 7518 section 3.2)."""

TOKEN_MAX_BYTES = 6 * 1024
"""A compact token; a longer one is refused before it is decoded."""

TOKEN_MIN_MINUTES = 1
TOKEN_DEFAULT_MINUTES = 120
TOKEN_MAX_MINUTES = 1440
"""The lifetime of a token."""

GROUPS_MAX_COUNT = 128
"""Entries in the `groups` claim of one token, and in its `send` claim."""

# --- names -------------------------------------------------------------------------------------

GROUP_NAME_MAX_BYTES = 256
"""A group's name, as UTF-8."""

IDEMPOTENCY_KEY_MAX_BYTES = 256
"""An idempotency key, as UTF-8."""
