/** The transports a browser has, in the order of preference. */

import type { Platform } from "./platform.js";
import { pollTransport } from "./poll.js";
import { eventStreamTransport } from "./sse.js";
import type { Transport, TransportName } from "./transport.js";
import { webSocketTransport } from "./websocket.js";

const MAKERS: Readonly<Record<TransportName, (platform: Platform) => Transport | null>> = {
  websocket: webSocketTransport,
  sse: eventStreamTransport,
  poll: pollTransport,
};

const ALL = Object.keys(MAKERS) as TransportName[];

/** The transports of `names` that `platform` has; throws TypeError where there is none. */
export function selectTransports(
  platform: Platform,
  names: readonly TransportName[] = ALL,
): readonly [Transport, ...Transport[]] {
  const transports: Transport[] = [];
  for (const name of names) {
    if (!ALL.includes(name)) throw new TypeError(`transports has ${name}; it may have ${ALL.join(", ")}`);
    const transport = MAKERS[name](platform);
    if (transport) transports.push(transport);
  }
  const [first, ...others] = transports;
  if (!first) throw new TypeError(`transports is [${names.join(", ")}]; this browser has none of them`);
  return [first, ...others];
}
