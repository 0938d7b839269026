// The demo room when something fails: it says so, and offers the way out.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { assertFits, SCREENSHOTS, startBoth, stopBoth } from "./harness.mjs";
import { connected, enter, heard, say } from "./room.mjs";

let server;
let browser;

before(async () => {
  const env = { HEADRACE_SESSIONS_PER_CLIENT: "1" };
  ({ server, browser } = await startBoth({ env }));
});

after(() => stopBoth(server, browser));

test("a line that could not be sent stays, says why, and goes out when tried again", async () => {
  const page = await enter(browser, server.url, "Ada", { viewport: { width: 360, height: 740 } });
  await page.getByText("You joined").waitFor();
  await page.route("**/v1/messages", (route) => route.abort());
  await say(page, "does it arrive?");
  await page.getByText(/^not sent: no answer from the server/).waitFor();
  await assertFits(page);
  await page.screenshot({ path: join(SCREENSHOTS, "phone-not-sent.png") });
  await page.unroute("**/v1/messages");
  await page.getByRole("button", { name: "Try again" }).click();
  await heard(page, "does it arrive?");
  assert.equal(await page.getByLabel("Not delivered yet").getByRole("listitem").count(), 0);
  await page.context().close();
});

test("a channel that a newer session has replaced is closed, and joined again on request", async () => {
  const page = await enter(browser, server.url, "Ben", { viewport: { width: 360, height: 740 } });
  await page.getByText("You joined").waitFor();
  await page.evaluate(() => {
    const { token } = JSON.parse(sessionStorage.getItem("headrace.demo"));
    const url = `${location.origin.replace("http", "ws")}/v1/connect?token=${token}`;
    window.newer = new WebSocket(url);
  });
  await page.getByRole("status").filter({ hasText: "Closed" }).waitFor();
  await page
    .getByText(/replaced by a newer session/, { exact: false })
    .first()
    .waitFor();
  await assertFits(page);
  await page.screenshot({ path: join(SCREENSHOTS, "phone-closed.png") });
  await page.getByRole("button", { name: "Join again" }).click();
  await connected(page);
  await say(page, "back again");
  await heard(page, "back again");
  assert.deepEqual(page.faults, []);
  await page.context().close();
});
