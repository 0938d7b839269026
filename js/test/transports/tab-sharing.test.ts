import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeBrowser, FakeOrigin } from "../helpers/fake-browser.js";
import { settle } from "../helpers/manual-clock.js";
import { connect, tokenWith } from "../helpers/recorder.js";

type Options = Parameters<typeof connect>[1];

const ANN = tokenWith({ sub: "ann", exp: 1_800_000_000 });

const open = (fields: object = {}) => {
  const frame = {
    type: "open",
    client_id: "ann",
    id: "100-0",
    recovered: null,
    ping_interval: 25,
    ...fields,
  };
  return `event: headrace\ndata: ${JSON.stringify(frame)}\n\n`;
};
const message = (id: string, data = "x") => `id: ${id}\ndata: ${data}\n\n`;

/** Opens tabs of one origin, each of which listens over Server-Sent Events. */
function makeTabs() {
  const origin = new FakeOrigin();
  let seed = 0;
  const openTab = async (options: Options = {}) => {
    seed += 1;
    const browser = new FakeBrowser(seed, origin);
    const tab = {
      browser,
      clock: browser.clock,
      ...connect(browser, { token: ANN, transports: ["sse"], ...options }),
    };
    await settle();
    return tab;
  };
  const openLeader = async (options: Options = {}) => {
    const leader = await openTab(options);
    await leader.browser.request.startStream();
    await leader.browser.request.push(open());
    leader.takeEvents();
    return leader;
  };
  return { origin, openTab, openLeader };
}

test("one stream serves every tab", async () => {
  const { openTab, openLeader } = makeTabs();
  const leader = await openLeader();
  const followers = [await openTab(), await openTab()];
  for (const { takeEvents } of followers) assert.deepEqual(takeEvents(), ["open sse null"]);
  await leader.browser.request.push(message("101-0", "a") + message("102-0", "b"));
  for (const { takeEvents } of [leader, ...followers]) assert.deepEqual(takeEvents(), ["101-0 a", "102-0 b"]);
  for (const { browser } of followers) assert.equal(browser.requests.length, 0);
});

test("of tabs that open at the same time one leads, and the others join when it is open", async () => {
  const { openTab } = makeTabs();
  const [first, second] = [await openTab(), await openTab()];
  assert.equal(first.browser.requests.length, 1);
  assert.equal(second.browser.requests.length, 0);
  assert.deepEqual(second.takeEvents(), []);
  await first.browser.request.startStream();
  await first.browser.request.push(open());
  assert.deepEqual(second.takeEvents(), ["open sse null"]);
});

test("when the leader closes, the next tab resumes and no page notices", async () => {
  const { origin, openTab, openLeader } = makeTabs();
  const leader = await openLeader();
  const [second, third] = [await openTab(), await openTab()];
  await leader.browser.request.push(message("101-0"));
  leader.connection.close();
  await settle();
  assert.ok(leader.browser.request.isAborted);
  assert.match(second.browser.request.url, /\/v1\/events\?last_id=101-0$/);
  await second.browser.request.startStream();
  await second.browser.request.push(open({ id: "101-0", recovered: true }) + message("102-0"));
  for (const { takeEvents } of [second, third])
    assert.deepEqual(takeEvents(), ["open sse null", "101-0 x", "102-0 x"]);
  assert.equal(third.browser.requests.length, 0);
  third.connection.close();
  second.connection.close();
  await settle();
  assert.equal(origin.queued, 0);
  assert.equal(origin.listening, 0);
});

test("messages that the new leader could not recover are a gap in every tab", async () => {
  const { openTab, openLeader } = makeTabs();
  const leader = await openLeader();
  const [second, third] = [await openTab(), await openTab()];
  leader.connection.close();
  await settle();
  await second.browser.request.startStream();
  await second.browser.request.push(open({ id: "300-0", recovered: false }) + message("301-0"));
  for (const { takeEvents } of [second, third]) {
    assert.deepEqual(takeEvents(), ["open sse null", "gap 100-0 300-0", "301-0 x"]);
  }
});

test("messages that the server lost are reported to every tab once", async () => {
  const { openTab, openLeader } = makeTabs();
  const tabs = [await openLeader(), await openTab(), await openTab()];
  await tabs[0]?.browser.request.push(message("101-0"));
  await tabs[0]?.browser.request.breakStream();
  for (const { takeEvents } of tabs) takeEvents();
  for (const { clock } of tabs) await clock.advance(500);
  const leader = tabs.find(({ browser: { requests } }) => requests.at(-1)?.url.endsWith("last_id=101-0"));
  await leader?.browser.request.startStream();
  await leader?.browser.request.push(open({ id: "300-0", recovered: false }) + message("301-0"));
  for (const { takeEvents } of tabs)
    assert.deepEqual(takeEvents(), ["open sse false", "gap 101-0 300-0", "301-0 x"]);
  const requests = tabs.reduce((sum, { browser }) => sum + browser.requests.length, 0);
  assert.equal(requests, 2, "one stream before, one after");

  leader?.connection.close();
  await settle();
  const [next] = tabs.filter((tab) => tab !== leader && tab.browser.requests.at(-1)?.isAborted === false);
  assert.match(next?.browser.request.url ?? "", /last_id=301-0$/);
});

