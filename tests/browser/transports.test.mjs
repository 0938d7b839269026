// The JavaScript module with each of its transports, in a real browser.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { mintToken, post } from "./helpers/api.mjs";
import { monitorPage, openPage } from "./helpers/browser.mjs";
import { startServerAndBrowser, stopServerAndBrowser } from "./helpers/server.mjs";

/** Over HTTP/1.1 a browser opens at most six connections to an origin. */
const CONNECTIONS_MAX = 6;

let server;
let browser;

before(async () => {
  ({ server, browser } = await startServerAndBrowser());
});

after(() => stopServerAndBrowser(server, browser));

/** Opens a channel in `page`. The transport of `open`, the data of messages and errors are recorded. */
async function openChannel(page, token, transports) {
  await page.goto(server.url);
  await page.evaluate(
    async ([givenToken, names]) => {
      const { Channel } = await import("/headrace.js");
      window.recorded = [];
      window.channel = new Channel({ token: givenToken, transports: names });
      channel.addEventListener("open", ({ transport }) => recorded.push(transport));
      channel.addEventListener("message", ({ data }) => recorded.push(data));
      channel.addEventListener("error", ({ description }) => recorded.push(`error: ${description}`));
    },
    [token, transports],
  );
}

/** Waits until `count` events have been recorded; returns them. */
async function recordedEvents(page, count) {
  await page.waitForFunction((least) => window.recorded.length >= least, count);
  return page.evaluate(() => window.recorded);
}

for (const name of ["websocket", "sse", "poll"]) {
  test(`${name}: connects, and receives every message unchanged and in order`, async () => {
    const page = await openPage(browser);
    const group = `group-${name}`;
    const token = mintToken(`alice-${name}`, 600, { send: [`group:${group}`], groups: [group] });
    await openChannel(page, token, [name]);
    await recordedEvents(page, 1);
    // No carriage return: an event stream cannot express it (WHATWG HTML, section 9.2.6).
    const texts = ["1", "two\n\nlines\n", "", " a space first", "data: x", "你好 👩🏽‍🚀 \u2028\u0000", "7"];
    for (const data of texts) await post(server.url, "/v1/send", { to: `alice-${name}`, data });
    const receipt = await page.evaluate((to) => channel.send("sent by the page", { group: to }), group);
    assert.match(receipt.id, /^\d+-\d+$/); // `sessions` varies: there is none between two polls
    assert.deepEqual(await recordedEvents(page, texts.length + 2), [name, ...texts, "sent by the page"]);
    assert.deepEqual(page.errors, []);
    await page.context().close();
  });
}

test("send over the WebSocket: the result is an ID or an error, and no HTTP request is made", async () => {
  const page = await openPage(browser);
  const postUrls = [];
  page.on("request", (request) => request.method() === "POST" && postUrls.push(request.url()));
  const token = mintToken("dora", 600, { send: ["group:den"], groups: ["den"] });
  await openChannel(page, token, ["websocket"]);
  await recordedEvents(page, 1);
  const result = await page.evaluate(async () => {
    const over = "socket";
    const texts = Array.from({ length: 50 }, (_, number) => `${number} 你好`);
    const receipts = await Promise.all(texts.map((data) => channel.send(data, { group: "den", over })));
    const refused = await channel.send("x", { to: "another client", over }).catch((error) => error.status);
    return { ids: receipts.map(({ id }) => id), texts, refused };
  });
  assert.equal(new Set(result.ids).size, 50);
  assert.equal(result.refused, 403);
  assert.deepEqual(await recordedEvents(page, 51), ["websocket", ...result.texts]);
  assert.deepEqual(postUrls, []);
  assert.deepEqual(page.errors, []);
  await page.context().close();
});

test("event streams: all tabs of a client receive every message, with more tabs than connections", async () => {
  const context = await browser.newContext();
  const token = mintToken("bob");
  const pages = [];
  for (let number = 0; number <= CONNECTIONS_MAX; number += 1) {
    const page = monitorPage(await context.newPage());
    pages.push(page);
    await openChannel(page, token, ["sse"]);
    assert.deepEqual(await recordedEvents(page, 1), ["sse"]);
  }
  await post(server.url, "/v1/send", { to: "bob", data: "to every tab" });
  for (const page of pages) assert.deepEqual(await recordedEvents(page, 2), ["sse", "to every tab"]);

  // The first tab has the connection for all tabs. When it is closed, another tab connects.
  await pages.shift().close();
  await post(server.url, "/v1/send", { to: "bob", data: "to the remaining tabs" });
  for (const page of pages) assert.equal((await recordedEvents(page, 3))[2], "to the remaining tabs");
  await context.close();
});
