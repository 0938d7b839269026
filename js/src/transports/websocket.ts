/** The WebSocket transport, with the subprotocol `headrace.v1`. */

import type { Platform } from "../platform.js";
import { isAbnormal } from "../protocol/close-info.js";
import * as codes from "../protocol/codes.js";
import { parseFrame } from "../protocol/frames.js";
import { endpointUrl, type Transport } from "./transport.js";

const SUBPROTOCOL = "headrace.v1";

/** Open a WebSocket to an `http:` or `https:` URL; `protocols` are offered after `headrace.v1`. */
export function openWebSocket(
  WebSocket: NonNullable<Platform["WebSocket"]>,
  url: string,
  ...protocols: string[]
): WebSocket {
  return new WebSocket(url.replace(/^http/, "ws"), [SUBPROTOCOL, ...protocols]);
}

/** The transport, or null if the browser has no WebSocket. */
export function webSocketTransport({ WebSocket }: Platform): Transport | null {
  if (!WebSocket) return null;
  return {
    name: "websocket",
    connect(options, listener) {
      const url = endpointUrl(options, "/v1/connect");
      // The token is sent as a subprotocol: a browser cannot set headers, and URLs end up in logs.
      const socket = openWebSocket(WebSocket, url, `headrace.token.${options.token}`);
      socket.onmessage = ({ data }: MessageEvent<unknown>) => {
        listener.onFrame(parseFrame(String(data))); // binary data is not JSON either
      };
      socket.onclose = ({ code, reason }) => {
        listener.onClose({
          code,
          reason: reason || codes.REASONS[code] || "connection lost",
          reached: !isAbnormal(code),
        });
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
