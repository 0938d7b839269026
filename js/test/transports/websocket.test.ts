import assert from "node:assert/strict";
import { test } from "node:test";
import { webSocketTransport } from "../../src/transports/websocket.js";
import { FakeBrowser } from "../helpers/fake-browser.js";
import { recordingListener } from "../helpers/recorder.js";

function connectTransport(url = "https://push.example/hub", lastId: string | null = null) {
  const browser = new FakeBrowser();
  const transport = webSocketTransport(browser.platform);
  assert.ok(transport);
  const { listener, takeEvents } = recordingListener();
  const connection = transport.connect({ url, token: "h.p.s", lastId, since: "9-0" }, listener);
  return { socket: browser.socket, connection, takeEvents };
}

test("the scheme is ws or wss, and the path is kept", () => {
  assert.equal(connectTransport().socket.url, "wss://push.example/hub/v1/connect?since=9-0");
  assert.equal(
    connectTransport("http://127.0.0.1:8080").socket.url,
    "ws://127.0.0.1:8080/v1/connect?since=9-0",
  );
  assert.equal(connectTransport("http://h", "1-0").socket.url, "ws://h/v1/connect?last_id=1-0");
});

test("text and binary frames", () => {
  const { socket, takeEvents } = connectTransport();
  socket.message("1-0", "hi");
  socket.sendFrame({ type: "ping" });
  socket.sendRaw("{");
  socket.sendRaw(new Blob(["x"]));
  assert.deepEqual(takeEvents(), [
    { kind: "message", message: { id: "1-0", data: "hi" } },
    { kind: "ping", id: null },
    { kind: "malformed", reason: "not JSON" },
    { kind: "malformed", reason: "not JSON" },
  ]);
});

test("a close frame shows that the server was reached", () => {
  for (const [code, reason, info] of [
    [4008, "", { code: 4008, reason: "too slow: reconnect and resume", reached: true }],
    [4001, "said", { code: 4001, reason: "said", reached: true }],
    [1006, "", { code: 1006, reason: "connection lost", reached: false }],
    [1005, "", { code: 1005, reason: "connection lost", reached: false }],
  ] as const) {
    const { socket, takeEvents } = connectTransport();
    socket.closeByServer(code, reason);
    assert.deepEqual(takeEvents(), [info]);
  }
});

test("renews on the open connection", () => {
  const { socket, connection } = connectTransport();
  assert.equal(connection.renew?.("t.2"), true);
  assert.deepEqual(socket.sent, [{ type: "renew", token: "t.2" }]);
});

test("close() sends 1000, and no callback follows", () => {
  const { socket, connection, takeEvents } = connectTransport();
  connection.close();
  assert.equal(socket.closedWith, 1000);
  socket.message("1-0");
  socket.closeByServer(1000);
  assert.deepEqual(takeEvents(), []);
});
