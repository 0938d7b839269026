// The demo room while its server goes away and comes back, as an operator's restart does.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { assertFits, launchBrowser, SCREENSHOTS, startServer } from "./harness.mjs";
import { connected, enter, heard, say } from "./room.mjs";

let browser;

before(async () => {
  browser = await launchBrowser();
});

after(() => browser?.close());

/** Failed requests are no fault while the server shuts down (503) or nobody answers. */
function faultsOf(page) {
  return page.faults.filter(
    (fault) => !/ERR_CONNECTION_(REFUSED|RESET)|response code: 503|status of 503|closed before/.test(fault),
  );
}

test("a restart: the page says that it reconnects, then that it is connected, and goes on", async (t) => {
  let server = await startServer();
  t.after(() => server.stop());
  const ada = await enter(browser, server.url, "Ada");
  const ben = await enter(browser, server.url, "Ben", { viewport: { width: 360, height: 740 } });
  await say(ada, "before the restart");
  await heard(ben, "before the restart");

  await server.stop();
  await Promise.all(
    [ada, ben].map((page) => page.getByRole("status").filter({ hasText: "Reconnecting" }).waitFor()),
  );
  await ada.getByText("The connection is lost").waitFor();
  await say(ben, "written while nobody listened");
  await ben.getByText("waits for the connection").waitFor();
  await assertFits(ben);
  await ben.screenshot({ path: join(SCREENSHOTS, "phone-reconnecting.png") });

  server = await startServer({ port: server.port });
  await Promise.all([connected(ada), connected(ben)]);
  await heard(ada, "written while nobody listened");
  await heard(ben, "written while nobody listened");
  assert.equal(await ben.getByText("waits for the connection").count(), 0);
  await say(ada, "after the restart");
  await heard(ben, "after the restart");
  assert.equal(await ben.getByText("The connection is lost").isVisible(), false);
  assert.deepEqual([faultsOf(ada), faultsOf(ben)], [[], []]);
  await ada.context().close();
  await ben.context().close();
});

test("a restart with another secret: the page fetches a token that holds, and stays in the room", async (t) => {
  let server = await startServer();
  t.after(() => server.stop());
  const ada = await enter(browser, server.url, "Ada");
  await say(ada, "before");
  await heard(ada, "before");

  await server.stop();
  server = await startServer({
    port: server.port,
    env: { HEADRACE_SECRET: "another secret, as a start without one makes" },
  });
  await connected(ada);
  await say(ada, "after");
  await heard(ada, "after");
  await heard(ada, "before");
  await ada.context().close();
});
