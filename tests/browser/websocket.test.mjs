// The browser's own WebSocket, with no client of ours in between.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ask, openPage, startBoth, stopBoth, tokenFor } from "./harness.mjs";

const MESSAGE_MAX_BYTES = 32_768;

let server;
let browser;
let page;

before(async () => {
  ({ server, browser } = await startBoth());
  page = await openPage(browser);
  await page.goto(server.url);
});

after(() => stopBoth(server, browser));

/** Open `/v1/connect`; what it says is noted in `got`, its end in `ended`. */
async function open(query, protocols) {
  const url = `${server.url.replace("http", "ws")}/v1/connect${query}`;
  return page.evaluate(
    ([address, offered]) =>
      new Promise((resolve) => {
        window.got = [];
        window.ended = null;
        window.connection = new WebSocket(address, offered);
        connection.onmessage = ({ data }) => got.push(data);
        connection.onopen = () => resolve(connection.protocol);
        connection.onclose = ({ code, reason }) => {
          window.ended = { code, reason };
          resolve(null);
        };
      }),
    [url, protocols],
  );
}

async function got(count) {
  await page.waitForFunction((least) => window.got.length >= least, count);
  return page.evaluate(() => window.got);
}

/** Text of exactly the greatest size, with characters of one to four bytes. */
function greatest() {
  const piece = "a\u00e9\u6f22\u{1f44d}"; // 1 + 2 + 3 + 4 bytes
  const text = piece.repeat(Math.floor(MESSAGE_MAX_BYTES / 10));
  return text + "x".repeat(MESSAGE_MAX_BYTES - Buffer.byteLength(text));
}

test("the token as a subprotocol: open comes first, then messages with their ids", async () => {
  const protocol = await open("", ["headrace.v1", `headrace.token.${tokenFor("alice")}`]);
  assert.equal(protocol, "headrace.v1");
  const opened = JSON.parse((await got(1))[0]);
  assert.deepEqual([opened.type, opened.client_id, opened.recovered], ["open", "alice", null]);

  const data = greatest();
  assert.equal(Buffer.byteLength(data), MESSAGE_MAX_BYTES);
  const { id, sessions } = await ask(server.url, "/v1/send", { to: "alice", data });
  assert.equal(sessions, 1);
  assert.deepEqual(JSON.parse((await got(2))[1]), { id, data });
});

test("the token in the query: without the subprotocol, frames are the bare data", async () => {
  assert.equal(await open(`?token=${tokenFor("bob")}`, []), "");
  const data = greatest();
  for (const one of ["1", data]) await ask(server.url, "/v1/send", { to: "bob", data: one });
  assert.deepEqual(await got(2), ["1", data]);
});

test("the token in the query with the subprotocol, and a resume after the last id", async () => {
  const query = `?token=${tokenFor("carol")}`;
  await open(query, ["headrace.v1"]);
  await got(1);
  const { id } = await ask(server.url, "/v1/send", { to: "carol", data: "1" });
  await got(2);
  await page.evaluate(() => connection.close(1000));
  await page.waitForFunction(() => window.ended);
  assert.deepEqual(await page.evaluate(() => window.ended), { code: 1000, reason: "" });

  await ask(server.url, "/v1/send", { to: "carol", data: "2" });
  await open(`${query}&last_id=${id}`, ["headrace.v1"]);
  const [opened, message] = (await got(2)).map((text) => JSON.parse(text));
  assert.equal(opened.recovered, true);
  assert.equal(message.data, "2");
});

test("a token fault is told by the close code, because a browser cannot read a failed handshake", async () => {
  for (const [token, code] of [
    ["nonsense", 4001],
    [tokenFor("dave", -1), 4002],
  ]) {
    await open("", ["headrace.v1", `headrace.token.${token}`]);
    await page.waitForFunction(() => window.ended);
    assert.equal((await page.evaluate(() => window.ended)).code, code);
  }
});
