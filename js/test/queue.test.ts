import assert from "node:assert/strict";
import { test } from "node:test";
import { QUEUE_MAX_MESSAGES, Queue } from "../src/queue.js";

test("gives in order what came before and after it was asked", async () => {
  const queue = new Queue<number>(() => {});
  queue.push(1);
  const asked = [queue.next(), queue.next(), queue.next()];
  queue.push(2);
  queue.push(3);
  assert.deepEqual(
    (await Promise.all(asked)).map(({ value }) => value),
    [1, 2, 3],
  );
});

test("ends after what waits has been read, and for those who ask already", async () => {
  const queue = new Queue<number>(() => {});
  queue.push(1);
  queue.end();
  queue.push(2);
  assert.deepEqual(await queue.next(), { value: 1, done: false });
  assert.deepEqual(await queue.next(), { value: undefined, done: true });
  const waiting = new Queue<number>(() => {});
  const asked = [waiting.next(), waiting.next()];
  waiting.end();
  assert.deepEqual(await Promise.all(asked), Array(2).fill({ value: undefined, done: true }));
});

test("a reader that is too far behind gets all that waits, then an error", async () => {
  const queue = new Queue<number>(() => {});
  for (let i = 0; i <= QUEUE_MAX_MESSAGES + 5; i++) queue.push(i);
  for (let i = 0; i < QUEUE_MAX_MESSAGES; i++) assert.equal((await queue.next()).value, i);
  await assert.rejects(queue.next(), /the loop is 10000 messages behind/);
  assert.equal((await queue.next()).done, true);
});

test("leaving the loop tells the owner and drops what waits", async () => {
  const left: unknown[] = [];
  const queue = new Queue<number>((which) => left.push(which));
  queue.push(1);
  queue.push(2);
  for await (const item of queue) {
    assert.equal(item, 1);
    break;
  }
  assert.deepEqual(left, [queue]);
  assert.equal((await queue.next()).done, true);
});
