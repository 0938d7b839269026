// A numbered stream of messages, and the verdict on what pages received of it: every message of
// their audience exactly once and in order, or a gap that covers exactly what is missing.

import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { API_KEY } from "./harness.mjs";

const ANSWER_TIMEOUT_MS = 3_000;
const RETRY_MS = 50;
const BATCH_MAX = 40;
const FILLER = [...'Nothing is lost - and if it is,\nit is told. žluť 🐎 "quoted" \\ \t'.repeat(8)];

/** An id as text that sorts as the ids do. */
export function sortable(id) {
  return id
    .split("-")
    .map((part) => part.padStart(20, "0"))
    .join("-");
}

/** Sends messages, one behind the other, each until it is answered. */
export class Publisher {
  /** All that was tried: key to `{key, data, target, audience, lives, answered}`. */
  sent = new Map();
  /** The newest id that is known. */
  latest = "0-0";
  /** Counts the lives of the server; whoever restarts it, counts it up. */
  life = 1;
  retries = 0;
  #fault = null;

  /** `clients` is `[{id, groups}]`; `url` is the server's, and `random` decides what is sent. */
  constructor(url, clients, random) {
    this.url = url;
    this.clients = clients;
    this.random = random;
  }

  /** Publish `count` messages, at most so many a second; `progress` is told after each request. */
  async publish(count, perSecond, progress) {
    const startedAt = Date.now();
    for (let done = 0; done < count; ) {
      const isBatch = this.random() < 0.15;
      const size = isBatch ? Math.min(count - done, 2 + Math.floor(this.random() * BATCH_MAX)) : 1;
      const messages = Array.from({ length: size }, () => this.#compose(this.#target()));
      await (isBatch ? this.#batch(messages) : this.#single(messages[0]));
      done += size;
      progress(done);
      const ahead = (done / perSecond) * 1000 - (Date.now() - startedAt);
      if (ahead > 0) await pause(ahead); // the pace
    }
  }

  /** Have whatever is being published fail: the server does not come back. */
  giveUp(error) {
    this.#fault = error;
  }

  /** Publish one message to `target`, as of the API; returns its data. */
  async say(target) {
    const message = this.#compose(target);
    await this.#single(message);
    return message.data;
  }

  #target() {
    const kind = this.random();
    const pick = (list) => list[Math.floor(this.random() * list.length)];
    if (kind < 0.2) return { everyone: true };
    if (kind < 0.4) return { group: pick(this.clients.flatMap(({ groups }) => groups)) };
    if (kind < 0.5) return { to: [pick(this.clients).id, pick(this.clients).id] };
    return { to: pick(this.clients).id };
  }

  #compose(target) {
    const key = String(this.sent.size + 1);
    const size = Math.floor(this.random() * (this.random() < 0.03 ? FILLER.length : 120));
    const audience = this.clients.filter(
      ({ id, groups }) => target.everyone || groups.includes(target.group) || [target.to].flat().includes(id),
    );
    const message = {
      key,
      target,
      data: `${key} ${FILLER.slice(0, size).join("")}`,
      audience: new Set(audience.map(({ id }) => id)),
      lives: new Set(),
      answered: null,
    };
    this.sent.set(key, message);
    return message;
  }

  async #single(message) {
    while (!message.answered) {
      const answer = await this.#post("/v1/send", "application/json", [message]);
      if (answer?.status === 200) this.#take(message, JSON.parse(answer.body));
      else await this.#wait(answer);
    }
  }

  async #batch(messages) {
    for (let left = messages; left.length; left = left.filter(({ answered }) => !answered)) {
      const answer = await this.#post("/v1/send/batch", "application/x-ndjson", left);
      if (answer?.status !== 200) {
        await this.#wait(answer);
        continue;
      }
      const lines = answer.body.split("\n").slice(0, -1); // a last line without its end was cut short
      for (const [index, line] of lines.entries()) this.#take(left[index], JSON.parse(line));
    }
  }

  #take(message, { id, ...rest }) {
    assert.ok(id, `message ${message.key} was refused: ${JSON.stringify(rest)}`);
    message.answered = sortable(id);
    if (message.answered > sortable(this.latest)) this.latest = id;
  }

  /** The answer, with what came of its body; null where there was none. */
  async #post(path, type, messages) {
    for (const { lives } of messages) lives.add(this.life);
    const body = messages
      .map(({ key, data, target }) => JSON.stringify({ ...target, data, idempotency_key: key }))
      .join("\n");
    let came = "";
    let status;
    try {
      const response = await fetch(this.url + path, {
        method: "POST",
        headers: { authorization: `Bearer ${API_KEY}`, "content-type": type },
        body,
        signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
      });
      ({ status } = response);
      const decoder = new TextDecoder();
      for await (const piece of response.body) came += decoder.decode(piece, { stream: true });
    } catch (error) {
      if (!(error instanceof TypeError || error.name === "TimeoutError")) throw error;
      if (!status || path === "/v1/send") return null; // of a batch, what was answered counts
    }
    for (const { lives } of messages) lives.add(this.life);
    return { status, body: came };
  }

  async #wait(answer) {
    if (this.#fault) throw this.#fault;
    assert.ok(
      [undefined, 503].includes(answer?.status),
      `a send was answered ${answer?.status}: ${answer?.body}`,
    );
    this.retries += 1;
    await pause(RETRY_MS); // before trying again
  }
}

