import assert from "node:assert/strict";
import { test } from "node:test";
import { AsyncQueue } from "../../src/channel/async-queue.js";
import { QUEUE_MAX_MESSAGES } from "../../src/channel/limits.js";

test("returns items in order, whether pushed before or after next()", async () => {
  const queue = new AsyncQueue<number>(() => {});
  queue.push(1);
  const results = [queue.next(), queue.next(), queue.next()];
  queue.push(2);
  queue.push(3);
  assert.deepEqual(
    (await Promise.all(results)).map(({ value }) => value),
    [1, 2, 3],
  );
});

test("ends after the queued items are read, and resolves pending next() calls", async () => {
  const queue = new AsyncQueue<number>(() => {});
  queue.push(1);
  queue.end();
  queue.push(2);
  assert.deepEqual(await queue.next(), { value: 1, done: false });
  assert.deepEqual(await queue.next(), { value: undefined, done: true });
  const waiting = new AsyncQueue<number>(() => {});
  const results = [waiting.next(), waiting.next()];
  waiting.end();
  assert.deepEqual(await Promise.all(results), Array(2).fill({ value: undefined, done: true }));
});

test("a reader that is too far behind gets the queued items, then an error", async () => {
  const queue = new AsyncQueue<number>(() => {});
  for (let i = 0; i <= QUEUE_MAX_MESSAGES + 5; i++) queue.push(i);
  for (let i = 0; i < QUEUE_MAX_MESSAGES; i++) assert.equal((await queue.next()).value, i);
  await assert.rejects(queue.next(), /the loop is 10000 messages behind/);
  assert.equal((await queue.next()).done, true);
});

test("leaving the loop notifies the owner and drops the queued items", async () => {
  const returned: unknown[] = [];
  const queue = new AsyncQueue<number>((queue) => returned.push(queue));
  queue.push(1);
  queue.push(2);
  for await (const item of queue) {
    assert.equal(item, 1);
    break;
  }
  assert.deepEqual(returned, [queue]);
  assert.equal((await queue.next()).done, true);
});
