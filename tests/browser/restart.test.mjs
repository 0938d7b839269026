// The demo room during a restart of the server.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launchBrowser } from "./helpers/browser.mjs";
import { enterRoom, sendLine, waitForLine, waitUntilConnected } from "./helpers/demo_room.mjs";
import { takeScreenshot } from "./helpers/screenshots.mjs";
import { startServer } from "./helpers/server.mjs";

let browser;

before(async () => {
  browser = await launchBrowser();
});

after(() => browser?.close());

/** Returns the errors of a page, except those of requests while the server shuts down or is not running. */
function unexpectedErrors(page) {
  return page.errors.filter(
    (error) => !/ERR_CONNECTION_(REFUSED|RESET)|response code: 503|status of 503|closed before/.test(error),
  );
}

test("a restart: the page shows that it reconnects and then that it is connected, and works again", async (t) => {
  let server = await startServer();
  t.after(() => server.stop());
  const ada = await enterRoom(browser, server.url, "Ada");
  const ben = await enterRoom(browser, server.url, "Ben", { viewport: { width: 360, height: 740 } });
  await sendLine(ada, "before the restart");
  await waitForLine(ben, "before the restart");

  await server.stop();
  await Promise.all(
    [ada, ben].map((page) => page.getByRole("status").filter({ hasText: "Reconnecting" }).waitFor()),
  );
  await ada.getByText("The connection is lost").waitFor();
  await sendLine(ben, "written during the restart");
  await ben.getByText("waits for the connection").waitFor();
  await takeScreenshot(ben, "phone-reconnecting");

  server = await startServer({ port: server.port });
  await Promise.all([waitUntilConnected(ada), waitUntilConnected(ben)]);
  await waitForLine(ada, "written during the restart");
  await waitForLine(ben, "written during the restart");
  assert.equal(await ben.getByText("waits for the connection").count(), 0);
  await sendLine(ada, "after the restart");
  await waitForLine(ben, "after the restart");
  assert.equal(await ben.getByText("The connection is lost").isVisible(), false);
  assert.deepEqual([unexpectedErrors(ada), unexpectedErrors(ben)], [[], []]);
  await ada.context().close();
  await ben.context().close();
});

test("a restart with another secret: the page fetches a valid token, and stays in the room", async (t) => {
  let server = await startServer();
  t.after(() => server.stop());
  const ada = await enterRoom(browser, server.url, "Ada");
  await sendLine(ada, "before");
  await waitForLine(ada, "before");

  await server.stop();
  server = await startServer({
    port: server.port,
    env: { HEADRACE_SECRET: "another secret, as after a start without one" },
  });
  await waitUntilConnected(ada);
  await sendLine(ada, "after");
  await waitForLine(ada, "after");
  await waitForLine(ada, "before");
  await ada.context().close();
});
