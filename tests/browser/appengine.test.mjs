// A page that was written for App Engine's Channel API, on a site of its own: another origin.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { API_KEY, ask, openPage, startBoth, stopBoth, tokenFor } from "./harness.mjs";
import { startSite } from "./site.mjs";

let site;
let server;
let browser;
let page;

before(async () => {
  site = await startSite();
  const env = { HEADRACE_ALLOWED_ORIGINS: site.url };
  ({ server, browser } = await startBoth({ env }));
  site.use(server.url);
  page = await openPage(browser);
});

after(async () => {
  await stopBoth(server, browser);
  await site?.stop();
});

async function tokenOf(clientId) {
  const { token } = await ask(server.url, "/v1/channels", { client_id: clientId });
  return token;
}

/** Wait until the handlers were called `count` times; what they were told. */
async function seen(count) {
  await page.waitForFunction((least) => window.seen.length >= least, count);
  return page.evaluate(() => window.seen);
}

/** What a call of a handler looks like when all is well. */
function call(name, event, state) {
  return { name, event, self: true, state, inside: false };
}

const CONNECTING = 0;
const OPEN = 1;
const CLOSED = 3;

test("messages reach the handlers, `this` is the socket, and nothing is called inside open()", async () => {
  await page.goto(site.url);
  const token = await tokenOf("alice");
  const { state, states, constants, known } = await page.evaluate((given) => {
    listen(given);
    return {
      state: socket.readyState,
      states: goog.appengine.Socket.ReadyState,
      known: socket instanceof goog.appengine.Socket,
      constants: typeof goog.appengine.Channel,
    };
  }, token);
  assert.deepEqual([state, known, constants], [CONNECTING, true, "function"]);
  assert.deepEqual(states, { CONNECTING: 0, OPEN: 1, CLOSING: 2, CLOSED: 3 });
  assert.deepEqual(await seen(1), [call("open", {}, OPEN)]);

  const texts = ["first", '{"json": "stays text"}', "Grüße, 你好 👩🏽‍🚀"];
  for (const data of texts) await ask(server.url, "/v1/send", { to: "alice", data });
  const messages = (await seen(4)).slice(1);
  assert.deepEqual(
    messages,
    texts.map((data) => call("message", { data }, OPEN)),
  );
  assert.deepEqual(page.faults, []);
});

test("handlers are copied at open(), and those assigned later are called", async () => {
  await page.goto(site.url);
  const token = await tokenOf("bob");
  await page.evaluate((given) => {
    const handler = handlers();
    socket = new goog.appengine.Channel(given).open(handler);
    handler.onmessage = () => seen.push("a handler that came too late");
  }, token);
  await seen(1);
  await ask(server.url, "/v1/send", { to: "bob", data: "1" });
  await seen(2);
  await page.evaluate(() => {
    socket.onmessage = ({ data }) => seen.push(`assigned later: ${data}`);
  });
  await ask(server.url, "/v1/send", { to: "bob", data: "2" });
  assert.deepEqual(await seen(3), [
    call("open", {}, OPEN),
    call("message", { data: "1" }, OPEN),
    "assigned later: 2",
  ]);
});

test("open() without a handler, and handlers that are missing, are tolerated", async () => {
  await page.goto(site.url);
  const token = await tokenOf("carol");
  await page.evaluate((given) => {
    socket = new goog.appengine.Channel(given).open();
    socket.onmessage = handlers().onmessage;
    socket.onopen = null;
  }, token);
  await ask(server.url, "/v1/send", { to: "carol", data: "heard" });
  assert.deepEqual(await seen(1), [call("message", { data: "heard" }, OPEN)]);
  assert.deepEqual(page.faults, []);
});

test("close() fires onclose once and later; the channel opens again with a new socket", async () => {
  await page.goto(site.url);
  const token = await tokenOf("dave");
  await page.evaluate((given) => {
    window.channel = new goog.appengine.Channel(given);
    socket = channel.open(handlers());
  }, token);
  await seen(1);
  const atOnce = await page.evaluate(() => {
    socket.close();
    socket.close();
    return { calls: seen.length, state: socket.readyState };
  });
  assert.equal(atOnce.calls, 1);
  assert.ok(atOnce.state > OPEN, `readyState ${atOnce.state} after close()`);
  assert.deepEqual((await seen(2))[1], call("close", {}, CLOSED));

  await page.evaluate(() => {
    window.earlier = socket;
    socket = channel.open(handlers());
  });
  await seen(3);
  await ask(server.url, "/v1/send", { to: "dave", data: "again" });
  const calls = await seen(4);
  assert.deepEqual(calls.slice(2), [call("open", {}, OPEN), call("message", { data: "again" }, OPEN)]);
  assert.deepEqual(await page.evaluate(() => [earlier === socket, earlier.readyState]), [false, CLOSED]);
});

