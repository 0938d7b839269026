/** What the server says, parsed: JSON text in, one value out, never an exception. */

import { type SendAnswer, SendError } from "./outbox.js";
import { isPosition, positionOrNull } from "./position.js";

/** A message as the server sends it. */
export interface Message {
  id: string;
  data: string;
  /** The group it was sent to, when it came through one. */
  group?: string;
}

/** The server's first word on a connection, and its answer to a renewal. */
export interface Opened {
  /** Empty when the transport did not say. */
  clientId: string;
  /** The id after which this connection starts. */
  id: string | null;
  /** null: fresh; true: nothing was lost since the last id; false: something may have been. */
  recovered: boolean | null;
  /** When the token ends, in seconds of the Unix clock. */
  expiresAt: number | null;
  /** After so long a silence the server pings. */
  pingIntervalMs: number;
}

export type Frame =
  | { kind: "message"; message: Message }
  | { kind: "open"; opened: Opened }
  | { kind: "ping"; id: string | null }
  | { kind: "gap"; after: string | null; before: string | null }
  | { kind: "reconnect"; delayMs: number }
  /** What an event stream has in place of a close frame. */
  | { kind: "close"; code: number; reason: string }
  /** To the message that was numbered `ref`; an error where it was not taken. */
  | { kind: "reply"; ref: number; answer: SendAnswer; error: SendError | false }
  | { kind: "unknown" }
  | { kind: "malformed"; why: string };

/** The contract's default, for a server that does not say. */
export const PING_INTERVAL_MS = 25_000;

/** What a planned goodbye may ask for at most; the server's own limit is far lower. */
const RECONNECT_MAX_MS = 300_000;

/** Parse one JSON text frame of `headrace.v1`. */
export function parseFrame(text: string): Frame {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return malformed("is not JSON");
  }
  return readFrame(value);
}

/** Read a frame from what its JSON stands for; also used for the items of a long poll. */
export function readFrame(value: unknown): Frame {
  if (typeof value !== "object" || value === null) return malformed("is not an object");
  const fields = value as Record<string, unknown>;
  switch (fields.type) {
    case undefined:
      return readMessage(fields);
    case "open":
      return { kind: "open", opened: readOpened(fields) };
    case "ping":
      return { kind: "ping", id: positionOrNull(fields.id) };
    case "gap":
      return { kind: "gap", after: positionOrNull(fields.after), before: positionOrNull(fields.before) };
    case "reconnect":
      return { kind: "reconnect", delayMs: Math.min(positive(fields.delay_ms) ?? 0, RECONNECT_MAX_MS) };
    case "close":
      return readClose(fields);
    case "sent":
    case "error":
      return readReply(fields);
    default:
      return typeof fields.type === "string" ? { kind: "unknown" } : malformed("has a type that is not text");
  }
}

function readMessage({ id, data, group }: Record<string, unknown>): Frame {
  if (!isPosition(id)) return malformed("has neither a type nor an id");
  if (typeof data !== "string") return malformed(`has the id ${id} but no text as data`);
  return { kind: "message", message: typeof group === "string" ? { id, data, group } : { id, data } };
}

function readOpened(fields: Record<string, unknown>): Opened {
  const { client_id, recovered } = fields;
  return {
    clientId: typeof client_id === "string" ? client_id : "",
    id: positionOrNull(fields.id),
    recovered: typeof recovered === "boolean" ? recovered : null,
    expiresAt: positive(fields.expires_at),
    pingIntervalMs: (positive(fields.ping_interval) ?? 0) * 1000 || PING_INTERVAL_MS,
  };
}

function readReply({ type, ref, id, code, detail }: Record<string, unknown>): Frame {
  if (typeof ref !== "number") return { kind: "unknown" }; // to no message of ours
  const error = type === "error" && new SendError(String(detail), positive(code) ?? 0);
  return { kind: "reply", ref, answer: isPosition(id) ? { id } : {}, error };
}

function readClose({ code, reason }: Record<string, unknown>): Frame {
  if (typeof code !== "number") return malformed("closes without a code");
  return { kind: "close", code, reason: typeof reason === "string" ? reason : "" };
}

function positive(value: unknown): number | null {
  return typeof value === "number" && value >= 0 ? value : null;
}

function malformed(why: string): Frame {
  return { kind: "malformed", why };
}
