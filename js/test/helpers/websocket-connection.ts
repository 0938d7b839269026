/** A connection over WebSocket, for the tests of `Connection`. */

import { Connection } from "../../src/channel/connection.js";
import { Credentials, type TokenSource } from "../../src/channel/credentials.js";
import { selectTransports } from "../../src/transports/select.js";
import type { TransportName } from "../../src/transports/transport.js";
import { FakeBrowser } from "./fake-browser.js";
import { settle } from "./manual-clock.js";

/** A connection, and a function that returns its events, as tuples, since the last call. */
export function connect({
  token = "h.p.s" as TokenSource,
  transports = ["websocket"] as TransportName[],
  lastId = null as string | null,
  browser = new FakeBrowser(),
} = {}) {
  const events: unknown[][] = [];
  const record =
    (name: string) =>
    (...details: unknown[]): void => {
      events.push([name, ...details]);
    };
  const connection = new Connection(
    {
      url: "https://push.example",
      credentials: new Credentials(token),
      transports: selectTransports(browser.platform, transports),
      lastId,
    },
    browser.platform,
    {
      onOpen: (session) => record("open")(session.recovered),
      onMessage: ({ id }) => record("message")(id),
      onGap: record("gap"),
      onError: ({ code, description, fatal }) => record("error")(code, description, fatal),
      onClose: record("close"),
    },
  );
  return { connection, browser, clock: browser.clock, takeEvents: () => events.splice(0) };
}

/** The same, with the first socket open. */
export async function openConnection(options: Parameters<typeof connect>[0] = {}, fields: object = {}) {
  const opened = connect(options);
  await settle();
  opened.browser.socket.open(fields);
  opened.takeEvents();
  return opened;
}