for (const [fault, description, make] of [
  ["not a token", "Invalid+token.", () => "no token at all"],
  ["a token signed with another secret", "Invalid+token.", () => `${tokenFor("erin")}x`],
  ["a token that had expired", "Token+timed+out.", () => tokenFor("erin", -1)],
]) {
  test(`${fault}: onerror with 401 and the old description, then onclose`, async () => {
    await page.goto(site.url);
    await page.evaluate((token) => listen(token), make());
    const [error, close] = await seen(2);
    assert.deepEqual(error.event, { description, code: 401 });
    assert.deepEqual([error.name, error.self, error.inside], ["error", true, false]);
    assert.deepEqual(close, call("close", {}, CLOSED));
  });
}

test("a token that expires while connected: onerror with 401, then onclose", async () => {
  await page.goto(site.url);
  await page.evaluate((token) => listen(token), tokenFor("frank", 3));
  await seen(1);
  await ask(server.url, "/v1/send", { to: "frank", data: "in time" });
  const calls = await seen(4);
  assert.deepEqual(
    calls.map(({ name }) => name),
    ["open", "message", "error", "close"],
  );
  assert.deepEqual(calls[2].event, { description: "Token+timed+out.", code: 401 });
  assert.deepEqual(calls[3], call("close", {}, CLOSED));
});

test("a channel that the application has closed: onerror with 401, then onclose", async () => {
  await page.goto(site.url);
  await page.evaluate((token) => listen(token), await tokenOf("oscar"));
  await seen(1);
  const response = await fetch(`${server.url}/v1/channels/oscar`, {
    method: "DELETE",
    headers: { authorization: `Bearer ${API_KEY}` },
  });
  assert.ok(response.ok, `DELETE was answered with ${response.status}`);
  const calls = await seen(3);
  assert.deepEqual(calls[1].event, { description: "Token+revoked.", code: 401 });
  assert.deepEqual(calls[2], call("close", {}, CLOSED));
});

test("it opens from the head, before there is a body", async () => {
  const token = await tokenOf("grace");
  await page.goto(`${site.url}/early#${token}`);
  assert.equal(await page.evaluate(() => window.body), null);
  await ask(server.url, "/v1/send", { to: "grace", data: "good morning" });
  assert.deepEqual(await seen(2), [call("open", {}, OPEN), call("message", { data: "good morning" }, OPEN)]);
});

test("several channels in one page each get their own messages", async () => {
  await page.goto(site.url);
  const tokens = await Promise.all(["heidi", "ivan"].map(tokenOf));
  await page.evaluate((given) => {
    for (const [index, token] of given.entries()) {
      const onmessage = ({ data }) => seen.push([index, data]);
      new goog.appengine.Channel(token).open({ onmessage });
    }
  }, tokens);
  await ask(server.url, "/v1/send", { to: "ivan", data: "for ivan" });
  await seen(1);
  await ask(server.url, "/v1/send", { to: "heidi", data: "for heidi" });
  assert.deepEqual(await seen(2), [
    [1, "for ivan"],
    [0, "for heidi"],
  ]);
});

test("send() reaches the server, whose no is told by onerror and ends nothing", async () => {
  await page.goto(site.url);
  await page.evaluate((token) => listen(token), await tokenOf("judy"));
  await seen(1);
  await page.evaluate(() => socket.send("an update-message"));
  const [, error] = await seen(2);
  assert.deepEqual([error.name, error.event.code, error.state], ["error", 403, OPEN]);
  await ask(server.url, "/v1/send", { to: "judy", data: "still here" });
  assert.deepEqual((await seen(3))[2], call("message", { data: "still here" }, OPEN));
});

test("a page of an origin that is not allowed gets nothing", async () => {
  const stranger = await openPage(browser);
  await stranger.goto(site.strangerUrl);
  const token = await tokenOf("mallory");
  const outcome = await stranger.evaluate(
    ([url, given]) =>
      new Promise((resolve) => {
        const connection = new WebSocket(url, ["headrace.v1", `headrace.token.${given}`]);
        connection.onopen = () => resolve("open");
        connection.onclose = ({ code }) => resolve(code);
      }),
    [`${server.url.replace("http", "ws")}/v1/connect`, token],
  );
  assert.equal(outcome, 1006);
  await stranger.context().close();
});
