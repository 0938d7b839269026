// The browser's WebSocket, without the JavaScript client.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { mintToken, post } from "./helpers/api.mjs";
import { openPage } from "./helpers/browser.mjs";
import { startServerAndBrowser, stopServerAndBrowser } from "./helpers/server.mjs";

const MESSAGE_MAX_BYTES = 32_768;

let server;
let browser;
let page;

before(async () => {
  ({ server, browser } = await startServerAndBrowser());
  page = await openPage(browser);
  await page.goto(server.url);
});

after(() => stopServerAndBrowser(server, browser));

/** Opens `/v1/connect`. Frames are recorded in `received`, the close in `closeEvent`. Returns the subprotocol. */
async function openWebSocket(query, protocols) {
  const url = `${server.url.replace("http", "ws")}/v1/connect${query}`;
  return page.evaluate(
    ([address, offered]) =>
      new Promise((resolve) => {
        window.received = [];
        window.closeEvent = null;
        window.connection = new WebSocket(address, offered);
        connection.onmessage = ({ data }) => received.push(data);
        connection.onopen = () => resolve(connection.protocol);
        connection.onclose = ({ code, reason }) => {
          window.closeEvent = { code, reason };
          resolve(null);
        };
      }),
    [url, protocols],
  );
}

/** Waits until `count` frames have been received; returns them. */
async function receivedFrames(count) {
  await page.waitForFunction((least) => window.received.length >= least, count);
  return page.evaluate(() => window.received);
}

/** Returns text of exactly the maximum size, with characters of one to four bytes. */
function maxSizeText() {
  const piece = "a\u00e9\u6f22\u{1f44d}"; // 1 + 2 + 3 + 4 bytes
  const text = piece.repeat(Math.floor(MESSAGE_MAX_BYTES / 10));
  return text + "x".repeat(MESSAGE_MAX_BYTES - Buffer.byteLength(text));
}

test("the token as a subprotocol: open is the first frame, then messages with their IDs", async () => {
  const protocol = await openWebSocket("", ["headrace.v1", `headrace.token.${mintToken("alice")}`]);
  assert.equal(protocol, "headrace.v1");
  const opened = JSON.parse((await receivedFrames(1))[0]);
  assert.deepEqual([opened.type, opened.client_id, opened.recovered], ["open", "alice", null]);

  const data = maxSizeText();
  assert.equal(Buffer.byteLength(data), MESSAGE_MAX_BYTES);
  const { id, sessions } = await post(server.url, "/v1/send", { to: "alice", data });
  assert.equal(sessions, 1);
  assert.deepEqual(JSON.parse((await receivedFrames(2))[1]), { id, data });
});

test("the token in the query: without the subprotocol, frames contain only the data", async () => {
  assert.equal(await openWebSocket(`?token=${mintToken("bob")}`, []), "");
  const data = maxSizeText();
  for (const one of ["1", data]) await post(server.url, "/v1/send", { to: "bob", data: one });
  assert.deepEqual(await receivedFrames(2), ["1", data]);
});

test("the token in the query with the subprotocol, and a resume after the last ID", async () => {
  const query = `?token=${mintToken("carol")}`;
  await openWebSocket(query, ["headrace.v1"]);
  await receivedFrames(1);
  const { id } = await post(server.url, "/v1/send", { to: "carol", data: "1" });
  await receivedFrames(2);
  await page.evaluate(() => connection.close(1000));
  await page.waitForFunction(() => window.closeEvent);
  assert.deepEqual(await page.evaluate(() => window.closeEvent), { code: 1000, reason: "" });

  await post(server.url, "/v1/send", { to: "carol", data: "2" });
  await openWebSocket(`${query}&last_id=${id}`, ["headrace.v1"]);
  const [opened, message] = (await receivedFrames(2)).map((text) => JSON.parse(text));
  assert.equal(opened.recovered, true);
  assert.equal(message.data, "2");
});

test("an invalid token closes the connection with a code, because a browser cannot read a failed handshake", async () => {
  for (const [token, code] of [
    ["nonsense", 4001],
    [mintToken("dave", -1), 4002],
  ]) {
    await openWebSocket("", ["headrace.v1", `headrace.token.${token}`]);
    await page.waitForFunction(() => window.closeEvent);
    assert.equal((await page.evaluate(() => window.closeEvent)).code, code);
  }
});
