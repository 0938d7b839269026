/**
 * WebSocket close codes: what each means and whether to come back.
 *
 * The same table as the server's `core/headrace/codes.py`; `tests/unit/test_codes.py` compares the
 * two and reads this file as text, so each entry keeps its one-line form.
 */

export const NORMAL = 1000;
export const GOING_AWAY = 1001;
export const PROTOCOL_ERROR = 1002;
export const UNSUPPORTED_DATA = 1003;
/** Never on the wire: what the API reports when a close frame was empty. */
export const NO_STATUS = 1005;
/** Never on the wire: what the API reports when there was no close frame. */
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

/** The text that goes with a code. */
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

/** The App Engine client's `onerror` description of each token fault, to the letter. */
export const TOKEN_DESCRIPTIONS: Readonly<Record<number, string>> = {
  [INVALID_TOKEN]: "Invalid+token.",
  [EXPIRED_TOKEN]: "Token+timed+out.",
  [REVOKED_TOKEN]: "Token+revoked.",
};

/** After these a client does not come back with the same token; after all others it does. */
export const FINAL: readonly number[] = [NORMAL, INVALID_TOKEN, EXPIRED_TOKEN, REVOKED_TOKEN, REPLACED];
