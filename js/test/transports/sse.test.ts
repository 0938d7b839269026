import assert from "node:assert/strict";
import { test } from "node:test";
import * as codes from "../../src/protocol/codes.js";
import { sseTransport } from "../../src/transports/sse.js";
import { FakeBrowser } from "../helpers/fake-browser.js";
import type { FakeRequest } from "../helpers/fake-network.js";
import { settle } from "../helpers/manual-clock.js";
import { connect, recordingListener, SERVER_URL, tokenWith } from "../helpers/recorder.js";

const OPEN =
  'event: headrace\ndata: {"type":"open","client_id":"ann","id":"100-0","recovered":null,"ping_interval":25}\n\n';

async function connectTransport(lastId: string | null = null) {
  const browser = new FakeBrowser();
  const transport = sseTransport(browser.platform);
  assert.ok(transport);
  const { listener, takeEvents } = recordingListener();
  const connection = transport.connect({ url: SERVER_URL, token: "h.p.s", lastId, since: null }, listener);
  assert.deepEqual(takeEvents(), [], "no callback inside connect()");
  await settle();
  return { browser, request: browser.request, connection, takeEvents };
}

test("sends the token in a header, never in the URL", async () => {
  const { request } = await connectTransport("99-0");
  assert.equal(request.url, "https://push.example/v1/events?last_id=99-0");
  assert.equal(request.headers.get("authorization"), "Bearer h.p.s");
  assert.equal(request.headers.get("accept"), "text/event-stream");
  assert.equal(request.init.cache, "no-store");
});

test("reports the same frames for any chunking, without a byte order mark", async () => {
  const { request, takeEvents } = await connectTransport();
  await request.startStream();
  const text = `\ufeffretry: 2000\n\n${OPEN}id: 101-0\ndata: ä🙂\ndata: b\n\n: ping\n\n`;
  for (const byte of new TextEncoder().encode(text)) await request.push(new Uint8Array([byte]));
  const frames = takeEvents().filter((frame) => (frame as { kind: string }).kind !== "ping");
  assert.deepEqual(frames, [
    {
      kind: "open",
      session: { clientId: "ann", id: "100-0", recovered: null, expiresAt: null, pingIntervalMs: 25_000 },
    },
    { kind: "message", message: { id: "101-0", data: "ä🙂\nb" } },
  ]);
  await request.push(": ping\n\n");
  assert.deepEqual(
    takeEvents(),
    [{ kind: "ping", id: null }],
    "a comment shows that the connection is alive",
  );
});

test("a message without an id, and an event that is not JSON, are malformed", async () => {
  const { request, takeEvents } = await connectTransport();
  await request.startStream();
  await request.push("data: x\n\nevent: headrace\ndata: {\n\n");
  assert.deepEqual(
    takeEvents().map((frame) => (frame as { kind: string }).kind),
    ["malformed", "malformed"],
  );
});

test("the server's close event is reported as the close", async () => {
  const { request, takeEvents } = await connectTransport();
  await request.startStream();
  await request.push('event: headrace\ndata: {"type":"close","code":4009,"reason":"replaced"}\n\n');
  assert.deepEqual(takeEvents(), [{ kind: "close", code: 4009, reason: "replaced", reached: true }]);
  await request.endStream();
  assert.deepEqual(takeEvents(), [], "onClose is called once");
});

test("a stream that ends, a broken connection, and an unreachable server", async () => {
  const ended = await connectTransport();
  await ended.request.startStream();
  await ended.request.endStream();
  assert.deepEqual(ended.takeEvents(), [
    { code: codes.ABNORMAL, reason: "the event stream ended", reached: true },
  ]);
  const broken = await connectTransport();
  await broken.request.startStream();
  await broken.request.breakStream();
  assert.deepEqual(broken.takeEvents(), [
    { code: codes.ABNORMAL, reason: "TypeError: network error", reached: false },
  ]);
  const unreachable = await connectTransport();
  await unreachable.request.fail();
  assert.deepEqual(unreachable.takeEvents(), [
    { code: codes.ABNORMAL, reason: "TypeError: Failed to fetch", reached: false },
  ]);
});

