// The module client over each of its transports, in a real browser.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ask, openPage, startBoth, stopBoth, tokenFor, watch } from "./harness.mjs";

/** Over HTTP/1.1 a browser opens at most six connections to an origin. */
const CONNECTIONS_MAX = 6;

let server;
let browser;

before(async () => {
  ({ server, browser } = await startBoth());
});

after(() => stopBoth(server, browser));

/** Open a channel in `page`; what it tells is noted in `told`. */
async function listen(page, token, transports) {
  await page.goto(server.url);
  await page.evaluate(
    async ([given, names]) => {
      const { Channel } = await import("/headrace.js");
      window.told = [];
      window.channel = new Channel({ token: given, transports: names });
      channel.addEventListener("open", ({ transport }) => told.push(transport));
      channel.addEventListener("message", ({ data }) => told.push(data));
      channel.addEventListener("error", ({ description }) => told.push(`error: ${description}`));
    },
    [token, transports],
  );
}

async function told(page, count) {
  await page.waitForFunction((least) => window.told.length >= least, count);
  return page.evaluate(() => window.told);
}

for (const name of ["websocket", "sse", "poll"]) {
  test(`${name}: connects and receives every message, unchanged and in order`, async () => {
    const page = await openPage(browser);
    const group = `group-${name}`;
    const token = tokenFor(`alice-${name}`, 600, { send: [`group:${group}`], groups: [group] });
    await listen(page, token, [name]);
    await told(page, 1);
    // No carriage return: an event stream knows line ends of one kind (HTML, 9.2.6).
    const texts = ["1", "two\n\nlines\n", "", " a space first", "data: x", "你好 👩🏽‍🚀 \u2028\u0000", "7"];
    for (const data of texts) await ask(server.url, "/v1/send", { to: `alice-${name}`, data });
    const answer = await page.evaluate((to) => channel.send("by myself", { group: to }), group);
    assert.match(answer.id, /^\d+-\d+$/); // between two polls there is no session to count
    assert.deepEqual(await told(page, texts.length + 2), [name, ...texts, "by myself"]);
    assert.deepEqual(page.faults, []);
    await page.context().close();
  });
}

test("over the socket: a message is answered by its id or by why not, and nothing is posted", async () => {
  const page = await openPage(browser);
  const posts = [];
  page.on("request", (request) => request.method() === "POST" && posts.push(request.url()));
  const token = tokenFor("dora", 600, { send: ["group:den"], groups: ["den"] });
  await listen(page, token, ["websocket"]);
  await told(page, 1);
  const outcome = await page.evaluate(async () => {
    const over = "socket";
    const texts = Array.from({ length: 50 }, (_, number) => `${number} 你好`);
    const answers = await Promise.all(texts.map((data) => channel.send(data, { group: "den", over })));
    const refused = await channel.send("x", { to: "somebody else", over }).catch((error) => error.status);
    return { ids: answers.map(({ id }) => id), texts, refused };
  });
  assert.equal(new Set(outcome.ids).size, 50);
  assert.equal(outcome.refused, 403);
  assert.deepEqual(await told(page, 51), ["websocket", ...outcome.texts]);
  assert.deepEqual(posts, []);
  assert.deepEqual(page.faults, []);
  await page.context().close();
});

test("event streams: more tabs of one client than a browser opens connections all get every message", async () => {
  const context = await browser.newContext();
  const token = tokenFor("bob");
  const pages = [];
  for (let number = 0; number <= CONNECTIONS_MAX; number += 1) {
    const page = watch(await context.newPage());
    pages.push(page);
    await listen(page, token, ["sse"]);
    assert.deepEqual(await told(page, 1), ["sse"]);
  }
  await ask(server.url, "/v1/send", { to: "bob", data: "to every tab" });
  for (const page of pages) assert.deepEqual(await told(page, 2), ["sse", "to every tab"]);

  // The first has the stream for all; when it goes, another takes over.
  await pages.shift().close();
  await ask(server.url, "/v1/send", { to: "bob", data: "to those left" });
  for (const page of pages) assert.equal((await told(page, 3))[2], "to those left");
  await context.close();
});
