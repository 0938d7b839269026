// Losslessness in pages: connections break at random bytes, the server is restarted, handed over
// and killed, while Chromium's pages listen over every transport.
//
//     node tests/browser/lossless.mjs --seed 1 --messages 20000 --faults 300 --drops 0.2 --restarts 6 --kills 2 --tabs 7
//
// is the long form of lossless.test.mjs. The seed decides every choice.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { openGate } from "./gate.mjs";
import { ask, beginServer, launchBrowser, startServer, watch } from "./harness.mjs";
import { connected, LADDER, listen, noted, notesOf } from "./listener.mjs";
import { judge, Publisher } from "./stream.mjs";

/** From the end of the faults until every page has everything. */
const END_TIMEOUT_MS = 15_000;
const GROUPS = ["red", "green", "blue"];
const ENV = {
  HEADRACE_ALLOWED_ORIGINS: "*", // pages come from the server, and connect through gates
  HEADRACE_PING_INTERVAL_S: "1",
  HEADRACE_DRAIN_S: "1",
  HEADRACE_HISTORY_MAX_AGE_S: "3600",
};

/** How a life of the server ends, and the next one begins. */
const ENDS = {
  async restart(run) {
    await run.server.stop();
    run.server = await startServer(run.options);
  },
  async handover(run) {
    const successor = beginServer(run.options);
    await successor.waiting;
    [run.server] = await Promise.all([successor.ready, run.server.stop()]);
  },
  async kill(run) {
    await run.server.kill();
    const afterAll = [Date.now(), Number(run.publisher.latest.split("-")[0]) + 1];
    run.crashes.push(`${Math.max(...afterAll)}-0`);
    run.server = await startServer(run.options);
  },
};

/** The default run, of the test suite. */
export const SHORT = {
  seed: 1,
  messages: 2_000,
  faults: 30,
  /** The share of faults that no one is told of; each costs a page seconds. */
  drops: 0,
  /** Every second one is a handover. */
  restarts: 2,
  kills: 1,
  /** Of the client that has several. */
  tabs: 3,
  /** Messages a second. */
  rate: 300,
};

/** One run; returns rows and faults of the verdict, and counts of what happened. */
export async function run(given) {
  const options = { ...SHORT, ...given };
  const state = mkdtempSync(join(tmpdir(), "headrace-pages-"));
  const course = new Course(options, state);
  try {
    return await course.result();
  } finally {
    await course.stop();
    rmSync(state, { recursive: true });
  }
}

class Course {
  crashes = [];
  happened = {};
  #gates = [];
  #pages = [];

  constructor(given, state) {
    this.given = given;
    this.options = { env: { ...ENV, HEADRACE_STATE_DIR: state } };
  }

  async result() {
    const { seed, messages, rate } = this.given;
    [this.server, this.browser] = await Promise.all([startServer(this.options), launchBrowser()]);
    this.options.port = this.server.port;
    const clients = clientsOf(this.given, randomOf(`${seed} clients`));
    this.publisher = new Publisher(this.server.url, clients, randomOf(`${seed} messages`));
    await this.#openPages(clients);
    const plan = this.#plan();
    await this.publisher.publish(messages, rate, (done) => {
      while (plan.length && plan[0].share * messages <= done) this.#begin(plan.shift());
    });
    await this.#ending;
    const last = await this.publisher.say({ everyone: true });
    const stuck = [];
    for (const { page, name } of this.#pages) {
      await noted(page, "message", "data", last, END_TIMEOUT_MS).catch((error) =>
        stuck.push(`${name}: ${error}`),
      );
    }
    return this.#judge(stuck);
  }

