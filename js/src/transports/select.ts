/** The transports that a browser supports, in order of preference. */

import type { Platform } from "../platform.js";
import { pollTransport } from "./poll.js";
import { sseTransport } from "./sse.js";
import type { Transport, TransportName } from "./transport.js";
import { webSocketTransport } from "./websocket.js";

const FACTORIES: Readonly<Record<TransportName, (platform: Platform) => Transport | null>> = {
  websocket: webSocketTransport,
  sse: sseTransport,
  poll: pollTransport,
};

const ALL_NAMES = Object.keys(FACTORIES) as TransportName[];

/** The transports of `names` that `platform` supports, at least one. Throws TypeError if it supports none of them. */
export function selectTransports(
  platform: Platform,
  names: readonly TransportName[] = ALL_NAMES,
): readonly Transport[] {
  const transports: Transport[] = [];
  for (const name of names) {
    if (!ALL_NAMES.includes(name))
      throw new TypeError(`transports has ${name}; it may have ${ALL_NAMES.join(", ")}`);
    const transport = FACTORIES[name](platform);
    if (transport) transports.push(transport);
  }
  if (transports.length) return transports;
  throw new TypeError(`transports is [${names.join(", ")}]; this browser has none of them`);
}
