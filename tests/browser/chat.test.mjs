// Two people in the demo room exchange lines.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import {
  displayedLines,
  enterRoom,
  sendLine,
  waitForLine,
  waitUntilConnected,
} from "./helpers/demo_room.mjs";
import { startServerAndBrowser, stopServerAndBrowser } from "./helpers/server.mjs";

let server;
let browser;

before(async () => {
  ({ server, browser } = await startServerAndBrowser());
});

after(() => stopServerAndBrowser(server, browser));

test("a line from one person is displayed to the other, in both directions", async () => {
  const ada = await enterRoom(browser, server.url, "Ada");
  const ben = await enterRoom(browser, server.url, "Ben");
  await ada.getByText("Ben joined").waitFor();

  await sendLine(ada, "Hello from Ada");
  await waitForLine(ben, "Hello from Ada");
  await waitForLine(ada, "Hello from Ada");
  const unicode = "Grüße, 你好, שלום, 👩🏽‍🚀🇺🇳, e\u0301, \u{1d11e}";
  await sendLine(ben, unicode);
  await waitForLine(ada, unicode);
  await ben.getByText(/^delivered to 2 pages in [\d.]+ m?s$/).waitFor();

  const frames = ada.getByLabel("Frames");
  await frames.getByText("POST /v1/messages, group demo").first().waitFor();
  assert.match(
    await frames.textContent(),
    /message \d+-\d+, group demo\{"name":"Ada","text":"Hello from Ada"/,
  );

  const markup = '<img src=x onerror="document.title=1"><b>&amp;</b>';
  await sendLine(ada, markup);
  await waitForLine(ben, markup);
  assert.equal(await ben.locator("#lines img, #lines b").count(), 0);
  assert.deepEqual([ada.errors, ben.errors], [[], []]);
  await ada.context().close();
  await ben.context().close();
});

test("after a reload the person is the same, and missed lines are displayed exactly once", async () => {
  const ada = await enterRoom(browser, server.url, "Ada");
  const ben = await enterRoom(browser, server.url, "Ben");
  const identity = () => ben.evaluate(() => JSON.parse(sessionStorage.getItem("headrace.demo")).client_id);
  const identityBefore = await identity();
  await sendLine(ben, "before");
  await waitForLine(ada, "before");

  await ben.goto("about:blank");
  await sendLine(ada, "missed 1");
  await sendLine(ada, "missed 2");
  await waitForLine(ada, "missed 2");
  await ben.goBack();
  await waitUntilConnected(ben);
  await waitForLine(ben, "missed 2");
  await ben.reload();
  await waitUntilConnected(ben);
  await sendLine(ada, "after");
  await waitForLine(ben, "after");

  assert.equal(await identity(), identityBefore);
  const isFromTest = (text) => /^(before|missed \d|after)$/.test(text);
  assert.deepEqual((await displayedLines(ben)).filter(isFromTest), [
    "before",
    "missed 1",
    "missed 2",
    "after",
  ]);
  assert.equal(
    await ben.locator(".line", { hasText: "before" }).getByText("you", { exact: true }).count(),
    1,
  );
  assert.deepEqual([ada.errors, ben.errors], [[], []]);
  await ada.context().close();
  await ben.context().close();
});
