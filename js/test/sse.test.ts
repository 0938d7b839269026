import assert from "node:assert/strict";
import { test } from "node:test";
import * as codes from "../src/codes.js";
import { eventStreamTransport } from "../src/sse.js";
import { FakeBrowser, type FakeRequest, settle } from "./fakes.js";
import { connect, recordingSink, tokenWith, URL } from "./recorder.js";

const OPEN =
  'event: headrace\ndata: {"type":"open","client_id":"ann","id":"100-0","recovered":null,"ping_interval":25}\n\n';

async function dial(lastId: string | null = null) {
  const browser = new FakeBrowser();
  const transport = eventStreamTransport(browser.platform);
  assert.ok(transport);
  const { sink, heard } = recordingSink();
  const link = transport.connect({ url: URL, token: "h.p.s", lastId, since: null }, sink);
  assert.deepEqual(heard(), [], "nothing inside connect");
  await settle();
  return { browser, request: browser.request, link, heard };
}

test("asks with the token in a header, never in the URL", async () => {
  const { request } = await dial("99-0");
  assert.equal(request.url, "https://push.example/v1/events?last_id=99-0");
  assert.equal(request.headers.get("authorization"), "Bearer h.p.s");
  assert.equal(request.headers.get("accept"), "text/event-stream");
  assert.equal(request.init.cache, "no-store");
});

test("hands on what comes, however it is cut", async () => {
  const { request, heard } = await dial();
  await request.startStream();
  const text = `retry: 2000\n\n${OPEN}id: 101-0\ndata: ä🙂\ndata: b\n\n: ping\n\n`;
  for (const byte of new TextEncoder().encode(text)) await request.push(new Uint8Array([byte]));
  const frames = heard().filter((frame) => (frame as { kind: string }).kind !== "ping");
  assert.deepEqual(frames, [
    {
      kind: "open",
      opened: { clientId: "ann", id: "100-0", recovered: null, expiresAt: null, pingIntervalMs: 25_000 },
    },
    { kind: "message", message: { id: "101-0", data: "ä🙂\nb" } },
  ]);
  await request.push(": ping\n\n");
  assert.deepEqual(heard(), [{ kind: "ping", id: null }], "a comment shows that the line is alive");
});

test("a message without an id, and a notice that is not JSON, are malformed", async () => {
  const { request, heard } = await dial();
  await request.startStream();
  await request.push("data: x\n\nevent: headrace\ndata: {\n\n");
  assert.deepEqual(
    heard().map((frame) => (frame as { kind: string }).kind),
    ["malformed", "malformed"],
  );
});

test("the server's goodbye stands for a close frame", async () => {
  const { request, heard } = await dial();
  await request.startStream();
  await request.push('event: headrace\ndata: {"type":"close","code":4009,"reason":"replaced"}\n\n');
  assert.deepEqual(heard(), [{ kind: "close", code: 4009, reason: "replaced", reached: true }]);
  await request.endStream();
  assert.deepEqual(heard(), [], "the loss comes once");
});

test("an end without a goodbye, and a broken line", async () => {
  const ended = await dial();
  await ended.request.startStream();
  await ended.request.endStream();
  assert.deepEqual(ended.heard(), [
    { code: codes.ABNORMAL, reason: "the event stream ended", reached: true },
  ]);
  const broken = await dial();
  await broken.request.startStream();
  await broken.request.breakStream();
  assert.deepEqual(broken.heard(), [
    { code: codes.ABNORMAL, reason: "TypeError: network error", reached: false },
  ]);
  const unreachable = await dial();
  await unreachable.request.fail();
  assert.deepEqual(unreachable.heard(), [
    { code: codes.ABNORMAL, reason: "TypeError: Failed to fetch", reached: false },
  ]);
});

test("answers that are no event stream", async () => {
  const portal = await dial();
  await portal.request.answer(200, "<html>", { "content-type": "text/html" });
  assert.deepEqual(portal.heard(), [
    { code: codes.ABNORMAL, reason: "the answer is no event stream", reached: false },
  ]);
  const refused = await dial();
  await refused.request.answer(401, { detail: "Token+revoked.", code: 4003 });
  assert.deepEqual(refused.heard(), [
    { code: 4003, reason: "Token+revoked.", reached: true, retryAfterMs: null },
  ]);
});

test("close aborts the request, and nothing is heard any more", async () => {
  const { request, link, heard } = await dial();
  await request.startStream();
  await request.push(OPEN);
  heard();
  link.close();
  await request.aborted;
  await settle();
  assert.deepEqual(heard(), []);
  const early = await dial();
  early.link.close();
  await settle();
  assert.deepEqual(early.heard(), []);
});

test("a browser that cannot read an answer while it comes has no such transport", () => {
  const { platform } = new FakeBrowser();
  platform.fetch = undefined;
  assert.equal(eventStreamTransport(platform), null);
});

test("over a connection: resume, planned goodbye, dead line, token faults", async () => {
  const browser = new FakeBrowser();
  const { clock } = browser;
  const { heard } = connect(browser, { transports: ["sse"] });
  await settle();
  await browser.request.startStream();
  await browser.request.push(`${OPEN}id: 101-0\ndata: a\n\n`);
  assert.deepEqual(heard(), ["open sse null", "101-0 a"]);

  await browser.request.push('event: headrace\ndata: {"type":"reconnect","delay_ms":7000}\n\n');
  await browser.request.push('event: headrace\ndata: {"type":"close","code":1012,"reason":"restart"}\n\n');
  assert.equal(clock.untilNext, 7_000);
  await clock.advance(7_000);
  assert.match(browser.request.url, /last_id=101-0$/);
  await browser.request.startStream();
  await browser.request.push(OPEN.replace("null", "true"));
  heard();

  await clock.advance(30_000);
  await browser.request.push(": ping\n\n");
  await clock.advance(49_999);
  assert.deepEqual(heard(), []);
  await clock.advance(1);
  assert.deepEqual(heard(), ["error 1006 nothing heard for 50 s"]);

  await clock.advance(500);
  await browser.request.answer(401, { detail: "Token+timed+out.", code: 4002 });
  assert.deepEqual(heard(), ["fatal 4002 Token+timed+out.", "close 4002"]);
});

test("over a connection: the place is left to the server unless one may have been served", async () => {
  const token = tokenWith({ sub: "ann", pos: "90-0" });
  const ways: [(request: FakeRequest) => Promise<void>, RegExp][] = [
    [(request) => request.answer(503, { detail: "full" }), /\/v1\/events$/],
    [(request) => request.answer(401, { detail: "Token+timed+out.", code: 4002 }), /\/v1\/events$/],
    [(request) => request.fail(), /since=90-0$/],
    [(request) => request.startStream().then(() => request.endStream()), /since=90-0$/],
    [(request) => request.startStream().then(() => request.breakStream()), /since=90-0$/],
  ];
  for (const [end, url] of ways) {
    const browser = new FakeBrowser();
    connect(browser, { transports: ["sse"], token: async () => token });
    await settle();
    await end(browser.request);
    await browser.clock.advance(4_000);
    assert.match(browser.requests[1]?.url ?? "", url);
  }
});

test("over a connection: a renewal takes a new stream, which resumes", async () => {
  const browser = new FakeBrowser();
  let count = 0;
  const { heard } = connect(browser, { transports: ["sse"], token: () => `t.${++count}` });
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
  assert.deepEqual(heard(), ["open sse null", "open sse true"]);
});
