"""WebSocket close codes, and whether a client should reconnect after them.

The standard codes are from RFC 6455 section 7.4.1 and IANA's registry. Those from 4000 are
Headrace's own; RFC 6455 section 7.4.2 leaves 4000 to 4999 to applications. The JavaScript client
has the same table in `js/src/protocol/codes.ts`, and a test compares the two.
"""

NORMAL = 1000
GOING_AWAY = 1001
PROTOCOL_ERROR = 1002
UNSUPPORTED_DATA = 1003
NO_STATUS = 1005  # never sent: reported for an empty close frame
ABNORMAL = 1006  # never sent: reported if there was no close frame
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
"""The reason in the close frame, at most 123 bytes."""

TOKEN_DESCRIPTIONS: dict[int, str] = {
    INVALID_TOKEN: "Invalid+token.",
    EXPIRED_TOKEN: "Token+timed+out.",
    REVOKED_TOKEN: "Token+revoked.",
}
"""The exact `onerror` description of the App Engine client for each token fault."""

FINAL = frozenset({NORMAL, INVALID_TOKEN, EXPIRED_TOKEN, REVOKED_TOKEN, REPLACED})
"""A client does not reconnect with the same token after these, but does after all others."""
