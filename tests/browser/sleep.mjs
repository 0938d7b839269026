// A laptop that sleeps: its way to the server is cut for a while, and then mended.
//
//     node tests/browser/sleep.mjs --seconds 300 --how silent
//
// is the long form of sleep.test.mjs, with the server's own ping interval. It needs root.

import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { API_KEY, launchBrowser, startServer, tokenFor, watch } from "./harness.mjs";
import { connected, LADDER, listen, noted, notesOf } from "./listener.mjs";
import { CUTS, missingForNetwork, startNetwork } from "./network.mjs";

/** The most that it may take after the mending until a page has everything. */
const BACK_MS = 5_000;
/** What is added by ticks of the server's timers, by looking at it from time to time, and by a busy machine. */
const GRAIN_MS = 1_000;
/** A long poll has no ping; instead of one it is answered at least so often. */
const POLL_INTERVAL_MS = 25_000;
/** Before, during (so many at most, so often at most) and after the cut. */
const BEFORE = 3;
const DURING_MAX = 120;
const DURING_EVERY_MS = 200;
const AFTER = 3;

/** The clients on the laptop: how each is connected, and in how many tabs. */
export const CLIENTS = [
  { id: "a WebSocket", transport: "websocket", tabs: 1 },
  { id: "an event stream in two tabs", transport: "sse", tabs: 2 },
  { id: "a long poll", transport: "poll", tabs: 1 },
  { id: "whatever works", transport: LADDER, tabs: 1 },
];

/** A laptop with pages of all `clients`, connected to a server whose settings `env` adds to. */
export async function startLaptop({ env = {}, clients = CLIENTS } = {}) {
  const network = await startNetwork();
  let server;
  let browser;
  const laptop = {
    network,
    listeners: [],
    async stop() {
      await browser?.close();
      await server?.stop();
      await network.stop();
    },
  };
  try {
    server = await startServer({ env: { HEADRACE_HOST: network.server, ...env } });
    laptop.url = server.url;
    // As if it were HTTPS: else there is no lock, and tabs do not share.
    const flags = [`--unsafely-treat-insecure-origin-as-secure=${server.url}`];
    browser = await launchBrowser({ executablePath: network.browser, flags });
    laptop.listeners = await Promise.all(clients.map((client) => openTabs(browser, server.url, client)));
  } catch (error) {
    await laptop.stop();
    throw error;
  }
  return laptop;
}

/** Open the tabs of a client, one after the other. */
async function openTabs(browser, url, client) {
  const context = await browser.newContext();
  const pages = [];
  for (let tab = 0; tab < client.tabs; tab += 1) {
    const page = watch(await context.newPage());
    await page.goto(`${url}/healthz`);
    await listen(page, { url, token: tokenFor(client.id, 3600), transport: client.transport });
    await connected(page);
    pages.push(page);
  }
  return { ...client, pages, sent: 0 };
}

/**
 * Cut the laptop off for `cutMs`, while messages are sent all the time; returns what happened, a
 * row for each page. Fails where a page does not have every message once and in order in time.
 */
export async function sleepThrough({ laptop, how, cutMs, pingIntervalMs }) {
  const { url, network, listeners } = laptop;
  const from = await Promise.all(
    listeners.map(({ pages }) => Promise.all(pages.map((page) => countNotes(page)))),
  );
  const before = listeners.map(({ sent }) => sent);
  await sendToAll(laptop, BEFORE);
  await everybodyHas(laptop, BACK_MS);

  const cutAt = Date.now();
  network.cut(how);
  const serverNoticed = listeners.map(() => null);
  const every = Math.max(DURING_EVERY_MS, cutMs / DURING_MAX);
  let nextAt = cutAt + DURING_EVERY_MS;
  while (Date.now() < cutAt + cutMs) {
    if (Date.now() >= nextAt && nextAt < cutAt + cutMs - DURING_EVERY_MS) {
      await sendToAll(laptop, 1);
      nextAt += every;
    }
    for (const [index, { id }] of listeners.entries()) {
      if ((await sessionsOf(url, id)) === 0) serverNoticed[index] ??= Date.now() - cutAt;
    }
    await pause(Math.min(50, Math.max(0, cutAt + cutMs - Date.now())));
  }

  const mendedAt = Date.now();
  network.mend(how);
  await everybodyHas(laptop, BACK_MS * 20); // late is not lost: the figures say how late
  await sendToAll(laptop, AFTER);
  await everybodyHas(laptop, BACK_MS);

  const rows = [];
  for (const [index, listener] of listeners.entries()) {
    const expected = numbers(before[index] + 1, listener.sent);
    const sessions = await sessionsOf(url, listener.id);
    for (const [tab, page] of listener.pages.entries()) {
      const notes = await notesOf(page, from[index][tab]);
      const received = notes.filter(({ type }) => type === "message");
      const ofCut = received[received.length - AFTER - 1];
      const left = notes.find(({ type, at }) => type === "error" && at >= cutAt);
      const opened = notes.find(({ type, at }) => type === "open" && at >= mendedAt);
      const falselyOpen = notes.find(({ type, at }) => type === "open" && at > cutAt + 100 && at < mendedAt);
      assert.deepEqual(
        received.map(({ data }) => data),
        expected,
        `${listener.id}: every message once and in order`,
      );
      rows.push({
        client: listener.id,
        interval: listener.transport === "poll" ? POLL_INTERVAL_MS : pingIntervalMs,
        pageNoticedMs: left ? left.at - cutAt : null,
        serverNoticedMs: serverNoticed[index],
        openAgainMs: opened ? opened.at - mendedAt : null,
        hasAllMs: ofCut.at - mendedAt,
        messages: received.length,
        transport: opened?.transport ?? null,
        falselyOpen: falselyOpen !== undefined,
        gaps: notes.filter(({ type }) => type === "gap").length,
        sessions,
        errors: notes.filter(({ type }) => type === "error").length,
      });
    }
  }
  return rows;
}

