/** What the two transports over HTTP share. */

import type { Platform } from "./platform.js";
import { abnormal, address, type Dial, type Link, type Loss, type Sink } from "./transport.js";

/** GET `path` with the token in a header, because a URL ends in logs. */
export function get(
  fetch: NonNullable<Platform["fetch"]>,
  dial: Dial,
  path: string,
  accept: string,
  signal: AbortSignal,
): Promise<Response> {
  const headers = { authorization: `Bearer ${dial.token}`, accept };
  return fetch(address(dial, path), { headers, cache: "no-store", signal });
}

/** Run `work` until it ends, by itself or by the link that is returned; its end is the loss. */
export function start(sink: Sink, work: (signal: AbortSignal) => Promise<Loss>): Link {
  const controller = new AbortController();
  const { signal } = controller;
  work(signal)
    .catch((error) => abnormal(error))
    .then((loss) => {
      if (!signal.aborted) sink.lost(loss);
    });
  return { close: () => controller.abort() };
}
