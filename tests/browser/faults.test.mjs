// The demo room when something fails: it displays an error, and a button to recover.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { enterRoom, sendLine, waitForLine, waitUntilConnected } from "./helpers/demo_room.mjs";
import { takeScreenshot } from "./helpers/screenshots.mjs";
import { startServerAndBrowser, stopServerAndBrowser } from "./helpers/server.mjs";

let server;
let browser;

before(async () => {
  const env = { HEADRACE_SESSIONS_PER_CLIENT: "1" };
  ({ server, browser } = await startServerAndBrowser({ env }));
});

after(() => stopServerAndBrowser(server, browser));

test("a line that could not be sent stays with the reason, and is sent on request", async () => {
  const page = await enterRoom(browser, server.url, "Ada", { viewport: { width: 360, height: 740 } });
  await page.getByText("You joined").waitFor();
  await page.route("**/v1/messages", (route) => route.abort());
  await sendLine(page, "sent again");
  await page.getByText(/^not sent: no answer from the server/).waitFor();
  await takeScreenshot(page, "phone-not-sent");
  await page.unroute("**/v1/messages");
  await page.getByRole("button", { name: "Try again" }).click();
  await waitForLine(page, "sent again");
  assert.equal(await page.getByLabel("Not delivered yet").getByRole("listitem").count(), 0);
  await page.context().close();
});

test("a channel that a newer session has replaced is closed, and opened again on request", async () => {
  const page = await enterRoom(browser, server.url, "Ben", { viewport: { width: 360, height: 740 } });
  await page.getByText("You joined").waitFor();
  await page.evaluate(() => {
    const { token } = JSON.parse(sessionStorage.getItem("headrace.demo"));
    const url = `${location.origin.replace("http", "ws")}/v1/connect?token=${token}`;
    window.newerSession = new WebSocket(url);
  });
  await page.getByRole("status").filter({ hasText: "Closed" }).waitFor();
  await page
    .getByText(/replaced by a newer session/, { exact: false })
    .first()
    .waitFor();
  await takeScreenshot(page, "phone-closed");
  await page.getByRole("button", { name: "Reconnect" }).click();
  await waitUntilConnected(page);
  await sendLine(page, "after joining again");
  await waitForLine(page, "after joining again");
  assert.deepEqual(page.errors, []);
  await page.context().close();
});
