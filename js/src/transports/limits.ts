/** Limits and timeouts of the transports. */

/**
 * A proven transport, one that has connected before, is given up after this many failed attempts,
 * and only while the server can be reached: the server may be restarting, or the network may be down.
 */
export const PROVEN_MAX_ATTEMPTS = 3;

/**
 * How long a probe waits for an answer. The kernel repeats a lost SYN after 1, 3 and 7 s (newer
 * kernels also in between), then more and more rarely. By starting a new probe every 11 s, the
 * monitor gets an answer within 4 s after the network is back.
 */
export const PROBE_TIMEOUT_MS = 11_000;

/**
 * After this many probes without an answer, the transport is tried anyway: a network or a page may
 * block both kinds of probe. By then, browsers have given up the connections of the last attempt.
 */
export const MAX_PROBES = 12;

/**
 * The server answers a poll at once only if it has messages. So a first poll that has had neither an
 * error nor an answer for this long counts as open, with nothing lost, if the server can be reached.
 */
export const ASSUME_OPEN_AFTER_MS = 1_000;

/**
 * An empty answer that comes sooner than this is not from the server, which waits 25 s. The next
 * request is delayed so that requests start at least this far apart.
 */
export const EMPTY_POLL_MIN_MS = 1_000;

/** How long a tab waits for the leader's answer. A frozen tab does not answer. */
export const JOIN_TIMEOUT_MS = 2_000;

/** What the leading tab keeps for tabs that join or resume: in messages, and in characters of data. */
export const RECENT_MAX_MESSAGES = 500;
export const RECENT_MAX_CHARACTERS = 262_144;