test("a tab that becomes the leader after a loss resumes after it", async () => {
  const { openTab, openLeader } = makeTabs();
  const leader = await openLeader();
  const follower = await openTab();
  await leader.browser.request.push(open({ id: "300-0", recovered: false }));
  leader.connection.close();
  await settle();
  assert.match(follower.browser.request.url, /last_id=300-0$/);
});

test("after the server's ids started again, a joining tab has its own stream", async () => {
  const { openTab, openLeader } = makeTabs();
  const leader = await openLeader();
  await leader.browser.request.push(open({ id: "3-0", recovered: false }) + message("4-0"));
  const other = await openTab({ lastId: "90-0" });
  assert.match(other.browser.request.url, /last_id=90-0$/);
});

test("a tab that joins before the leader's gap has its own stream", async () => {
  const { openTab, openLeader } = makeTabs();
  const leader = await openLeader();
  await leader.browser.request.push(message("101-0"));
  const gap = JSON.stringify({ type: "gap", after: "101-0", before: "110-0" });
  await leader.browser.request.push(`event: headrace\ndata: ${gap}\n\n${message("110-0")}`);
  assert.match((await openTab({ lastId: "101-0" })).browser.request.url, /last_id=101-0$/);
  assert.deepEqual((await openTab({ lastId: "110-0" })).takeEvents(), ["open sse true"]);
});

test("a leader that resumed can serve positions since its last id", async () => {
  const { openTab } = makeTabs();
  const leader = await openTab({ lastId: "90-0" });
  await leader.browser.request.startStream();
  await leader.browser.request.push(open({ id: "200-0", recovered: true }));
  const other = await openTab({ lastId: "95-0" });
  assert.equal(other.browser.requests.length, 0);
  assert.deepEqual(other.takeEvents(), ["open sse true"]);
});

test("a tab that resumes follows from its own last id", async () => {
  const { openTab, openLeader } = makeTabs();
  const leader = await openLeader();
  for (const id of ["101-0", "102-0", "103-0"]) await leader.browser.request.push(message(id));
  const { takeEvents, browser } = await openTab({ lastId: "101-0" });
  assert.deepEqual(takeEvents(), ["open sse true", "102-0 x", "103-0 x"]);
  assert.equal(browser.requests.length, 0);
});

test("a tab that needs more than the leader keeps has its own stream", async () => {
  const { openTab, openLeader } = makeTabs();
  const leader = await openLeader();
  const older = await openTab({ lastId: "99-0" });
  assert.match(older.browser.request.url, /last_id=99-0$/);
  for (let i = 1; i <= 501; i++) await leader.browser.request.push(message(`101-${i}`));
  assert.match((await openTab({ lastId: "101-0" })).browser.request.url, /last_id=101-0$/);
  assert.equal((await openTab({ lastId: "101-1" })).takeEvents().length, 501);
  const large = "x".repeat(200_000);
  await leader.browser.request.push(message("102-0", large) + message("103-0", large));
  assert.match((await openTab({ lastId: "101-501" })).browser.request.url, /last_id=101-501$/);
  assert.deepEqual((await openTab({ lastId: "102-0" })).takeEvents().length, 2);
  await older.browser.request.startStream();
  await older.browser.request.push(open({ recovered: true }));
  assert.deepEqual(older.takeEvents(), ["open sse true"]);
});

test("a first connection gets the messages since its token was made, once", async () => {
  const { openTab, openLeader } = makeTabs();
  const leader = await openLeader();
  await leader.browser.request.push(message("101-0") + message("102-0"));
  const token = tokenWith({ sub: "ann", pos: "101-0" });
  assert.deepEqual((await openTab({ token })).takeEvents(), ["open sse null", "102-0 x"]);
  assert.deepEqual(
    (await openTab({ token })).takeEvents(),
    ["open sse null"],
    "a pos is used once, as by the server",
  );
  const beforeAll = await openTab({ token: tokenWith({ sub: "bob", pos: "1-0" }) });
  assert.equal(beforeAll.browser.requests.length, 1, "another client's channel");
});

