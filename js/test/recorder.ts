/** Hears a connection, or a transport, and writes down what it is told. */

import { Connection } from "../src/connection.js";
import { Credentials, type TokenSource } from "../src/credentials.js";
import { selectTransports } from "../src/select.js";
import type { Sink, TransportName } from "../src/transport.js";
import type { FakeBrowser } from "./fakes.js";

export const URL = "https://push.example";

/** A sink whose frames and loss can be read. */
export function recordingSink() {
  const told: unknown[] = [];
  const sink: Sink = {
    frame: (frame) => told.push(frame),
    lost: (loss) => told.push(loss),
  };
  return { sink, heard: () => told.splice(0) };
}

interface Options {
  token?: TokenSource;
  transports?: readonly TransportName[];
  lastId?: string | null;
}

/** A connection over `transports`, and what its listener was told since the last look. */
export function connect(browser: FakeBrowser, { token = "h.p.s", transports, lastId = null }: Options = {}) {
  const told: string[] = [];
  const connection = new Connection(
    {
      url: URL,
      credentials: new Credentials(token),
      transports: selectTransports(browser.platform, transports),
      lastId,
    },
    browser.platform,
    {
      open: ({ recovered }, transport) => told.push(`open ${transport} ${recovered}`),
      message: ({ id, data }) => told.push(`${id} ${data}`),
      gap: (after, before) => told.push(`gap ${after} ${before}`),
      error: ({ code, description, fatal }) =>
        told.push(`${fatal ? "fatal" : "error"} ${code} ${description}`),
      close: (code) => told.push(`close ${code}`),
    },
  );
  return { connection, heard: () => told.splice(0) };
}

/** A token that says `claims`; its signature is nobody's. */
export function tokenWith(claims: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "HS256" })}.${part(claims)}.c2ln`;
}
