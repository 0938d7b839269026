// Two people in the demo room: what one writes, the other reads.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startBoth, stopBoth } from "./harness.mjs";
import { connected, enter, heard, say, transcript } from "./room.mjs";

let server;
let browser;

before(async () => {
  ({ server, browser } = await startBoth());
});

after(() => stopBoth(server, browser));

test("a line written in one tab appears in the other, and the other way round", async () => {
  const ada = await enter(browser, server.url, "Ada");
  const ben = await enter(browser, server.url, "Ben");
  await ada.getByText("Ben joined").waitFor();

  await say(ada, "Hello from Ada");
  await heard(ben, "Hello from Ada");
  await heard(ada, "Hello from Ada");
  const unicode = "Grüße, 你好, שלום, 👩🏽‍🚀🇺🇳, e\u0301, \u{1d11e}";
  await say(ben, unicode);
  await heard(ada, unicode);
  await ben.getByText(/^delivered to 2 pages in [\d.]+ m?s$/).waitFor();

  const frames = ada.getByLabel("Frames");
  await frames.getByText("POST /v1/messages, group demo").first().waitFor();
  assert.match(
    await frames.textContent(),
    /message \d+-\d+, group demo\{"name":"Ada","text":"Hello from Ada"/,
  );

  const markup = '<img src=x onerror="document.title=1"><b>&amp;</b>';
  await say(ada, markup);
  await heard(ben, markup);
  assert.equal(await ben.locator("#lines img, #lines b").count(), 0);
  assert.deepEqual([ada.faults, ben.faults], [[], []]);
  await ada.context().close();
  await ben.context().close();
});

test("a reload keeps who one is, and gives what was sent meanwhile exactly once", async () => {
  const ada = await enter(browser, server.url, "Ada");
  const ben = await enter(browser, server.url, "Ben");
  const identity = () => ben.evaluate(() => JSON.parse(sessionStorage.getItem("headrace.demo")).client_id);
  const earlier = await identity();
  await say(ben, "before");
  await heard(ada, "before");

  await ben.goto("about:blank");
  await say(ada, "meanwhile 1");
  await say(ada, "meanwhile 2");
  await heard(ada, "meanwhile 2");
  await ben.goBack();
  await connected(ben);
  await heard(ben, "meanwhile 2");
  await ben.reload();
  await connected(ben);
  await say(ada, "after");
  await heard(ben, "after");

  assert.equal(await identity(), earlier);
  const ours = (text) => /^(before|meanwhile \d|after)$/.test(text);
  assert.deepEqual((await transcript(ben)).filter(ours), ["before", "meanwhile 1", "meanwhile 2", "after"]);
  assert.equal(
    await ben.locator(".line", { hasText: "before" }).getByText("you", { exact: true }).count(),
    1,
  );
  assert.deepEqual([ada.faults, ben.faults], [[], []]);
  await ada.context().close();
  await ben.context().close();
});