test("other clients and other groups have their own streams", async () => {
  const { openTab, openLeader } = makeTabs();
  await openLeader({ token: tokenWith({ sub: "ann", groups: ["a", "b"] }) });
  const same = await openTab({ token: tokenWith({ sub: "ann", groups: ["b", "a"], jti: "2" }) });
  assert.equal(same.browser.requests.length, 0);
  for (const claims of [{ sub: "ann" }, { sub: "ann", groups: ["a"] }, { sub: "bob", groups: ["a", "b"] }]) {
    assert.equal((await openTab({ token: tokenWith(claims) })).browser.requests.length, 1);
  }
  for (let i = 0; i < 2; i++) {
    assert.equal((await openTab({ token: "h.p.s" })).browser.requests.length, 1, "a token without claims");
  }
});

test("tabs wait for a leader that is still connecting", async () => {
  const { openTab } = makeTabs();
  const tabs = [await openTab(), await openTab()];
  await tabs[1]?.clock.advance(9_999);
  assert.equal(tabs[1]?.browser.requests.length, 0);
  await tabs[0]?.browser.request.startStream();
  await tabs[0]?.browser.request.push(open());
  for (const { takeEvents } of tabs) assert.deepEqual(takeEvents(), ["open sse null"]);
});

test("after a long outage there is one stream", async () => {
  const { openTab, openLeader } = makeTabs();
  const tabs = [await openLeader(), await openTab(), await openTab()];
  await tabs[0]?.browser.request.push(message("101-0"));
  for (const { takeEvents } of tabs) takeEvents();
  for (let seconds = 0; seconds < 90; seconds++) for (const { clock } of tabs) await clock.advance(1_000);
  const waiting = () => tabs.filter(({ browser: { requests } }) => requests.at(-1)?.isAborted === false);
  assert.equal(waiting().length, 0);
  const prober = tabs.find(({ browser: { sockets } }) => sockets.at(-1)?.closedWith === null);
  prober?.browser.socket.closeByServer(4001); // the network is back, and all tabs are told
  for (const { clock } of tabs) await clock.advance(1_000);
  assert.equal(waiting().length, 1);
  const [leader] = waiting();
  await leader?.browser.request.startStream();
  await leader?.browser.request.push(open({ id: "200-0", recovered: true }) + message("201-0"));
  for (const { clock } of tabs) await clock.advance(1_000);
  for (const { takeEvents } of tabs) assert.deepEqual(takeEvents().slice(-2), ["open sse true", "201-0 x"]);
  assert.equal(waiting().length, 1);
});

test("after a leader that never opened, the next tab names its own start", async () => {
  for (const end of ["breaks", "closes", "wakes", "times out"]) {
    const { openTab } = makeTabs();
    const leader = await openTab({ token: tokenWith({ sub: "ann", pos: "90-0" }) });
    const other = await openTab({ token: tokenWith({ sub: "ann", pos: "95-0" }) });
    await leader.browser.request.startStream();
    if (end === "breaks") await leader.browser.request.breakStream();
    else if (end === "closes") leader.connection.close();
    else if (end === "wakes") await leader.browser.goOnline();
    else await leader.clock.advance(10_000);
    await settle();
    assert.match(other.browser.request.url, /\/v1\/events\?since=95-0$/, end);
  }
});

test("a tab does not wait for a leader that does not answer", async () => {
  const { openTab, origin } = makeTabs();
  const name = 'headrace tabs https://push.example ["ann",[]]'; // held by a frozen tab
  void origin.locks.request(name, { signal: new AbortController().signal }, () => new Promise(() => {}));
  await settle();
  const second = await openTab();
  await second.clock.advance(1_999);
  assert.equal(second.browser.requests.length, 0);
  await second.clock.advance(1);
  await second.browser.request.startStream();
  await second.browser.request.push(open());
  assert.deepEqual(second.takeEvents(), ["open sse null"]);
});

test("a leader that freezes later is detected by the missing ping", async () => {
  const { openTab, openLeader } = makeTabs();
  const leader = await openLeader();
  const follower = await openTab();
  follower.takeEvents();
  await follower.clock.advance(30_000);
  await leader.browser.request.push(": ping\n\n");
  await follower.clock.advance(49_999);
  assert.deepEqual(follower.takeEvents(), []);
  await follower.clock.advance(1);
  assert.deepEqual(follower.takeEvents(), ["error 1006 nothing received for 50 s"]);
});

test("after a lost stream all tabs reconnect, and one leads", async () => {
  const { openTab, openLeader } = makeTabs();
  const tabs = [await openLeader(), await openTab(), await openTab()];
  await tabs[0]?.browser.request.push(message("101-0"));
  for (const { takeEvents } of tabs) takeEvents();
  await tabs[0]?.browser.request.breakStream();
  for (const { takeEvents } of tabs) assert.deepEqual(takeEvents(), ["error 1006 TypeError: network error"]);
  for (const { clock } of tabs) await clock.advance(500);
  const leaders = tabs.filter(({ browser: { requests } }) => requests.at(-1)?.url.endsWith("last_id=101-0"));
  assert.equal(leaders.length, 1);
  const [leader] = leaders;
  await leader?.browser.request.startStream();
  await leader?.browser.request.push(open({ id: "101-0", recovered: true }) + message("102-0"));
  for (const { takeEvents } of tabs) assert.deepEqual(takeEvents(), ["open sse true", "102-0 x"]);
});

