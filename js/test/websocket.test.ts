import assert from "node:assert/strict";
import { test } from "node:test";
import { webSocketTransport } from "../src/websocket.js";
import { FakeBrowser } from "./fakes.js";
import { recordingSink } from "./recorder.js";

function dial(url = "https://push.example/hub", lastId: string | null = null) {
  const browser = new FakeBrowser();
  const transport = webSocketTransport(browser.platform);
  assert.ok(transport);
  const { sink, heard } = recordingSink();
  const link = transport.connect({ url, token: "h.p.s", lastId, since: "9-0" }, sink);
  return { socket: browser.socket, link, heard };
}

test("the scheme follows the server's, and the path is kept", () => {
  assert.equal(dial().socket.url, "wss://push.example/hub/v1/connect?since=9-0");
  assert.equal(dial("http://127.0.0.1:8080").socket.url, "ws://127.0.0.1:8080/v1/connect?since=9-0");
  assert.equal(dial("http://h", "1-0").socket.url, "ws://h/v1/connect?last_id=1-0");
});

test("frames of every kind, and binary ones", () => {
  const { socket, heard } = dial();
  socket.message("1-0", "hi");
  socket.say({ type: "ping" });
  socket.raw("{");
  socket.raw(new Uint8Array(1));
  assert.deepEqual(heard(), [
    { kind: "message", message: { id: "1-0", data: "hi" } },
    { kind: "ping", id: null },
    { kind: "malformed", why: "is not JSON" },
    { kind: "malformed", why: "is binary" },
  ]);
});

test("a close frame shows that the server was reached", () => {
  for (const [code, reason, loss] of [
    [4008, "", { code: 4008, reason: "too slow: reconnect and resume", reached: true }],
    [4001, "said", { code: 4001, reason: "said", reached: true }],
    [1006, "", { code: 1006, reason: "connection lost", reached: false }],
    [1005, "", { code: 1005, reason: "connection lost", reached: false }],
  ] as const) {
    const { socket, heard } = dial();
    socket.end(code, reason);
    assert.deepEqual(heard(), [loss]);
  }
});

test("renews in place", () => {
  const { socket, link } = dial();
  assert.equal(link.renew?.("t.2"), true);
  assert.deepEqual(socket.sent, [{ type: "renew", token: "t.2" }]);
});

test("close says normal, and nothing is heard any more", () => {
  const { socket, link, heard } = dial();
  link.close();
  assert.equal(socket.closedWith, 1000);
  socket.message("1-0");
  socket.end(1000);
  assert.deepEqual(heard(), []);
});
