// A laptop that sleeps: its connection to the server is interrupted for a while, and then restored.
//
//     node tests/browser/sleep.mjs --seconds 300 --how silent
//
// is a long run with the server's default ping interval; sleep.test.mjs has a short one. It needs root.

import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { API_KEY, mintToken } from "./helpers/api.mjs";
import { launchBrowser, monitorPage } from "./helpers/browser.mjs";
import { missingForNetwork, OUTAGES, startNetwork } from "./helpers/laptop_network.mjs";
import {
  countEvents,
  FALLBACK,
  openRecordedChannel,
  recordedEvents,
  waitForEvent,
  waitUntilOpen,
} from "./helpers/recording_page.mjs";
import { startServer } from "./helpers/server.mjs";

/** The longest time from the end of the outage until a page has everything. */
const CATCH_UP_MS = 5_000;
/** Added to limits: the resolution of the server's timers, the polling here, and a busy machine. */
const TOLERANCE_MS = 1_000;
/** A long poll has no ping; its response comes after this time at the latest. */
const POLL_INTERVAL_MS = 25_000;
/** Messages before, during and after the outage. */
const MESSAGES_BEFORE = 3;
const MESSAGES_DURING_MAX = 120;
const MESSAGE_INTERVAL_MIN_MS = 200;
const MESSAGES_AFTER = 3;

/** The clients on the laptop: their transport and their number of tabs. */
export const CLIENTS = [
  { id: "WebSocket", transport: "websocket", tabs: 1 },
  { id: "event stream in two tabs", transport: "sse", tabs: 2 },
  { id: "long poll", transport: "poll", tabs: 1 },
  { id: "all transports", transport: FALLBACK, tabs: 1 },
];

/** Starts a laptop with pages of all `clients`, connected to a server; `env` adds to its settings. */
export async function startLaptop({ env = {}, clients = CLIENTS } = {}) {
  const network = await startNetwork();
  let server;
  let browser;
  const laptop = {
    network,
    clients: [],
    async stop() {
      await browser?.close();
      await server?.stop();
      await network.stop();
    },
  };
  try {
    server = await startServer({ env: { HEADRACE_HOST: network.serverAddress, ...env } });
    laptop.url = server.url;
    // As with HTTPS: without a secure context there are no locks, and tabs do not share a connection.
    const flags = [`--unsafely-treat-insecure-origin-as-secure=${server.url}`];
    browser = await launchBrowser({ executablePath: network.browserPath, flags });
    laptop.clients = await Promise.all(clients.map((client) => openTabs(browser, server.url, client)));
  } catch (error) {
    await laptop.stop();
    throw error;
  }
  return laptop;
}

/** Opens the tabs of a client, one after the other. */
async function openTabs(browser, url, client) {
  const context = await browser.newContext();
  const pages = [];
  for (let tab = 0; tab < client.tabs; tab += 1) {
    const page = monitorPage(await context.newPage());
    await page.goto(`${url}/healthz`);
    const token = mintToken(client.id, 3600);
    await openRecordedChannel(page, { url, token, transport: client.transport });
    await waitUntilOpen(page);
    pages.push(page);
  }
  return { ...client, pages, sent: 0 };
}

/**
 * Interrupts the laptop's connection for `outageMs` while messages are sent. Returns a row for each
 * page. Fails if a page does not receive every message once, in order and in time.
 */
export async function sleepThrough({ laptop, outage, outageMs, pingIntervalMs }) {
  const { url, network, clients } = laptop;
  const firstEvents = await Promise.all(
    clients.map(({ pages }) => Promise.all(pages.map((page) => countEvents(page)))),
  );
  const sentBefore = clients.map(({ sent }) => sent);
  await sendToAll(laptop, MESSAGES_BEFORE);
  await waitForAllMessages(laptop, CATCH_UP_MS);

  const disconnectedAt = Date.now();
  network.disconnect(outage);
  const serverNoticedMs = await sendDuringOutage(laptop, disconnectedAt, outageMs);
  const reconnectedAt = Date.now();
  network.reconnect(outage);
  await waitForAllMessages(laptop, CATCH_UP_MS * 20); // late is not lost: the rows have the time
  await sendToAll(laptop, MESSAGES_AFTER);
  await waitForAllMessages(laptop, CATCH_UP_MS);

  const rows = [];
  for (const [index, client] of clients.entries()) {
    const expected = numbersBetween(sentBefore[index] + 1, client.sent);
    const sessions = await countSessions(url, client.id);
    for (const [tab, page] of client.pages.entries()) {
      const events = await recordedEvents(page, firstEvents[index][tab]);
      const received = events.filter(({ type }) => type === "message");
      assert.deepEqual(
        received.map(({ data }) => data),
        expected,
        `${client.id}: every message once and in order`,
      );
      rows.push({
        client: client.id,
        interval: client.transport === "poll" ? POLL_INTERVAL_MS : pingIntervalMs,
        serverNoticedMs: serverNoticedMs[index],
        messages: received.length,
        sessions,
        ...summarize(events, received, disconnectedAt, reconnectedAt),
      });
    }
  }
  return rows;
}