test("a planned restart and a revocation reach every tab", async () => {
  const { openTab, openLeader } = makeTabs();
  const tabs = [await openLeader(), await openTab()];
  tabs[1]?.takeEvents();
  await tabs[0]?.browser.request.push('event: headrace\ndata: {"type":"reconnect","delay_ms":7000}\n\n');
  await tabs[0]?.browser.request.push(
    'event: headrace\ndata: {"type":"close","code":1012,"reason":"restart"}\n\n',
  );
  for (const { clock, takeEvents } of tabs) {
    assert.deepEqual(takeEvents(), ["error 1012 restart"]);
    assert.equal(clock.untilNext, 7_000);
  }
  const revoked = makeTabs();
  const both = [await revoked.openLeader(), await revoked.openTab()];
  both[1]?.takeEvents();
  await both[0]?.browser.request.push(
    'event: headrace\ndata: {"type":"close","code":4003,"reason":"revoked"}\n\n',
  );
  for (const { takeEvents } of both)
    assert.deepEqual(takeEvents(), ["fatal 4003 Token+revoked.", "close 4003"]);
  assert.equal(revoked.origin.queued, 0);
});

test("each tab renews its own token; the leader opens a new stream and no page notices", async () => {
  const { openTab, openLeader } = makeTabs();
  const fetcher = (name: string) => {
    const tokens: string[] = [];
    const token = () => {
      const made = tokenWith({ sub: "ann", jti: `${name} ${tokens.length}`, exp: 1_700_000_000 + 100 });
      tokens.push(made);
      return made;
    };
    return { token, tokens };
  };
  const [ofLeader, ofFollower] = [fetcher("leader"), fetcher("follower")];
  const leader = await openLeader({ token: ofLeader.token });
  const follower = await openTab({ token: ofFollower.token });
  follower.takeEvents();
  await leader.browser.request.push(message("101-0"));
  // The follower renews by its own expiry, not the leader's.
  for (let i = 0; i < 4; i++) {
    await leader.browser.request.push(": ping\n\n");
    await follower.clock.advance(24_000);
  }
  assert.equal(ofFollower.tokens.length, 2);
  assert.equal(follower.browser.requests.length, 0);

  await leader.browser.request.push(
    open({ expires_at: leader.clock.now / 1000 + 40, recovered: true, id: "101-0" }),
  );
  await leader.clock.advance(38_000);
  assert.equal(leader.browser.requests.length, 2);
  assert.equal(leader.browser.request.headers.get("authorization"), `Bearer ${ofLeader.tokens[1]}`);
  assert.match(leader.browser.request.url, /last_id=101-0$/);
  await leader.browser.request.startStream();
  await leader.browser.request.push(open({ id: "101-0", recovered: true }) + message("102-0"));
  for (const { takeEvents } of [leader, follower]) assert.deepEqual(takeEvents(), ["101-0 x", "102-0 x"]);

  leader.connection.close();
  await settle();
  assert.equal(follower.browser.request.headers.get("authorization"), `Bearer ${ofFollower.tokens[1]}`);
});

test("a page without BroadcastChannel or locks has its own stream", async () => {
  const forbidden = () => {
    throw new DOMException("no origin", "SecurityError");
  };
  const noBroadcast = new FakeBrowser(1, new FakeOrigin());
  noBroadcast.platform.BroadcastChannel = forbidden as unknown as typeof BroadcastChannel;
  connect(noBroadcast, { token: ANN, transports: ["sse"] });
  await settle();
  assert.equal(noBroadcast.requests.length, 1);
  const noLocks = new FakeBrowser(1, new FakeOrigin());
  noLocks.platform.locks = { request: async () => forbidden() } as unknown as LockManager;
  connect(noLocks, { token: ANN, transports: ["sse"] });
  await noLocks.clock.advance(2_000);
  assert.equal(noLocks.requests.length, 1);
});

test("closing two tabs during a broadcast leaves no lock and no timer", async () => {
  const { origin, openTab, openLeader } = makeTabs();
  const leader = await openLeader();
  const follower = await openTab();
  leader.connection.close();
  follower.connection.close();
  follower.connection.close();
  await settle();
  assert.equal(origin.queued, 0);
  assert.equal(leader.clock.timers.size + follower.clock.timers.size, 0);
});
