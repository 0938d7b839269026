/** Server frames: JSON in, one `Frame` out. Invalid input gives a "malformed" frame, never an exception. */

import { isPosition, positionOrNull } from "./position.js";
import { type SendAnswer, SendError } from "./send.js";

/** A message from the server. */
export interface Message {
  id: string;
  data: string;
  /** The group it was sent to, if any. */
  group?: string;
}

/** The fields of an "open" frame, the first frame on a connection and the answer to a renewal. */
export interface SessionInfo {
  /** Empty if the transport does not give it. */
  clientId: string;
  /** The connection delivers the messages after this id. */
  id: string | null;
  /** null: not resumed. true: resumed, and nothing was lost. false: messages may have been lost. */
  recovered: boolean | null;
  /** When the token expires, in seconds of Unix time. */
  expiresAt: number | null;
  /** The server sends a ping after this much silence. */
  pingIntervalMs: number;
}

export type Frame =
  | { kind: "message"; message: Message }
  | { kind: "open"; session: SessionInfo }
  | { kind: "ping"; id: string | null }
  | { kind: "gap"; after: string | null; before: string | null }
  /** The server restarts. null: it leaves the delay to the client. */
  | { kind: "reconnect"; delayMs: number | null }
  /** An event stream's replacement for a WebSocket close frame. */
  | { kind: "close"; code: number; reason: string }
  /** The answer to the message sent with the number `ref`. `error` is set if it was refused. */
  | { kind: "reply"; ref: number; answer: SendAnswer; error: SendError | null }
  /** A type that this version does not know. */
  | { kind: "unknown" }
  | { kind: "malformed"; reason: string };

/** The server's default, for a server that does not give its own. */
export const DEFAULT_PING_INTERVAL_MS = 25_000;

/** The longest delay that a "reconnect" frame can ask for. The server's own limit is much lower. */
const RECONNECT_DELAY_MAX_MS = 300_000;

/** Parse one JSON text frame of the subprotocol `headrace.v1`. */
export function parseFrame(text: string): Frame {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return malformed("not JSON");
  }
  return decodeFrame(value);
}

/** Decode a frame from parsed JSON, such as an item of a long-poll response. */
export function decodeFrame(value: unknown): Frame {
  if (typeof value !== "object" || value === null) return malformed("not an object");
  const fields = value as Record<string, unknown>;
  switch (fields.type) {
    case undefined:
      return decodeMessage(fields);
    case "open":
      return { kind: "open", session: decodeSession(fields) };
    case "ping":
      return { kind: "ping", id: positionOrNull(fields.id) };
    case "gap":
      return { kind: "gap", after: positionOrNull(fields.after), before: positionOrNull(fields.before) };
    case "reconnect":
      return { kind: "reconnect", delayMs: nonNegative(fields.delay_ms, RECONNECT_DELAY_MAX_MS) };
    case "close":
      return decodeClose(fields);
    case "sent":
    case "error":
      return decodeReply(fields);
    default:
      return typeof fields.type === "string" ? { kind: "unknown" } : malformed("type is not a string");
  }
}

function decodeMessage({ id, data, group }: Record<string, unknown>): Frame {
  if (!isPosition(id)) return malformed("neither type nor id");
  if (typeof data !== "string") return malformed(`data of ${id} is not a string`);
  return { kind: "message", message: typeof group === "string" ? { id, data, group } : { id, data } };
}

function decodeSession(fields: Record<string, unknown>): SessionInfo {
  const { client_id, recovered } = fields;
  return {
    clientId: typeof client_id === "string" ? client_id : "",
    id: positionOrNull(fields.id),
    recovered: typeof recovered === "boolean" ? recovered : null,
    expiresAt: nonNegative(fields.expires_at),
    pingIntervalMs: (nonNegative(fields.ping_interval) ?? 0) * 1000 || DEFAULT_PING_INTERVAL_MS,
  };
}

function decodeReply({ type, ref, id, code, detail }: Record<string, unknown>): Frame {
  if (typeof ref !== "number") return { kind: "unknown" }; // not the answer to a numbered message
  const error = type === "error" ? new SendError(String(detail), nonNegative(code) ?? 0) : null;
  return { kind: "reply", ref, answer: isPosition(id) ? { id } : {}, error };
}

function decodeClose({ code, reason }: Record<string, unknown>): Frame {
  if (typeof code !== "number") return malformed("close without a code");
  return { kind: "close", code, reason: typeof reason === "string" ? reason : "" };
}

function nonNegative(value: unknown, max = Infinity): number | null {
  return typeof value === "number" && value >= 0 ? Math.min(value, max) : null;
}

function malformed(reason: string): Frame {
  return { kind: "malformed", reason };
}
