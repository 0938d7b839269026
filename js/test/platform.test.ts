import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { browserPlatform } from "../src/platform.js";

/** The globals of a window that the platform uses. A test may replace them; they are restored after it. */
const NAMES = ["addEventListener", "removeEventListener", "document", "sessionStorage"] as const;
const originals = new Map<string, PropertyDescriptor | undefined>();

function put(name: (typeof NAMES)[number], value: unknown): void {
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
}

beforeEach(() => {
  for (const name of NAMES) originals.set(name, Object.getOwnPropertyDescriptor(globalThis, name));
});
afterEach(() => {
  for (const [name, descriptor] of originals) {
    Reflect.deleteProperty(globalThis, name);
    if (descriptor) Object.defineProperty(globalThis, name, descriptor);
  }
});

function makePage() {
  const page = new EventTarget();
  const document = Object.assign(new EventTarget(), { visibilityState: "visible" });
  put("addEventListener", page.addEventListener.bind(page));
  put("removeEventListener", page.removeEventListener.bind(page));
  put("document", document);
  return { page, document };
}

test("onWake: online, visible, and restored from the back-forward cache", () => {
  const { page, document } = makePage();
  const woken: boolean[] = [];
  const stop = browserPlatform().onWake((online) => woken.push(online));
  page.dispatchEvent(new Event("online"));
  document.dispatchEvent(new Event("visibilitychange"));
  page.dispatchEvent(new Event("pageshow"));
  assert.deepEqual(woken, [true, false, false]);
  document.visibilityState = "hidden";
  document.dispatchEvent(new Event("visibilitychange"));
  assert.equal(woken.length, 3, "not when hidden");
  stop();
  document.visibilityState = "visible";
  page.dispatchEvent(new Event("online"));
  document.dispatchEvent(new Event("visibilitychange"));
  assert.equal(woken.length, 3);
});

test("works without a page, as in a worker or in Node", () => {
  const platform = browserPlatform();
  platform.onWake(() => {})();
  assert.equal(platform.isOnline(), true);
  assert.equal(platform.storage, null);
  assert.equal(typeof platform.fetch, "function");
  assert.ok(platform.now() > 1_700_000_000_000);
  assert.ok(platform.random() < 1);
});

test("works without storage that the page may not use", () => {
  Object.defineProperty(globalThis, "sessionStorage", {
    configurable: true,
    get: () => {
      throw new DOMException("denied", "SecurityError");
    },
  });
  assert.equal(browserPlatform().storage, null);
});

test("timers run and can be cleared", async () => {
  const platform = browserPlatform();
  await new Promise<void>((resolve, reject) => {
    const never = platform.setTimeout(() => reject(new Error("was cleared")), 0);
    platform.clearTimeout(never);
    platform.setTimeout(resolve, 1);
  });
});
