// A page that was written for App Engine's Channel API, on a site with another origin.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { API_KEY, mintToken, post } from "./helpers/api.mjs";
import { startAppSite } from "./helpers/app_site.mjs";
import { openPage } from "./helpers/browser.mjs";
import { startServerAndBrowser, stopServerAndBrowser } from "./helpers/server.mjs";

let site;
let server;
let browser;
let page;

before(async () => {
  site = await startAppSite();
  const env = { HEADRACE_ALLOWED_ORIGINS: site.url };
  ({ server, browser } = await startServerAndBrowser({ env }));
  site.setServerUrl(server.url);
  page = await openPage(browser);
});

after(async () => {
  await stopServerAndBrowser(server, browser);
  await site?.stop();
});

async function createChannel(clientId) {
  const { token } = await post(server.url, "/v1/channels", { client_id: clientId });
  return token;
}

/** Waits until the handlers have been called `count` times; returns the calls. */
async function handlerCalls(count) {
  await page.waitForFunction((least) => window.calls.length >= least, count);
  return page.evaluate(() => window.calls);
}

/** Returns the record of a correct call of a handler. */
function call(name, event, state) {
  return { name, event, thisIsSocket: true, state, duringOpen: false };
}

const CONNECTING = 0;
const OPEN = 1;
const CLOSED = 3;

test("handlers receive messages with the socket as `this`, and none is called inside open()", async () => {
  await page.goto(site.url);
  const token = await createChannel("alice");
  const { state, states, channelType, isSocket } = await page.evaluate((given) => {
    openChannel(given);
    return {
      state: socket.readyState,
      states: goog.appengine.Socket.ReadyState,
      isSocket: socket instanceof goog.appengine.Socket,
      channelType: typeof goog.appengine.Channel,
    };
  }, token);
  assert.deepEqual([state, isSocket, channelType], [CONNECTING, true, "function"]);
  assert.deepEqual(states, { CONNECTING: 0, OPEN: 1, CLOSING: 2, CLOSED: 3 });
  assert.deepEqual(await handlerCalls(1), [call("open", {}, OPEN)]);

  const texts = ["first", '{"json": "stays text"}', "Grüße, 你好 👩🏽‍🚀"];
  for (const data of texts) await post(server.url, "/v1/send", { to: "alice", data });
  const messages = (await handlerCalls(4)).slice(1);
  assert.deepEqual(
    messages,
    texts.map((data) => call("message", { data }, OPEN)),
  );
  assert.deepEqual(page.errors, []);
});

test("handlers are copied at open(), and those assigned later are called", async () => {
  await page.goto(site.url);
  const token = await createChannel("bob");
  await page.evaluate((given) => {
    const handler = makeHandlers();
    socket = new goog.appengine.Channel(given).open(handler);
    handler.onmessage = () => calls.push("assigned to the handler object after open()");
  }, token);
  await handlerCalls(1);
  await post(server.url, "/v1/send", { to: "bob", data: "1" });
  await handlerCalls(2);
  await page.evaluate(() => {
    socket.onmessage = ({ data }) => calls.push(`assigned later: ${data}`);
  });
  await post(server.url, "/v1/send", { to: "bob", data: "2" });
  assert.deepEqual(await handlerCalls(3), [
    call("open", {}, OPEN),
    call("message", { data: "1" }, OPEN),
    "assigned later: 2",
  ]);
});

test("open() accepts no handler object, and handlers may be missing", async () => {
  await page.goto(site.url);
  const token = await createChannel("carol");
  await page.evaluate((given) => {
    socket = new goog.appengine.Channel(given).open();
    socket.onmessage = makeHandlers().onmessage;
    socket.onopen = null;
  }, token);
  await post(server.url, "/v1/send", { to: "carol", data: "received" });
  assert.deepEqual(await handlerCalls(1), [call("message", { data: "received" }, OPEN)]);
  assert.deepEqual(page.errors, []);
});

test("open() is a method of the prototype, and Socket.Handler a class, as in App Engine's script", async () => {
  await page.goto(site.url);
  await page.evaluate(
    (token) => {
      const handler = new goog.appengine.Socket.Handler();
      Object.assign(handler, makeHandlers());
      socket = goog.appengine.Channel.prototype.open.call(new goog.appengine.Channel(token), handler);
    },
    await createChannel("kim"),
  );
  assert.deepEqual(await handlerCalls(1), [call("open", {}, OPEN)]);
  const error = await page.evaluate(() => {
    try {
      new goog.appengine.Socket();
    } catch (thrown) {
      return String(thrown);
    }
  });
  assert.equal(error, "TypeError: use new goog.appengine.Channel(token).open()");
  assert.deepEqual(page.errors, []);
});

test("close() calls onclose once, asynchronously; open() again returns a new socket", async () => {
  await page.goto(site.url);
  const token = await createChannel("dave");
  await page.evaluate((given) => {
    window.channel = new goog.appengine.Channel(given);
    socket = channel.open(makeHandlers());
  }, token);
  await handlerCalls(1);
  const afterClose = await page.evaluate(() => {
    socket.close();
    socket.close();
    return { count: calls.length, state: socket.readyState };
  });
  assert.equal(afterClose.count, 1);
  assert.ok(afterClose.state > OPEN, `readyState ${afterClose.state} after close()`);
  assert.deepEqual((await handlerCalls(2))[1], call("close", {}, CLOSED));

  await page.evaluate(() => {
    window.firstSocket = socket;
    socket = channel.open(makeHandlers());
  });
  await handlerCalls(3);
  await post(server.url, "/v1/send", { to: "dave", data: "again" });
  const calls = await handlerCalls(4);
  assert.deepEqual(calls.slice(2), [call("open", {}, OPEN), call("message", { data: "again" }, OPEN)]);
  assert.deepEqual(await page.evaluate(() => [firstSocket === socket, firstSocket.readyState]), [
    false,
    CLOSED,
  ]);
});

