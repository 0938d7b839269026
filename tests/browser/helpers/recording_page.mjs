// Pages that open a channel and record its events.

/** How often a condition is checked. A page in the background has no animation frames to check it in. */
const POLLING_MS = 50;

/** The transport of a channel that falls back through all transports. */
export const FALLBACK = "fallback";

/**
 * Opens a channel in `page`, which may be at any URL of the server. Each event of the channel is
 * recorded as `{at, type, …}`, with `at` in milliseconds of Unix time.
 */
export async function openRecordedChannel(page, { url, token, transport }) {
  await page.evaluate(
    async ([baseUrl, givenToken, transports]) => {
      const { Channel } = await import("/headrace.js");
      window.recorded = [];
      window.channel = new Channel({ url: baseUrl, token: givenToken, transports });
      const fields = {
        open: ["id", "recovered", "transport"],
        message: ["id", "data", "group"],
        gap: ["after", "before"],
        error: ["code", "description", "fatal"],
        close: ["code", "reason"],
      };
      for (const [type, names] of Object.entries(fields)) {
        channel.addEventListener(type, (event) => {
          const record = { at: Date.now(), type, state: channel.readyState };
          for (const name of names) record[name] = event[name];
          recorded.push(record);
        });
      }
    },
    [url, token, transport === FALLBACK ? undefined : [transport]],
  );
}

/** Waits until the channel of `page` is open. */
export async function waitUntilOpen(page) {
  await page.waitForFunction(() => window.channel.readyState === 1, null, { polling: POLLING_MS });
}

/** Returns the recorded events of `page`, beginning with number `first`. */
export function recordedEvents(page, first = 0) {
  return page.evaluate((index) => window.recorded.slice(index), first);
}

/** Returns the number of recorded events of `page`. */
export function countEvents(page) {
  return page.evaluate(() => window.recorded.length);
}

/** Waits until `page` has recorded an event of `type` with `value` in its field `name`. */
export async function waitForEvent(page, type, name, value, timeout) {
  await page.waitForFunction(
    ([wantedType, field, wanted]) =>
      window.recorded.some((event) => event.type === wantedType && event[field] === wanted),
    [type, name, value],
    { timeout, polling: POLLING_MS },
  );
}
