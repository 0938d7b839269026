/**
 * WebSocket close codes: what each means, and whether the client reconnects.
 *
 * Codes below 4000 are from RFC 6455 section 7.4.1 and the IANA registry. Codes from 4000 are
 * Headrace's own (RFC 6455 section 7.4.2 reserves 4000 to 4999 for applications).
 *
 * The server has the same table in `core/headrace/codes.py`. `tests/unit/test_codes.py` compares the
 * two and reads this file as text, so keep each entry on one line.
 */

export const NORMAL = 1000;
export const GOING_AWAY = 1001;
export const PROTOCOL_ERROR = 1002;
export const UNSUPPORTED_DATA = 1003;
/** Never sent: the browser reports it for a close frame without a code. */
export const NO_STATUS = 1005;
/** Never sent: the browser reports it when the connection ended without a close frame. */
export const ABNORMAL = 1006;
export const INVALID_PAYLOAD = 1007;
export const MESSAGE_TOO_BIG = 1009;
export const INTERNAL_ERROR = 1011;
export const RESTART = 1012;
export const INVALID_TOKEN = 4001;
export const EXPIRED_TOKEN = 4002;
export const REVOKED_TOKEN = 4003;
export const TOO_SLOW = 4008;
export const REPLACED = 4009;
export const TOO_MANY_CONNECTIONS = 4029;

/** The default reason for each code. */
export const REASONS: Readonly<Record<number, string>> = {
  [NORMAL]: "normal",
  [GOING_AWAY]: "going away",
  [PROTOCOL_ERROR]: "protocol error",
  [UNSUPPORTED_DATA]: "unsupported data",
  [INVALID_PAYLOAD]: "invalid UTF-8",
  [MESSAGE_TOO_BIG]: "message too big",
  [INTERNAL_ERROR]: "internal error",
  [RESTART]: "restart: reconnect",
  [INVALID_TOKEN]: "invalid token",
  [EXPIRED_TOKEN]: "token timed out: fetch a new one",
  [REVOKED_TOKEN]: "token revoked",
  [TOO_SLOW]: "too slow: reconnect and resume",
  [REPLACED]: "replaced by a newer session: do not reconnect",
  [TOO_MANY_CONNECTIONS]: "too many connections: reconnect later",
};

/** The exact `onerror` description of each token error in App Engine's Channel API. */
export const TOKEN_DESCRIPTIONS: Readonly<Record<number, string>> = {
  [INVALID_TOKEN]: "Invalid+token.",
  [EXPIRED_TOKEN]: "Token+timed+out.",
  [REVOKED_TOKEN]: "Token+revoked.",
};

/** The client does not reconnect with the same token after these codes. After any other code it does. */
export const FINAL: readonly number[] = [NORMAL, INVALID_TOKEN, EXPIRED_TOKEN, REVOKED_TOKEN, REPLACED];
