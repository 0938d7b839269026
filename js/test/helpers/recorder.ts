/** Records what a connection or a transport reports to its listener. */

import { Connection } from "../../src/channel/connection.js";
import { Credentials, type TokenSource } from "../../src/channel/credentials.js";
import { selectTransports } from "../../src/transports/select.js";
import type { TransportListener, TransportName } from "../../src/transports/transport.js";
import type { FakeBrowser } from "./fake-browser.js";

export const SERVER_URL = "https://push.example";

/** A transport listener, and a function that returns what it received since the last call. */
export function recordingListener() {
  const events: unknown[] = [];
  const listener: TransportListener = {
    onFrame: (frame) => events.push(frame),
    onClose: (info) => events.push(info),
  };
  return { listener, takeEvents: () => events.splice(0) };
}

interface Options {
  token?: TokenSource;
  transports?: readonly TransportName[];
  lastId?: string | null;
}

/** A connection, and a function that returns its events, as text, since the last call. */
export function connect(browser: FakeBrowser, { token = "h.p.s", transports, lastId = null }: Options = {}) {
  const events: string[] = [];
  const connection = new Connection(
    {
      url: SERVER_URL,
      credentials: new Credentials(token),
      transports: selectTransports(browser.platform, transports),
      lastId,
    },
    browser.platform,
    {
      onOpen: ({ recovered }, transport) => events.push(`open ${transport} ${recovered}`),
      onMessage: ({ id, data }) => events.push(`${id} ${data}`),
      onGap: (after, before) => events.push(`gap ${after} ${before}`),
      onError: ({ code, description, fatal }) =>
        events.push(`${fatal ? "fatal" : "error"} ${code} ${description}`),
      onClose: (code) => events.push(`close ${code}`),
    },
  );
  return { connection, takeEvents: () => events.splice(0) };
}

/** A token with `claims` and an invalid signature. */
export function tokenWith(claims: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "HS256" })}.${part(claims)}.c2ln`;
}

/** A token function that returns `t.1`, `t.2` and so on, and counts its calls. */
export function tokenFunction() {
  const calls = { count: 0 };
  return { calls, token: async () => `t.${++calls.count}` };
}
