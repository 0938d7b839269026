// A restart of the server: how soon pages are back, and what the demo room shows.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { mintToken } from "./helpers/api.mjs";
import { launchBrowser, openPage } from "./helpers/browser.mjs";
import { enterRoom, sendLine, waitForLine, waitUntilConnected } from "./helpers/demo_room.mjs";
import {
  openRecordedChannel,
  recordedEvents,
  waitForEvent,
  waitUntilOpen,
} from "./helpers/recording_page.mjs";
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

/** The client's delay is up to 1 s. The rest is for the attempt, on a slow machine. */
const BACK_WITHIN_MS = 2_000;

for (const transport of ["websocket", "sse", "poll"]) {
  test(`${transport}: a page is back about a second after the new process listens`, async (t) => {
    let server = await startServer();
    t.after(() => server.stop());
    const page = await openPage(browser);
    await page.goto(server.url);
    await openRecordedChannel(page, { url: server.url, token: mintToken("ada", 600), transport });
    await waitUntilOpen(page);

    await server.stop();
    await waitForEvent(page, "error", "code", 1012);
    // After so many failures of another kind, the delays are up to 8 s.
    await page.waitForFunction(() => recorded.filter(({ type }) => type === "error").length >= 6);
    server = await startServer({ port: server.port });
    const listeningAt = Date.now();
    await waitUntilOpen(page);
    const opens = (await recordedEvents(page)).filter(({ type }) => type === "open");
    assert.equal(opens.length, 2);
    assert.equal(opens[1].transport, transport);
    const backAfterMs = opens[1].at - listeningAt;
    assert.ok(backAfterMs < BACK_WITHIN_MS, `${backAfterMs} ms`);
    await page.context().close();
  });
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
