// Losslessness in pages: connections break at random bytes and the server is restarted, handed over
// and killed while pages in Chromium receive messages over every transport.
//
//     node tests/browser/lossless.mjs --seed 1 --messages 20000 --faults 300 --drops 0.2 --restarts 6 --kills 2 --tabs 7
//
// is a long run; lossless.test.mjs has a short one. The seed determines every choice.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { post } from "./helpers/api.mjs";
import { launchBrowser, monitorPage } from "./helpers/browser.mjs";
import { startFaultProxy } from "./helpers/fault_proxy.mjs";
import { Publisher } from "./helpers/publisher.mjs";
import { seededRandom } from "./helpers/random.mjs";
import {
  FALLBACK,
  openRecordedChannel,
  recordedEvents,
  waitForEvent,
  waitUntilOpen,
} from "./helpers/recording_page.mjs";
import { spawnServer, startServer } from "./helpers/server.mjs";
import { verify } from "./helpers/verification.mjs";

/** The longest time from the last fault until every page has everything. */
const FINISH_TIMEOUT_MS = 15_000;
const GROUPS = ["red", "green", "blue"];
const ENV = {
  HEADRACE_ALLOWED_ORIGINS: "*", // pages are loaded from the server, but connect to the proxies
  HEADRACE_PING_INTERVAL_S: "1",
  HEADRACE_DRAIN_S: "1",
  HEADRACE_HISTORY_MAX_AGE_S: "3600",
};

/** How a process of the server ends and the next one starts. */
const SHUTDOWNS = {
  async restart(run) {
    await run.server.stop();
    run.server = await startServer(run.serverOptions);
  },
  async handover(run) {
    const successor = spawnServer(run.serverOptions);
    await successor.standby;
    [run.server] = await Promise.all([successor.ready, run.server.stop()]);
  },
  async kill(run) {
    await run.server.kill();
    const afterAll = [Date.now(), Number(run.publisher.latestId.split("-")[0]) + 1];
    run.crashes.push(`${Math.max(...afterAll)}-0`);
    run.server = await startServer(run.serverOptions);
  },
};

/** The options of the short run. */
export const SHORT_RUN = {
  seed: 1,
  messages: 2_000,
  faults: 30,
  /** The share of faults that drop all bytes without notice. Each costs a page seconds. */
  drops: 0,
  /** Every second one is a handover. */
  restarts: 2,
  kills: 1,
  /** Of the client that has several. */
  tabs: 3,
  /** Messages per second. */
  rate: 300,
};

/** Runs once; returns the rows and violations of the verification, and counts. */
export async function run(options) {
  const stateDirectory = mkdtempSync(join(tmpdir(), "headrace-pages-"));
  const losslessRun = new LosslessRun({ ...SHORT_RUN, ...options }, stateDirectory);
  try {
    return await losslessRun.result();
  } finally {
    await losslessRun.stop();
    rmSync(stateDirectory, { recursive: true });
  }
}

class LosslessRun {
  crashes = [];
  #counts = {};
  #proxies = [];
  #pages = [];
  #shutdowns = Promise.resolve();

  constructor(options, stateDirectory) {
    this.options = options;
    this.serverOptions = { env: { ...ENV, HEADRACE_STATE_DIR: stateDirectory } };
  }

  async result() {
    const { seed, messages, rate } = this.options;
    [this.server, this.browser] = await Promise.all([startServer(this.serverOptions), launchBrowser()]);
    this.serverOptions.port = this.server.port;
    const clients = makeClients(this.options, seededRandom(`${seed} clients`));
    this.publisher = new Publisher(this.server.url, clients, seededRandom(`${seed} messages`));
    await this.#openPages(clients);
    const schedule = this.#makeSchedule();
    await this.publisher.publish(messages, rate, (done) => {
      while (schedule.length && schedule[0].share * messages <= done) this.#start(schedule.shift());
    });
    await this.#shutdowns;
    const last = await this.publisher.publishTo({ everyone: true });
    const unfinished = [];
    for (const { page, name } of this.#pages) {
      await waitForEvent(page, "message", "data", last, FINISH_TIMEOUT_MS).catch((error) =>
        unfinished.push(`${name}: ${error}`),
      );
    }
    return this.#verify(unfinished);
  }

