/**
 * The Server-Sent Events transport.
 *
 * It uses `fetch`, not `EventSource`. `EventSource` cannot set headers, so the token would have to go
 * into the URL, and its errors give neither a status nor a reason.
 */

import type { Platform } from "../platform.js";
import { abnormalClose, type CloseInfo } from "../protocol/close-info.js";
import { EventStreamParser, type StreamEvent } from "../protocol/event-stream-parser.js";
import { decodeFrame, type Frame, parseFrame } from "../protocol/frames.js";
import { readProblem } from "../protocol/problem.js";
import { request, startConnection } from "./http.js";
import { shareBetweenTabs } from "./tab-sharing.js";
import type { ConnectOptions, Transport, TransportListener } from "./transport.js";

/** The transport, or null if the browser cannot read a response body as a stream. */
export function sseTransport(platform: Platform): Transport | null {
  const { fetch } = platform;
  if (!fetch || typeof ReadableStream === "undefined" || typeof TextDecoder === "undefined") return null;
  const unshared: Transport = {
    name: "sse",
    connect(options, listener) {
      return startConnection(listener, (signal) => readStream(fetch, options, listener, signal));
    },
  };
  return shareBetweenTabs(unshared, platform);
}

async function readStream(
  fetch: NonNullable<Platform["fetch"]>,
  options: ConnectOptions,
  listener: TransportListener,
  signal: AbortSignal,
): Promise<CloseInfo> {
  const type = "text/event-stream";
  const response = await request(fetch, options, "/v1/events", type, signal);
  if (!response.ok) return readProblem(response);
  if (!response.body || !response.headers.get("content-type")?.startsWith(type)) {
    return abnormalClose("not an event stream");
  }
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  const parser = new EventStreamParser();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return abnormalClose("the event stream ended", true);
    const frames = parser.feed(decoder.decode(value, { stream: true })).map(toFrame);
    // A comment or an incomplete event: it shows that the connection is alive.
    if (!frames.length) frames.push({ kind: "ping", id: null });
    for (const frame of frames) {
      if (signal.aborted) break;
      if (frame.kind === "close") return { ...frame, reached: true };
      listener.onFrame(frame);
    }
  }
}

function toFrame({ type, id, data }: StreamEvent): Frame {
  return type === "headrace" ? parseFrame(data) : decodeFrame({ id, data });
}
