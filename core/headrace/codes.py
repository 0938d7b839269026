"""WebSocket close codes: what each means and whether the client should come back.

The standard ones are RFC 6455 section 7.4.1's and IANA's registry; those from 4000 are Headrace's
own (RFC 6455 section 7.4.2 leaves 4000 to 4999 to applications). The JavaScript client holds the
same table in `js/src/codes.ts`, and a test compares the two.
"""

NORMAL = 1000
GOING_AWAY = 1001
PROTOCOL_ERROR = 1002
UNSUPPORTED_DATA = 1003
NO_STATUS = 1005  # never on the wire: what the API reports when a close frame was empty
ABNORMAL = 1006  # never on the wire: what the API reports when there was no close frame
INVALID_PAYLOAD = 1007
MESSAGE_TOO_BIG = 1009
INTERNAL_ERROR = 1011
RESTART = 1012
INVALID_TOKEN = 4001
EXPIRED_TOKEN = 4002
REVOKED_TOKEN = 4003
TOO_SLOW = 4008
REPLACED = 4009
TOO_MANY_CONNECTIONS = 4029

REASONS: dict[int, str] = {
    NORMAL: "normal",
    GOING_AWAY: "going away",
    PROTOCOL_ERROR: "protocol error",
    UNSUPPORTED_DATA: "unsupported data",
    INVALID_PAYLOAD: "invalid UTF-8",
    MESSAGE_TOO_BIG: "message too big",
    INTERNAL_ERROR: "internal error",
    RESTART: "restart: reconnect",
    INVALID_TOKEN: "invalid token",
    EXPIRED_TOKEN: "token timed out: fetch a new one",
    REVOKED_TOKEN: "token revoked",
    TOO_SLOW: "too slow: reconnect and resume",
    REPLACED: "replaced by a newer session: do not reconnect",
    TOO_MANY_CONNECTIONS: "too many connections: reconnect later",
}
"""The text that goes with a code into the close frame; at most 123 bytes each."""

TOKEN_DESCRIPTIONS: dict[int, str] = {
    INVALID_TOKEN: "Invalid+token.",
    EXPIRED_TOKEN: "Token+timed+out.",
    REVOKED_TOKEN: "Token+revoked.",
}
"""The App Engine client's `onerror` description of each token fault, to the letter."""

FINAL = frozenset({NORMAL, INVALID_TOKEN, EXPIRED_TOKEN, REVOKED_TOKEN, REPLACED})
"""After these a client does not come back with the same token; after all others it does."""