  async stop() {
    await this.#shutdowns.catch(() => {}); // the publisher has reported it
    await this.browser?.close();
    await Promise.all(this.#proxies.map((proxy) => proxy.stop()));
    await this.server?.stop();
  }

  /** Opens all pages. Each misses messages before it is connected, and its first connection breaks. */
  async #openPages(clients) {
    for (const client of clients) {
      client.proxy = await startFaultProxy(this.server.port, (kind) => this.#count(kind));
    }
    this.#proxies = clients.map(({ proxy }) => proxy);
    const opened = await Promise.all(clients.map((client) => this.#openPagesOf(client)));
    this.#pages = opened.flat();
    for (const { page } of this.#pages) await waitUntilOpen(page);
  }

  async #openPagesOf(client) {
    const { id, groups, proxy, transport } = client;
    const random = seededRandom(`${this.options.seed} ${id}`);
    const context = await this.browser.newContext();
    const pages = [];
    for (let tab = 0; tab < client.tabs; tab += 1) {
      const page = monitorPage(await context.newPage());
      await page.goto(`${this.server.url}/healthz`);
      await page.evaluate(shortenBackoff, Math.floor(random() * 2 ** 32));
      const { token } = await post(this.server.url, "/v1/channels", { client_id: id, groups });
      for (let missed = 0; missed < 3; missed += 1) await this.publisher.publishTo({ to: id });
      // A browser repeats an HTTP request by itself if the connection breaks before the response's
      // head. Then nobody can know what the first response contained.
      if (transport === "websocket") proxy.inject(randomFirstFault(random));
      await openRecordedChannel(page, { url: proxy.url, token, transport });
      const name = client.tabs > 1 ? `${id}, tab ${tab + 1}` : id;
      pages.push({ page, name, client: id, position: posClaim(token) });
    }
    return pages;
  }

  /** Returns the actions and the share of the messages after which each is due, the first one first. */
  #makeSchedule() {
    const { seed, faults, drops, restarts, kills } = this.options;
    const random = seededRandom(`${seed} faults`);
    const schedule = [];
    for (let number = 0; number < faults; number += 1) {
      const index = Math.floor(random() * this.#proxies.length);
      const fault = randomFault(this.publisher.clients[index], random, drops);
      schedule.push({ share: random(), action: () => this.#proxies[index].inject(fault) });
    }
    const shutdowns = Array.from({ length: restarts }, (_, number) => (number % 2 ? "handover" : "restart"));
    for (let number = 0; number < kills; number += 1) {
      shutdowns.splice(Math.floor(random() * (shutdowns.length + 1)), 0, "kill");
    }
    for (const [index, shutdown] of shutdowns.entries()) {
      schedule.push({ share: (index + 1) / (shutdowns.length + 1), shutdown });
    }
    return schedule.sort((one, other) => one.share - other.share);
  }

  #start({ action, shutdown }) {
    if (action) {
      action();
      return;
    }
    this.#shutdowns = this.#shutdowns.then(async () => {
      this.#count(shutdown);
      await SHUTDOWNS[shutdown](this);
      this.publisher.epoch += 1;
    });
    this.#shutdowns.catch((error) => this.publisher.abort(error));
  }

  #count(kind) {
    this.#counts[kind] = (this.#counts[kind] ?? 0) + 1;
  }

  async #verify(unfinished) {
    const { sent, retries } = this.publisher;
    const pages = [];
    for (const { page, name, client, position } of this.#pages) {
      pages.push({ name, client, position, events: await recordedEvents(page) });
    }
    const { rows, violations } = verify(pages, sent, this.crashes);
    return {
      rows,
      violations: [...unfinished, ...violations],
      counts: this.#counts,
      accepted: sent.size,
      retries,
      pages,
    };
  }
}

/** Returns the clients. One has several tabs, in a long run more than a browser opens connections. */
function makeClients({ tabs }, random) {
  return [
    { id: "WebSocket 1", transport: "websocket", tabs: 1 },
    { id: "WebSocket 2", transport: "websocket", tabs: 1 },
    { id: "event stream", transport: "sse", tabs: 1 },
    { id: "shared event stream", transport: "sse", tabs },
    { id: "long poll 1", transport: "poll", tabs: 1 },
    { id: "long poll 2", transport: "poll", tabs: 1 },
    { id: "all transports", transport: FALLBACK, tabs: 1 },
  ].map((client) => ({ ...client, groups: GROUPS.filter(() => random() < 0.6) }));
}

/**
 * Runs in a page. Replaces `Math.random`, which determines the backoff, by a function that returns the
 * same low numbers for the same seed, because faults are more frequent here than in practice.
 */
function shortenBackoff(seed) {
  let state = seed;
  Math.random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state / 2 ** 32) * 0.1;
  };
}

/** Returns a fault of a first connection, often within its head or the messages that were missed. */
function randomFirstFault(random) {
  return {
    kind: random() < 0.5 ? "reset" : "close",
    upstream: false,
    afterBytes: Math.floor(2 ** (random() * 10)),
  };
}

/** Returns a fault at a random byte, often within a request, a head or the first events. */
function randomFault({ transport }, random, drops) {
  const kinds = ["reset", "reset", "close", "close", "stall"];
  const mayDrop = transport !== "poll" && transport !== FALLBACK; // a poll's timeout is too long
  const upstream = random() < 0.2;
  return {
    kind: random() < drops && mayDrop ? "drop" : kinds[Math.floor(random() * kinds.length)],
    upstream,
    afterBytes: Math.floor(2 ** (random() * (upstream ? 9 : 12))),
    stallMs: 200 + random() * 1_500,
  };
}

/** Returns the `pos` claim of a token: where its first connection starts. */
function posClaim(token) {
  return JSON.parse(Buffer.from(token.split(".")[1], "base64url")).pos;
}

/** Prints the result of a run. */
export function printReport({ rows, violations, counts, accepted, retries, pages }) {
  console.table(rows);
  console.log(`${accepted} messages, ${retries} requests repeated; ${JSON.stringify(counts)}`);
  for (const violation of violations.slice(0, 20)) console.log(violation);
  const failed = pages.filter(({ name }) => violations.some((line) => line.startsWith(`${name}:`)));
  for (const { name, events } of failed.slice(0, 3)) {
    console.log(`\n${name}:`);
    for (const event of events.filter(({ type }) => type !== "message").slice(-40))
      console.log(JSON.stringify(event));
  }
  console.log(violations.length ? `FAIL: ${violations.length} violations` : "PASS: no violations");
}

async function main() {
  const names = Object.entries(SHORT_RUN).map(([name, value]) => [
    name,
    { type: "string", default: String(value) },
  ]);
  const { values } = parseArgs({ options: Object.fromEntries(names) });
  const result = await run(
    Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Number(value)])),
  );
  printReport(result);
  process.exitCode = result.violations.length ? 1 : 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
