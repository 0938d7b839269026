// Pages that listen and write down what their channel tells them.

/** How often a page is looked at: one in the background has no animation frames to do it at. */
const POLLING_MS = 50;

/** What a channel over the usual ladder of transports is called here. */
export const LADDER = "ladder";

/**
 * Open a channel in `page`, which is at any address of the server. Whatever it tells becomes a
 * note: `{at, type, …}`, `at` in milliseconds of the Unix clock.
 */
export async function listen(page, { url, token, transport }) {
  await page.evaluate(
    async ([base, given, transports]) => {
      const { Channel } = await import("/headrace.js");
      window.notes = [];
      window.channel = new Channel({ url: base, token: given, transports });
      const fields = {
        open: ["id", "recovered", "transport"],
        message: ["id", "data", "group"],
        gap: ["after", "before"],
        error: ["code", "description", "fatal"],
        close: ["code", "reason"],
      };
      for (const [type, names] of Object.entries(fields)) {
        channel.addEventListener(type, (event) => {
          const note = { at: Date.now(), type, state: channel.readyState };
          for (const name of names) note[name] = event[name];
          notes.push(note);
        });
      }
    },
    [url, token, transport === LADDER ? undefined : [transport]],
  );
}

/** Wait until the channel of `page` is open. */
export async function connected(page) {
  await page.waitForFunction(() => window.channel.readyState === 1, null, { polling: POLLING_MS });
}

/** The notes of `page` from the one with number `from` on. */
export function notesOf(page, from = 0) {
  return page.evaluate((first) => window.notes.slice(first), from);
}

/** Wait until a page has a note of `type` whose field `name` is `value`. */
export async function noted(page, type, name, value, timeout) {
  const wanted = [type, name, value];
  await page.waitForFunction(
    ([kind, field, what]) => window.notes.some((note) => note.type === kind && note[field] === what),
    wanted,
    { timeout, polling: POLLING_MS },
  );
}