for (const [title, description, makeToken] of [
  ["an undecodable token", "Invalid+token.", () => "no token at all"],
  ["a token signed with another secret", "Invalid+token.", () => `${mintToken("erin")}x`],
  ["an expired token", "Token+timed+out.", () => mintToken("erin", -1)],
]) {
  test(`${title}: onerror with 401 and App Engine's description, then onclose`, async () => {
    await page.goto(site.url);
    await page.evaluate((token) => openChannel(token), makeToken());
    const [error, close] = await handlerCalls(2);
    assert.deepEqual(error.event, { description, code: 401 });
    assert.deepEqual([error.name, error.thisIsSocket, error.duringOpen], ["error", true, false]);
    assert.deepEqual(close, call("close", {}, CLOSED));
  });
}

test("a token that expires while connected: onerror with 401, then onclose", async () => {
  await page.goto(site.url);
  await page.evaluate((token) => openChannel(token), mintToken("frank", 3));
  await handlerCalls(1);
  await post(server.url, "/v1/send", { to: "frank", data: "before the expiry" });
  const calls = await handlerCalls(4);
  assert.deepEqual(
    calls.map(({ name }) => name),
    ["open", "message", "error", "close"],
  );
  assert.deepEqual(calls[2].event, { description: "Token+timed+out.", code: 401 });
  assert.deepEqual(calls[3], call("close", {}, CLOSED));
});

test("a channel that the application has deleted: onerror with 401, then onclose", async () => {
  await page.goto(site.url);
  await page.evaluate((token) => openChannel(token), await createChannel("oscar"));
  await handlerCalls(1);
  const response = await fetch(`${server.url}/v1/channels/oscar`, {
    method: "DELETE",
    headers: { authorization: `Bearer ${API_KEY}` },
  });
  assert.ok(response.ok, `the response to DELETE is ${response.status}`);
  const calls = await handlerCalls(3);
  assert.deepEqual(calls[1].event, { description: "Token+revoked.", code: 401 });
  assert.deepEqual(calls[2], call("close", {}, CLOSED));
});

test("a channel can be opened in the head, before the body exists", async () => {
  const token = await createChannel("grace");
  await page.goto(`${site.url}/early#${token}`);
  assert.equal(await page.evaluate(() => window.body), null);
  await post(server.url, "/v1/send", { to: "grace", data: "good morning" });
  assert.deepEqual(await handlerCalls(2), [
    call("open", {}, OPEN),
    call("message", { data: "good morning" }, OPEN),
  ]);
});

test("each of several channels in one page receives its own messages", async () => {
  await page.goto(site.url);
  const tokens = await Promise.all(["heidi", "ivan"].map(createChannel));
  await page.evaluate((given) => {
    for (const [index, token] of given.entries()) {
      const onmessage = ({ data }) => calls.push([index, data]);
      new goog.appengine.Channel(token).open({ onmessage });
    }
  }, tokens);
  await post(server.url, "/v1/send", { to: "ivan", data: "for ivan" });
  await handlerCalls(1);
  await post(server.url, "/v1/send", { to: "heidi", data: "for heidi" });
  assert.deepEqual(await handlerCalls(2), [
    [1, "for ivan"],
    [0, "for heidi"],
  ]);
});

test("send() is refused by the server: onerror with 403, and the socket stays open", async () => {
  await page.goto(site.url);
  await page.evaluate((token) => openChannel(token), await createChannel("judy"));
  await handlerCalls(1);
  await page.evaluate(() => socket.send("an update-message"));
  const [, error] = await handlerCalls(2);
  assert.deepEqual([error.name, error.event.code, error.state], ["error", 403, OPEN]);
  await post(server.url, "/v1/send", { to: "judy", data: "after the error" });
  assert.deepEqual((await handlerCalls(3))[2], call("message", { data: "after the error" }, OPEN));
});

test("a page of an origin that is not allowed cannot connect", async () => {
  const otherPage = await openPage(browser);
  await otherPage.goto(site.otherOriginUrl);
  const token = await createChannel("mallory");
  const result = await otherPage.evaluate(
    ([url, given]) =>
      new Promise((resolve) => {
        const connection = new WebSocket(url, ["headrace.v1", `headrace.token.${given}`]);
        connection.onopen = () => resolve("open");
        connection.onclose = ({ code }) => resolve(code);
      }),
    [`${server.url.replace("http", "ws")}/v1/connect`, token],
  );
  assert.equal(result, 1006);
  await otherPage.context().close();
});

test("a page of an origin that is not allowed gets an error with the setting", async () => {
  const otherPage = await openPage(browser);
  await otherPage.goto(site.otherOriginUrl);
  const token = await createChannel("mallory");
  const reports = await otherPage.evaluate(
    async ([url, given]) => {
      const { Channel } = await import(`${url}/headrace.js`);
      const channel = new Channel({ url, token: given });
      const found = [];
      await new Promise((resolve) => {
        let errors = 0;
        channel.addEventListener("error", ({ description, fatal }) => {
          if (description.includes("allowed_origins")) found.push([description, fatal]);
          errors += 1;
          if (errors === 6) resolve();
        });
      });
      channel.close();
      return found;
    },
    [server.url, token],
  );
  const description = `the server refuses pages of ${site.otherOriginUrl}: add it to allowed_origins`;
  assert.deepEqual(reports, [[description, false]]);
  await otherPage.context().close();
});
