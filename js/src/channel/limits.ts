/** Limits and timeouts of a channel. */

/** A connection that lasted this long counts as a success and resets the backoff. */
export const STABLE_AFTER_MS = 10_000;

/** From the start of a connection until the "open" frame. It also detects a proxy that buffers. */
export const CONNECT_TIMEOUT_MS = 10_000;

/** An attempt that fails after this long got no answer at all: a refusal comes sooner. */
export const UNREACHABLE_AFTER_MS = 2_500;

/** When the network is back, a client connects within this time, at random. */
export const REACHABLE_SPREAD_MS = 500;

/**
 * While the server restarts, each delay is random, from this to twice this, and does not grow. So a
 * client is back about a second after the new process listens, and few come at the same moment.
 * Shorter delays would make it later: after some 15 failures within a few minutes, Chromium delays
 * each WebSocket by 1 to 5 s.
 */
export const RESTART_DELAY_MIN_MS = 500;

/** A restart is assumed to last this long. After that, the delays grow as after any failure. */
export const RESTART_MAX_MS = 10_000;

/** For the application's token function. */
export const TOKEN_TIMEOUT_MS = 30_000;

/** A connection that receives nothing for this many ping intervals is dead. */
export const SILENCE_MAX_PING_INTERVALS = 2;

/** By default, this many sent messages may wait while not connected. */
export const OUTBOX_MAX_MESSAGES = 100;

/** For the server's answer to a sent message. */
export const SEND_TIMEOUT_MS = 30_000;

/** The server accepts this many unanswered messages from one WebSocket. It refuses more with 429. */
export const PENDING_MAX_MESSAGES = 64;

/** A longer message is posted: the server closes a WebSocket that sends a frame over 256 KiB. */
export const SOCKET_SEND_MAX_CHARACTERS = 65_536;

/** Messages kept until the first "message" listener or loop. Beyond the limit the oldest are dropped. */
export const BUFFER_MAX_MESSAGES = 1_000;

/** A loop that falls further behind gets an error, so that no message is lost silently. */
export const QUEUE_MAX_MESSAGES = 10_000;