/** Sends messages during the outage. Returns when the server had no session left, for each client. */
async function sendDuringOutage(laptop, disconnectedAt, outageMs) {
  const { url, clients } = laptop;
  const end = disconnectedAt + outageMs;
  const noticedMs = clients.map(() => null);
  const intervalMs = Math.max(MESSAGE_INTERVAL_MIN_MS, outageMs / MESSAGES_DURING_MAX);
  let nextAt = disconnectedAt + MESSAGE_INTERVAL_MIN_MS;
  while (Date.now() < end) {
    if (Date.now() >= nextAt && nextAt < end - MESSAGE_INTERVAL_MIN_MS) {
      await sendToAll(laptop, 1);
      nextAt += intervalMs;
    }
    for (const [index, { id }] of clients.entries()) {
      if ((await countSessions(url, id)) === 0) noticedMs[index] ??= Date.now() - disconnectedAt;
    }
    await pause(Math.min(50, Math.max(0, end - Date.now()))); // the outage itself takes this time
  }
  return noticedMs;
}

/** Returns the part of a row that follows from the events of a page. */
function summarize(events, received, disconnectedAt, reconnectedAt) {
  const lastOfOutage = received[received.length - MESSAGES_AFTER - 1];
  const lost = events.find(({ type, at }) => type === "error" && at >= disconnectedAt);
  const opened = events.find(({ type, at }) => type === "open" && at >= reconnectedAt);
  const falselyOpened = events.some(
    ({ type, at }) => type === "open" && at > disconnectedAt + 100 && at < reconnectedAt,
  );
  return {
    pageNoticedMs: lost ? lost.at - disconnectedAt : null,
    reopenedMs: opened ? opened.at - reconnectedAt : null,
    caughtUpMs: lastOfOutage.at - reconnectedAt,
    transport: opened?.transport ?? null,
    falselyOpened,
    gaps: events.filter(({ type }) => type === "gap").length,
    errors: events.filter(({ type }) => type === "error").length,
  };
}

/** Returns the violations of a row, as lines. */
export function violationsOf(row, outageMs) {
  const violations = [];
  const limitMs = 2 * row.interval + TOLERANCE_MS;
  const isLate = (ms) => outageMs > limitMs && (ms === null || ms > limitMs);
  if (isLate(row.pageNoticedMs)) violations.push(`the page noticed after ${row.pageNoticedMs} ms`);
  if (isLate(row.serverNoticedMs)) violations.push(`the server noticed after ${row.serverNoticedMs} ms`);
  if (row.falselyOpened) violations.push("the page received an open event during the outage");
  if (row.caughtUpMs > CATCH_UP_MS) violations.push(`the page caught up after ${row.caughtUpMs} ms`);
  if (row.gaps) violations.push(`the page received ${row.gaps} gap events`);
  if (row.transport === "sse" && row.sessions !== 1)
    violations.push(`the tabs have ${row.sessions} connections`);
  return violations.map((violation) => `${row.client}: ${violation}`);
}

/** Sends `count` more messages to each client; the data of a message is its number. */
async function sendToAll({ url, clients }, count) {
  const lines = clients.flatMap((client) => {
    const first = client.sent + 1;
    client.sent += count;
    return numbersBetween(first, client.sent).map((data) => JSON.stringify({ to: client.id, data }));
  });
  const response = await fetch(`${url}/v1/send/batch`, {
    method: "POST",
    headers: { authorization: `Bearer ${API_KEY}`, "content-type": "application/x-ndjson" },
    body: lines.join("\n"),
  });
  const results = (await response.text())
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  assert.ok(results.length === lines.length && results.every(({ id }) => id), JSON.stringify(results));
}

function waitForAllMessages({ clients }, timeout) {
  return Promise.all(
    clients.flatMap(({ pages, sent }) =>
      pages.map((page) => waitForEvent(page, "message", "data", String(sent), timeout)),
    ),
  );
}

async function countSessions(url, client) {
  const response = await fetch(`${url}/v1/presence/${encodeURIComponent(client)}`, {
    headers: { authorization: `Bearer ${API_KEY}` },
  });
  return (await response.json()).sessions;
}

function numbersBetween(first, last) {
  return Array.from({ length: last - first + 1 }, (_, index) => String(first + index));
}

async function main() {
  const { values } = parseArgs({
    options: {
      seconds: { type: "string", default: "300" },
      how: { type: "string", default: OUTAGES.silent },
      "ping-interval": { type: "string", default: "25" },
    },
  });
  const missing = missingForNetwork();
  if (missing) throw new Error(`this program ${missing}`);
  const outageMs = Number(values.seconds) * 1000;
  const env = {
    HEADRACE_PING_INTERVAL_S: values["ping-interval"],
    HEADRACE_HISTORY_MAX_AGE_S: String(outageMs / 1000 + 60), // the default may be shorter than the outage
  };
  const laptop = await startLaptop({ env });
  try {
    const pingIntervalMs = Number(values["ping-interval"]) * 1000;
    const rows = await sleepThrough({ laptop, outage: values.how, outageMs, pingIntervalMs });
    console.table(rows);
    const violations = rows.flatMap((row) => violationsOf(row, outageMs));
    console.log(violations.join("\n") || `PASS: ${outageMs / 1000} s, ${values.how}`);
    process.exitCode = violations.length ? 1 : 0;
  } finally {
    await laptop.stop();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
