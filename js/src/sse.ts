/**
 * The Server-Sent Events transport.
 *
 * Read with `fetch`, not `EventSource`, which can set no header: the token would have to go into
 * the URL, and its failures say neither status nor reason.
 */

import { EventStreamParser, type StreamEvent } from "./eventstream.js";
import { type Frame, parseFrame, readFrame } from "./frames.js";
import { get, start } from "./http.js";
import type { Platform } from "./platform.js";
import { readLoss } from "./problem.js";
import { sharedTransport } from "./share.js";
import { abnormal, type Dial, type Loss, type Sink, type Transport } from "./transport.js";

/** The transport, or null where an answer cannot be read while it comes. */
export function eventStreamTransport(platform: Platform): Transport | null {
  const { fetch } = platform;
  if (!fetch || typeof ReadableStream === "undefined" || typeof TextDecoder === "undefined") return null;
  const single: Transport = {
    name: "sse",
    connect(dial, sink) {
      return start(sink, (signal) => read(fetch, dial, sink, signal));
    },
  };
  return sharedTransport(single, platform);
}

async function read(
  fetch: NonNullable<Platform["fetch"]>,
  dial: Dial,
  sink: Sink,
  signal: AbortSignal,
): Promise<Loss> {
  const type = "text/event-stream";
  const response = await get(fetch, dial, "/v1/events", type, signal);
  if (!response.ok) return readLoss(response);
  if (!response.body || !response.headers.get("content-type")?.startsWith(type)) {
    return abnormal("the answer is no event stream");
  }
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  const parser = new EventStreamParser();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return abnormal("the event stream ended", true);
    const frames = parser.feed(decoder.decode(value, { stream: true })).map(toFrame);
    if (!frames.length) frames.push({ kind: "ping", id: null }); // a comment, or a part: it is alive
    for (const frame of frames) {
      if (signal.aborted) break;
      if (frame.kind === "close") return { ...frame, reached: true };
      sink.frame(frame);
    }
  }
}

function toFrame({ type, id, data }: StreamEvent): Frame {
  return type === "headrace" ? parseFrame(data) : readFrame({ id, data });
}