/** What is wrong with a row; nothing if the page and the server did as they should. */
export function faultsOf(row, cutMs) {
  const faults = [];
  const limit = 2 * row.interval + GRAIN_MS;
  const late = (ms) => ms === null || ms > limit;
  if (cutMs > limit && late(row.pageNoticedMs)) faults.push(`the page noticed after ${row.pageNoticedMs} ms`);
  if (cutMs > limit && late(row.serverNoticedMs))
    faults.push(`the server noticed after ${row.serverNoticedMs} ms`);
  if (row.falselyOpen) faults.push("the page was told that it is connected while it was not");
  if (row.hasAllMs > BACK_MS) faults.push(`it had everything ${row.hasAllMs} ms after the mending`);
  if (row.gaps) faults.push(`it was told of ${row.gaps} gaps`);
  if (row.transport === "sse" && row.sessions !== 1) faults.push(`its tabs have ${row.sessions} connections`);
  return faults.map((fault) => `${row.client}: ${fault}`);
}

function countNotes(page) {
  return page.evaluate(() => window.notes.length);
}

/** Send `count` further messages to each client; their data is their number. */
async function sendToAll({ url, listeners }, count) {
  const lines = listeners.flatMap((listener) => {
    const first = listener.sent + 1;
    listener.sent += count;
    return numbers(first, listener.sent).map((data) => JSON.stringify({ to: listener.id, data }));
  });
  const response = await fetch(`${url}/v1/send/batch`, {
    method: "POST",
    headers: { authorization: `Bearer ${API_KEY}`, "content-type": "application/x-ndjson" },
    body: lines.join("\n"),
  });
  const answers = (await response.text())
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  assert.ok(answers.length === lines.length && answers.every(({ id }) => id), JSON.stringify(answers));
}

function everybodyHas({ listeners }, timeout) {
  return Promise.all(
    listeners.flatMap(({ pages, sent }) =>
      pages.map((page) => noted(page, "message", "data", String(sent), timeout)),
    ),
  );
}

async function sessionsOf(url, client) {
  const response = await fetch(`${url}/v1/presence/${encodeURIComponent(client)}`, {
    headers: { authorization: `Bearer ${API_KEY}` },
  });
  return (await response.json()).sessions;
}

function numbers(first, last) {
  return Array.from({ length: last - first + 1 }, (_, index) => String(first + index));
}

async function main() {
  const { values } = parseArgs({
    options: {
      seconds: { type: "string", default: "300" },
      how: { type: "string", default: CUTS.silent },
      "ping-interval": { type: "string", default: "25" },
    },
  });
  const missing = missingForNetwork();
  if (missing) throw new Error(`it ${missing}`);
  const cutMs = Number(values.seconds) * 1000;
  const env = {
    HEADRACE_PING_INTERVAL_S: values["ping-interval"],
    HEADRACE_HISTORY_MAX_AGE_S: String(cutMs / 1000 + 60), // by default it is shorter than such a cut
  };
  const laptop = await startLaptop({ env });
  try {
    const pingIntervalMs = Number(values["ping-interval"]) * 1000;
    const rows = await sleepThrough({ laptop, how: values.how, cutMs, pingIntervalMs });
    console.table(rows);
    const faults = rows.flatMap((row) => faultsOf(row, cutMs));
    console.log(faults.join("\n") || `${cutMs / 1000} s, ${values.how}: as it should be`);
    process.exitCode = faults.length ? 1 : 0;
  } finally {
    await laptop.stop();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