test("responses that are not an event stream", async () => {
  const portal = await connectTransport();
  await portal.request.answer(200, "<html>", { "content-type": "text/html" });
  assert.deepEqual(portal.takeEvents(), [
    { code: codes.ABNORMAL, reason: "not an event stream", reached: false },
  ]);
  const refused = await connectTransport();
  await refused.request.answer(401, { detail: "Token+revoked.", code: 4003 });
  assert.deepEqual(refused.takeEvents(), [
    { code: 4003, reason: "Token+revoked.", reached: true, retryAfterMs: null },
  ]);
});

test("close() aborts the request, and no callback follows", async () => {
  const { request, connection, takeEvents } = await connectTransport();
  await request.startStream();
  await request.push(OPEN);
  takeEvents();
  connection.close();
  await request.aborted;
  await settle();
  assert.deepEqual(takeEvents(), []);
  const early = await connectTransport();
  early.connection.close();
  await settle();
  assert.deepEqual(early.takeEvents(), []);
});

test("without fetch() there is no such transport", () => {
  const { platform } = new FakeBrowser();
  platform.fetch = undefined;
  assert.equal(sseTransport(platform), null);
});

test("in a Connection: resume, planned restart, dead connection, token error", async () => {
  const browser = new FakeBrowser();
  const { clock } = browser;
  const { takeEvents } = connect(browser, { transports: ["sse"] });
  await settle();
  await browser.request.startStream();
  await browser.request.push(`${OPEN}id: 101-0\ndata: a\n\n`);
  assert.deepEqual(takeEvents(), ["open sse null", "101-0 a"]);

  await browser.request.push('event: headrace\ndata: {"type":"reconnect","delay_ms":7000}\n\n');
  await browser.request.push('event: headrace\ndata: {"type":"close","code":1012,"reason":"restart"}\n\n');
  assert.equal(clock.untilNext, 7_000);
  await clock.advance(7_000);
  assert.match(browser.request.url, /last_id=101-0$/);
  await browser.request.startStream();
  await browser.request.push(OPEN.replace("null", "true"));
  takeEvents();

  await clock.advance(30_000);
  await browser.request.push(": ping\n\n");
  await clock.advance(49_999);
  assert.deepEqual(takeEvents(), []);
  await clock.advance(1);
  assert.deepEqual(takeEvents(), ["error 1006 nothing received for 50 s"]);

  await clock.advance(500);
  await browser.request.answer(401, { detail: "Token+timed+out.", code: 4002 });
  assert.deepEqual(takeEvents(), ["fatal 4002 Token+timed+out.", "close 4002"]);
});

test("in a Connection: the server chooses the start, unless an attempt may have started a session", async () => {
  const token = tokenWith({ sub: "ann", pos: "90-0" });
  const endings: [(request: FakeRequest) => Promise<void>, RegExp][] = [
    [(request) => request.answer(503, { detail: "full" }), /\/v1\/events$/],
    [(request) => request.answer(401, { detail: "Token+timed+out.", code: 4002 }), /\/v1\/events$/],
    [(request) => request.fail(), /since=90-0$/],
    [(request) => request.startStream().then(() => request.endStream()), /since=90-0$/],
    [(request) => request.startStream().then(() => request.breakStream()), /since=90-0$/],
  ];
  for (const [end, url] of endings) {
    const browser = new FakeBrowser();
    connect(browser, { transports: ["sse"], token: async () => token });
    await settle();
    await end(browser.request);
    await browser.clock.advance(4_000);
    assert.match(browser.requests[1]?.url ?? "", url);
  }
});

test("in a Connection: a renewal opens a new stream, which resumes", async () => {
  const browser = new FakeBrowser();
  let count = 0;
  const { takeEvents } = connect(browser, { transports: ["sse"], token: () => `t.${++count}` });
  await settle();
  await browser.request.startStream();
  const expiresAt = browser.clock.now / 1000 + 40;
  await browser.request.push(OPEN.replace("}", `,"expires_at":${expiresAt}}`));
  await browser.clock.advance(38_000);
  assert.equal(browser.requests.length, 2);
  assert.ok(browser.requests[0]?.isAborted);
  assert.equal(browser.request.headers.get("authorization"), "Bearer t.2");
  assert.match(browser.request.url, /last_id=100-0$/);
  await browser.request.startStream();
  await browser.request.push(OPEN.replace("null", "true"));
  assert.deepEqual(takeEvents(), ["open sse null", "open sse true"]);
});
