/** The WebSocket transport, subprotocol `headrace.v1`. */

import * as codes from "./codes.js";
import { parseFrame } from "./frames.js";
import type { Platform } from "./platform.js";
import { address, type Transport } from "./transport.js";

export const SUBPROTOCOL = "headrace.v1";

/** The transport, or null where there is no WebSocket. */
export function webSocketTransport({ WebSocket }: Platform): Transport | null {
  if (!WebSocket) return null;
  return {
    name: "websocket",
    connect(dial, sink) {
      const url = address(dial, "/v1/connect").replace(/^http/, "ws");
      // The token travels as a subprotocol: a browser can set no header, and a URL ends in logs.
      const socket = new WebSocket(url, [SUBPROTOCOL, `headrace.token.${dial.token}`]);
      socket.onmessage = ({ data }: MessageEvent<unknown>) => {
        sink.frame(typeof data === "string" ? parseFrame(data) : { kind: "malformed", why: "is binary" });
      };
      socket.onclose = ({ code, reason }) => {
        const ownClose = code !== codes.ABNORMAL && code !== codes.NO_STATUS;
        sink.lost({ code, reason: reason || codes.REASONS[code] || "connection lost", reached: ownClose });
      };
      return {
        close() {
          socket.onmessage = socket.onclose = null;
          socket.close(codes.NORMAL);
        },
        renew(token) {
          socket.send(JSON.stringify({ type: "renew", token }));
          return true;
        },
        send: (text) => socket.send(text),
      };
    },
  };
}