/**
 * What came of it. `pages` are `{client, began, notes}`, `began` the id after which everything
 * counts; `crashes` are ids, each between two lives of the server. Returns a row for each page
 * and the faults, as lines.
 */
export function judge(pages, sent, crashes) {
  const known = new Map(); // every id that was given out, and its message
  for (const message of sent.values()) if (message.answered) known.set(message.answered, message);
  for (const { id, data } of pages.flatMap(({ notes }) => messagesIn(notes))) {
    const message = sent.get(data.split(" ", 1)[0]);
    if (message && !known.has(sortable(id))) known.set(sortable(id), message);
  }
  const faults = [];
  const copies = new Map();
  for (const { key } of known.values()) copies.set(key, (copies.get(key) ?? 0) + 1);
  for (const [key, count] of copies) {
    if (count > sent.get(key).lives.size) faults.push(`message ${key} was accepted ${count} times`);
  }
  const ids = [...known.keys()].sort();
  const rows = pages.map((page) => judgePage(page, ids, known, crashes.map(sortable), faults));
  return { rows, faults };
}

function judgePage({ client, name, began, notes }, ids, known, crashes, faults) {
  const expected = ids.filter((id) => id > sortable(began) && known.get(id).audience.has(client));
  const received = messagesIn(notes).map(({ id, data }) => ({ id: sortable(id), data }));
  const has = new Set(received.map(({ id }) => id));
  const gaps = notes
    .filter(({ type }) => type === "gap")
    .map(({ after, before }) => ({ after: sortable(after ?? "0-0"), before: sortable(before) }));
  const inside = ({ after, before }, id) => after < id && id <= before;
  const row = {
    page: name,
    expected: expected.length,
    received: received.length,
    told: 0,
    silent: 0,
    twice: received.length - has.size,
    disorder: received.filter(({ id }, index) => index > 0 && id < received[index - 1].id).length,
    connections: notes.filter(({ type }) => type === "open").length,
    gaps: gaps.length,
    transport: notes.findLast(({ type }) => type === "open")?.transport,
  };
  const fault = (text) => faults.push(`${name}: ${text}`);
  for (const id of expected) {
    if (has.has(id)) continue;
    if (gaps.some((gap) => inside(gap, id))) row.told += 1;
    else {
      row.silent += 1;
      fault(`message ${known.get(id).key} (${id}) is missing, and nobody said so`);
    }
  }
  if (row.twice) fault(`${row.twice} messages came twice`);
  if (row.disorder) fault(`${row.disorder} messages came after a later one`);
  const wanted = new Set(expected);
  for (const { id, data } of received) {
    if (!wanted.has(id)) fault(`message ${data.slice(0, 20)} (${id}) is not for this page`);
    else if (known.get(id).data !== data) fault(`message ${known.get(id).key} has other data`);
  }
  for (const gap of gaps) {
    const text = `the gap from ${gap.after} to ${gap.before}`;
    if (received.some(({ id }) => id < gap.before && inside(gap, id)))
      fault(`${text} holds what was received`);
    if (!crashes.some((crash) => inside(gap, crash))) fault(`${text} was told without a reason`);
  }
  for (const crash of crashes) {
    const told = gaps.filter((gap) => inside(gap, crash)).length;
    if (told !== 1) fault(`the crash at ${crash} was told ${told} times`);
  }
  return row;
}

function messagesIn(notes) {
  return notes.filter(({ type }) => type === "message");
}
