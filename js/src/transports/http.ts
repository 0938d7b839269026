/** What the two transports over HTTP have in common. */

import type { Platform } from "../platform.js";
import { abnormalClose, type CloseInfo } from "../protocol/close-info.js";
import {
  type ConnectOptions,
  endpointUrl,
  type TransportConnection,
  type TransportListener,
} from "./transport.js";

/** Request `path` with the token in a header, because URLs end up in logs. */
export function request(
  fetch: NonNullable<Platform["fetch"]>,
  options: ConnectOptions,
  path: string,
  accept: string,
  signal: AbortSignal | null,
  method = "GET",
): Promise<Response> {
  const headers = { authorization: `Bearer ${options.token}`, accept };
  return fetch(endpointUrl(options, path), { method, headers, cache: "no-store", signal });
}

/**
 * Run `read` as a connection. What it returns or throws is reported to `listener` as the close.
 * Closing the connection aborts the signal.
 */
export function startConnection(
  listener: TransportListener,
  read: (signal: AbortSignal) => Promise<CloseInfo>,
): TransportConnection {
  const controller = new AbortController();
  const { signal } = controller;
  read(signal)
    .catch((error) => abnormalClose(error))
    .then((info) => {
      if (!signal.aborted) listener.onClose(info);
    });
  return { close: () => controller.abort() };
}
