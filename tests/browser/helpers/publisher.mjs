// A publisher of numbered messages.

import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { API_KEY } from "./api.mjs";
import { sortable } from "./message_id.mjs";

const RESPONSE_TIMEOUT_MS = 3_000;
const RETRY_MS = 50;
const BATCH_SHARE = 0.15;
const BATCH_MAX_MESSAGES = 40;
const FILLER = [...'Text with a line break,\nnon-ASCII žluť 🐎, "quotes", \\ and \t'.repeat(8)];

/** Sends messages one after the other, and repeats each until it has a response. */
export class Publisher {
  /** All messages that it has tried to send: key to `{key, data, target, recipients, epochs, acceptedId}`. */
  sent = new Map();
  /** The newest known ID. */
  latestId = "0-0";
  /** The number of the server's process. The caller must increase it at every restart. */
  epoch = 1;
  retries = 0;
  #error = null;

  /** `clients` is `[{id, groups}]`, `url` is the server's, and `random` chooses the messages. */
  constructor(url, clients, random) {
    this.url = url;
    this.clients = clients;
    this.random = random;
  }

  /** Publishes `count` messages, at most `perSecond`. `onProgress` is called with the number sent so far. */
  async publish(count, perSecond, onProgress) {
    const startedAt = Date.now();
    for (let done = 0; done < count; ) {
      const isBatch = this.random() < BATCH_SHARE;
      const size = isBatch ? Math.min(count - done, 2 + Math.floor(this.random() * BATCH_MAX_MESSAGES)) : 1;
      const messages = Array.from({ length: size }, () => this.#makeMessage(this.#chooseTarget()));
      await (isBatch ? this.#sendBatch(messages) : this.#send(messages[0]));
      done += size;
      onProgress(done);
      const aheadMs = (done / perSecond) * 1000 - (Date.now() - startedAt);
      if (aheadMs > 0) await pause(aheadMs); // limits the rate
    }
  }

  /** Makes the current and later sends fail with `error`, because the server does not restart. */
  abort(error) {
    this.#error = error;
  }

  /** Publishes one message to `target`, the target fields of a send request; returns its data. */
  async publishTo(target) {
    const message = this.#makeMessage(target);
    await this.#send(message);
    return message.data;
  }

  #chooseTarget() {
    const kind = this.random();
    const pick = (list) => list[Math.floor(this.random() * list.length)];
    if (kind < 0.2) return { everyone: true };
    if (kind < 0.4) return { group: pick(this.clients.flatMap(({ groups }) => groups)) };
    if (kind < 0.5) return { to: [pick(this.clients).id, pick(this.clients).id] };
    return { to: pick(this.clients).id };
  }

  #makeMessage(target) {
    const key = String(this.sent.size + 1);
    const size = Math.floor(this.random() * (this.random() < 0.03 ? FILLER.length : 120));
    const recipients = this.clients.filter(
      ({ id, groups }) => target.everyone || groups.includes(target.group) || [target.to].flat().includes(id),
    );
    const message = {
      key,
      target,
      data: `${key} ${FILLER.slice(0, size).join("")}`,
      recipients: new Set(recipients.map(({ id }) => id)),
      epochs: new Set(),
      acceptedId: null,
    };
    this.sent.set(key, message);
    return message;
  }

  async #send(message) {
    while (!message.acceptedId) {
      const response = await this.#post("/v1/send", "application/json", [message]);
      if (response?.status === 200) this.#readResult(message, JSON.parse(response.body));
      else await this.#waitBeforeRetry(response);
    }
  }

  async #sendBatch(messages) {
    let remaining = messages;
    while (remaining.length) {
      const response = await this.#post("/v1/send/batch", "application/x-ndjson", remaining);
      if (response?.status !== 200) {
        await this.#waitBeforeRetry(response);
        continue;
      }
      const lines = response.body.split("\n").slice(0, -1); // a last line without "\n" is incomplete
      for (const [index, line] of lines.entries()) this.#readResult(remaining[index], JSON.parse(line));
      remaining = remaining.filter(({ acceptedId }) => !acceptedId);
    }
  }

  #readResult(message, { id, ...rest }) {
    assert.ok(id, `message ${message.key} was refused: ${JSON.stringify(rest)}`);
    message.acceptedId = sortable(id);
    if (message.acceptedId > sortable(this.latestId)) this.latestId = id;
  }

  /** Returns the response, possibly with an incomplete body; null if there is none. */
  async #post(path, type, messages) {
    for (const { epochs } of messages) epochs.add(this.epoch);
    const requestBody = messages
      .map(({ key, data, target }) => JSON.stringify({ ...target, data, idempotency_key: key }))
      .join("\n");
    let body = "";
    let status;
    try {
      const response = await fetch(this.url + path, {
        method: "POST",
        headers: { authorization: `Bearer ${API_KEY}`, "content-type": type },
        body: requestBody,
        signal: AbortSignal.timeout(RESPONSE_TIMEOUT_MS),
      });
      ({ status } = response);
      const decoder = new TextDecoder();
      for await (const chunk of response.body) body += decoder.decode(chunk, { stream: true });
    } catch (error) {
      if (!(error instanceof TypeError || error.name === "TimeoutError")) throw error;
      if (!status || path === "/v1/send") return null; // the complete lines of a batch are valid results
    }
    for (const { epochs } of messages) epochs.add(this.epoch);
    return { status, body };
  }

  async #waitBeforeRetry(response) {
    if (this.#error) throw this.#error;
    assert.ok(
      [undefined, 503].includes(response?.status),
      `the response to a send is ${response?.status}: ${response?.body}`,
    );
    this.retries += 1;
    await pause(RETRY_MS); // before the repetition
  }
}