  async stop() {
    await this.#ending.catch(() => {}); // the publisher has told it
    await this.browser?.close();
    await Promise.all(this.#gates.map((gate) => gate.stop()));
    await this.server?.stop();
  }

  /** Open all pages, while each already misses messages and its first connection breaks. */
  async #openPages(clients) {
    for (const client of clients) client.gate = await openGate(this.server.port, (kind) => this.#count(kind));
    this.#gates = clients.map(({ gate }) => gate);
    const opened = await Promise.all(clients.map((client) => this.#openPagesOf(client)));
    this.#pages = opened.flat();
    for (const { page } of this.#pages) await connected(page);
  }

  async #openPagesOf(client) {
    const { id, groups, gate, transport } = client;
    const random = randomOf(`${this.given.seed} ${id}`);
    const context = await this.browser.newContext();
    const pages = [];
    for (let tab = 0; tab < client.tabs; tab += 1) {
      const page = watch(await context.newPage());
      await page.goto(`${this.server.url}/healthz`);
      await page.evaluate(haste, Math.floor(random() * 2 ** 32));
      const { token } = await ask(this.server.url, "/v1/channels", { client_id: id, groups });
      for (let missed = 0; missed < 3; missed += 1) await this.publisher.say({ to: id });
      // A browser repeats by itself what it asked for over HTTP, if the line breaks before the
      // answer's head; then nobody can know what was in the first answer.
      if (transport === "websocket") gate.arm(firstFault(random));
      await listen(page, { url: gate.url, token, transport });
      const name = client.tabs > 1 ? `${id}, tab ${tab + 1}` : id;
      pages.push({ page, name, client: id, began: posOf(token) });
    }
    return pages;
  }

  /** What is to happen, and after which share of the messages; the first comes first. */
  #plan() {
    const { seed, faults, drops, restarts, kills } = this.given;
    const random = randomOf(`${seed} faults`);
    const plan = [];
    for (let number = 0; number < faults; number += 1) {
      const which = Math.floor(random() * this.#gates.length);
      const client = this.publisher.clients[which];
      const fault = faultFor(client, random, drops);
      plan.push({ share: random(), action: () => this.#gates[which].arm(fault) });
    }
    const ends = Array.from({ length: restarts }, (_, number) => (number % 2 ? "handover" : "restart"));
    for (let number = 0; number < kills; number += 1) {
      ends.splice(Math.floor(random() * (ends.length + 1)), 0, "kill");
    }
    for (const [index, end] of ends.entries()) plan.push({ share: (index + 1) / (ends.length + 1), end });
    return plan.sort((one, other) => one.share - other.share);
  }

  #ending = Promise.resolve();

  #begin({ action, end }) {
    if (action) {
      action();
      return;
    }
    this.#ending = this.#ending.then(async () => {
      this.#count(end);
      await ENDS[end](this);
      this.publisher.life += 1;
    });
    this.#ending.catch((error) => this.publisher.giveUp(error));
  }

  #count(kind) {
    this.happened[kind] = (this.happened[kind] ?? 0) + 1;
  }

  async #judge(stuck) {
    const { sent, retries } = this.publisher;
    const pages = [];
    for (const { page, name, client, began } of this.#pages) {
      pages.push({ name, client, began, notes: await notesOf(page) });
    }
    const { rows, faults } = judge(pages, sent, this.crashes);
    return {
      rows,
      faults: [...stuck, ...faults],
      happened: this.happened,
      accepted: sent.size,
      retries,
      pages,
    };
  }
}

/** Who listens, and how: one client has more tabs than a browser opens connections. */
function clientsOf({ tabs }, random) {
  return [
    { id: "WebSocket 1", transport: "websocket", tabs: 1 },
    { id: "WebSocket 2", transport: "websocket", tabs: 1 },
    { id: "event stream", transport: "sse", tabs: 1 },
    { id: "event stream, shared", transport: "sse", tabs },
    { id: "long poll 1", transport: "poll", tabs: 1 },
    { id: "long poll 2", transport: "poll", tabs: 1 },
    { id: "whatever works", transport: LADDER, tabs: 1 },
  ].map((client) => ({ ...client, groups: GROUPS.filter(() => random() < 0.6) }));
}

/**
 * In a page: the same random numbers for one seed, and low ones. They decide how long it waits
 * before it comes back, and faults come faster here than anywhere.
 */
function haste(seed) {
  let state = seed;
  Math.random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state / 2 ** 32) * 0.1;
  };
}

/** A fault that breaks a first connection, often within its head or what came while nobody listened. */
function firstFault(random) {
  return {
    kind: random() < 0.5 ? "reset" : "close",
    upward: false,
    afterBytes: Math.floor(2 ** (random() * 10)),
  };
}

/** A fault at a random byte, often within a request, a head or the first events. */
function faultFor({ transport }, random, drops) {
  const kinds = ["reset", "reset", "close", "close", "stall"];
  const mayDrop = transport !== "poll" && transport !== LADDER; // a missing poll is noticed too late
  const upward = random() < 0.2;
  return {
    kind: random() < drops && mayDrop ? "drop" : kinds[Math.floor(random() * kinds.length)],
    upward,
    afterBytes: Math.floor(2 ** (random() * (upward ? 9 : 12))),
    stallMs: 200 + random() * 1_500,
  };
}

/** Always the same numbers from 0 to below 1 for one seed (FNV-1a, then mulberry32). */
function randomOf(seed) {
  let state = 0x811c9dc5;
  for (const byte of Buffer.from(String(seed))) state = Math.imul(state ^ byte, 0x01000193);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The `pos` claim of a token: where its first connection starts. */
function posOf(token) {
  return JSON.parse(Buffer.from(token.split(".")[1], "base64url")).pos;
}

/** A run's outcome, as text. */
export function report({ rows, faults, happened, accepted, retries, pages }) {
  console.table(rows);
  console.log(`${accepted} messages, ${retries} requests tried again; ${JSON.stringify(happened)}`);
  for (const fault of faults.slice(0, 20)) console.log(fault);
  const broken = pages.filter(({ name }) => faults.some((fault) => fault.startsWith(`${name}:`)));
  for (const { name, notes } of broken.slice(0, 3)) {
    console.log(`\n${name}:`);
    for (const note of notes.filter(({ type }) => type !== "message").slice(-40))
      console.log(JSON.stringify(note));
  }
  console.log(faults.length ? `FAIL: ${faults.length} faults` : "PASS: every promise was kept");
}

async function main() {
  const names = Object.entries(SHORT).map(([name, value]) => [
    name,
    { type: "string", default: String(value) },
  ]);
  const { values } = parseArgs({ options: Object.fromEntries(names) });
  const outcome = await run(
    Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Number(value)])),
  );
  report(outcome);
  process.exitCode = outcome.faults.length ? 1 : 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
