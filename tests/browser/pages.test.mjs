// How the room looks: pictures for the eye in tests/screenshots/, and what can be measured of it.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ask, assertFits, openPage, SCREENSHOTS, startBoth, stopBoth } from "./harness.mjs";
import { enter, heard, say } from "./room.mjs";

const PHONE = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true };
const DESKTOP = { viewport: { width: 1280, height: 800 } };
const LONG = `a word without a break: ${"Donaudampfschifffahrt".repeat(12)} 👩🏽‍🚀${"👍".repeat(60)}`;

let server;
let browser;

before(async () => {
  ({ server, browser } = await startBoth());
});

after(() => stopBoth(server, browser));

/** Take a picture in both colour schemes; nothing may be out of sight. */
async function pictures(page, name) {
  await assertFits(page);
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.screenshot({ path: join(SCREENSHOTS, `${name}-${colorScheme}.png`) });
  }
}

test("the room fits a phone and a desktop, in light and dark, and takes nothing from elsewhere", async () => {
  for (const [name, options] of Object.entries({ phone: PHONE, desktop: DESKTOP })) {
    const page = await openPage(browser, options);
    await page.goto(server.url);
    await page.getByLabel("Your name in the room").waitFor();
    await pictures(page, `${name}-1-door`);
    await page.context().close();
  }

  const miller = await enter(browser, server.url, "Amber Miller", PHONE);
  await miller.getByText("You joined").waitFor();
  await miller.getByText("Nobody has said anything yet.").waitFor();
  await pictures(miller, "phone-2-empty");

  const otter = await enter(browser, server.url, "Quiet Otter", DESKTOP);
  for (const [from, to, text] of [
    [otter, miller, "Good morning. Is the water in?"],
    [otter, miller, "I can hear it."],
    [miller, otter, "Since six. The wheel turns with every line you write."],
    [otter, miller, LONG],
    [miller, otter, "Two lines,\nif need be."],
  ]) {
    await say(from, text);
    await heard(to, text);
  }
  await ask(server.url, "/v1/send", { group: "demo", data: "Hello from a terminal" });
  for (const page of [miller, otter]) {
    await heard(page, "Hello from a terminal");
    await page.getByText(/^delivered to 2 pages/).waitFor();
  }
  await pictures(miller, "phone-3-room");
  await pictures(otter, "desktop-3-room");
  await miller.getByRole("button", { name: "Inside" }).click();
  await pictures(miller, "phone-4-inside");

  for (const page of [miller, otter]) {
    const elsewhere = page.asked.filter(
      (address) => !address.startsWith(server.url) && !address.startsWith("data:"),
    );
    assert.deepEqual(elsewhere, []);
    assert.deepEqual(page.faults, []);
    await page.context().close();
  }
});

test("a reader of earlier lines is not moved by new ones, and is led to them", async () => {
  const reader = await enter(browser, server.url, "Reader", PHONE);
  const writer = await enter(browser, server.url, "Writer", PHONE);
  await say(writer, "tall\n".repeat(60).trim());
  const room = reader.getByRole("region", { name: "The room" });
  await reader.locator(".what", { hasText: "tall" }).waitFor();
  const distance = () => room.evaluate((box) => box.scrollHeight - box.scrollTop - box.clientHeight);
  assert.ok((await distance()) < 2);

  await room.evaluate((box) => box.scrollTo(0, 100));
  await say(writer, "news");
  await reader.getByRole("button", { name: "Newer lines below" }).click();
  assert.ok((await distance()) < 2);
  await reader.getByRole("button", { name: "Newer lines below" }).waitFor({ state: "hidden" });
  await reader.context().close();
  await writer.context().close();
});

test("a name that cannot be is refused in words, and leaving leads back to the door", async () => {
  const page = await openPage(browser, DESKTOP);
  await page.goto(server.url);
  const name = page.getByLabel("Your name in the room");
  assert.match(await name.inputValue(), /^\w+ \w+$/);
  await name.fill("   ");
  await name.press("Enter");
  await page.getByRole("alert").filter({ hasText: "a name has 1 to 40 characters" }).waitFor();
  await name.fill("Ada");
  await name.press("Enter");
  await page.getByText("You joined").waitFor();
  await page.getByRole("button", { name: "Leave the room" }).click();
  await name.waitFor();
  assert.equal(await name.inputValue(), "Ada");
  await page.reload();
  await name.waitFor();
  await page.context().close();
});
