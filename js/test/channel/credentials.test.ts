import assert from "node:assert/strict";
import { test } from "node:test";
import { Credentials } from "../../src/channel/credentials.js";
import { settle } from "../helpers/manual-clock.js";
import { tokenFunction } from "../helpers/recorder.js";

test("concurrent calls share one fetch, and its token is kept", async () => {
  const { calls, token } = tokenFunction();
  const credentials = new Credentials(token);
  assert.deepEqual(
    await Promise.all([credentials.get(), credentials.get(), credentials.refresh()]),
    Array(3).fill("t.1"),
  );
  assert.equal(await credentials.get(), "t.1");
  assert.equal(calls.count, 1);
  assert.equal(await credentials.refresh(), "t.2");
  assert.equal(await credentials.get(), "t.2");
});

test("discards only the current token, and only if a new one can be fetched", async () => {
  const { token } = tokenFunction();
  const credentials = new Credentials(token);
  await credentials.get();
  credentials.discard("t.0");
  assert.equal(await credentials.get(), "t.1");
  credentials.discard("t.1");
  assert.equal(await credentials.get(), "t.2");
  const fixed = new Credentials("t.t");
  fixed.discard("t.t");
  assert.equal(await fixed.get(), "t.t");
  assert.equal(await fixed.refresh(), "t.t");
});

test("a failed fetch keeps the current token", async () => {
  let fails = false;
  const credentials = new Credentials(() => {
    if (fails) throw new Error("no");
    return "t.1";
  });
  await credentials.get();
  fails = true;
  await assert.rejects(credentials.refresh(), /no/);
  assert.equal(await credentials.get(), "t.1");
});

test("the result of an abandoned fetch is ignored", async () => {
  const ends: ((token: string) => void)[] = [];
  const credentials = new Credentials(() => new Promise((resolve) => ends.push(resolve)));
  void credentials.get();
  credentials.abandonFetch();
  const second = credentials.get();
  ends[1]?.("t.2");
  assert.equal(await second, "t.2");
  ends[0]?.("t.1");
  await settle();
  assert.equal(await credentials.get(), "t.2");
});

test("a token that is not a string is rejected", async () => {
  for (const value of [undefined, null, 1, {}]) {
    const credentials = new Credentials((() => value) as unknown as () => string);
    await assert.rejects(
      credentials.get(),
      /token\(\) returned (undefined|null|number|object); it must return a string/,
    );
  }
});
