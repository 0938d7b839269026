// The layout of the demo room: screenshots in tests/screenshots/, and what can be measured.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { post } from "./helpers/api.mjs";
import { openPage } from "./helpers/browser.mjs";
import { enterRoom, sendLine, waitForLine } from "./helpers/demo_room.mjs";
import { takeScreenshots } from "./helpers/screenshots.mjs";
import { startServerAndBrowser, stopServerAndBrowser } from "./helpers/server.mjs";

const PHONE = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true };
const DESKTOP = { viewport: { width: 1280, height: 800 } };
const LONG_LINE = `a long word: ${"Donaudampfschifffahrt".repeat(12)} 👩🏽‍🚀${"👍".repeat(60)}`;

let server;
let browser;

before(async () => {
  ({ server, browser } = await startServerAndBrowser());
});

after(() => stopServerAndBrowser(server, browser));

test("the room fits a phone and a desktop, in light and dark, and loads nothing from other origins", async () => {
  for (const [name, options] of Object.entries({ phone: PHONE, desktop: DESKTOP })) {
    const page = await openPage(browser, options);
    await page.goto(server.url);
    await page.getByLabel("Your name in the room").waitFor();
    await takeScreenshots(page, `${name}-1-enter`);
    await page.context().close();
  }

  const miller = await enterRoom(browser, server.url, "Amber Miller", PHONE);
  await miller.getByText("You joined").waitFor();
  await miller.getByText("There are no messages yet.").waitFor();
  await takeScreenshots(miller, "phone-2-empty");

  const otter = await enterRoom(browser, server.url, "Quiet Otter", DESKTOP);
  for (const [from, to, text] of [
    [otter, miller, "Good morning. Is the server running?"],
    [otter, miller, "I have just joined."],
    [miller, otter, "It has been running since six, and every line arrives at once."],
    [otter, miller, LONG_LINE],
    [miller, otter, "A line\nwith a line break."],
  ]) {
    await sendLine(from, text);
    await waitForLine(to, text);
  }
  await post(server.url, "/v1/send", { group: "demo", data: "Hello from a terminal" });
  for (const page of [miller, otter]) {
    await waitForLine(page, "Hello from a terminal");
    await page.getByText(/^delivered to 2 pages/).waitFor();
  }
  await takeScreenshots(miller, "phone-3-room");
  await takeScreenshots(otter, "desktop-3-room");
  await miller.getByRole("button", { name: "Details" }).click();
  await takeScreenshots(miller, "phone-4-details");

  for (const page of [miller, otter]) {
    const otherOrigins = page.requestedUrls.filter(
      (url) => !url.startsWith(server.url) && !url.startsWith("data:"),
    );
    assert.deepEqual(otherOrigins, []);
    assert.deepEqual(page.errors, []);
    await page.context().close();
  }
});

test("new lines do not scroll a page that shows earlier ones; a button scrolls to them", async () => {
  const reader = await enterRoom(browser, server.url, "Reader", PHONE);
  const writer = await enterRoom(browser, server.url, "Writer", PHONE);
  await sendLine(writer, "tall\n".repeat(60).trim());
  const room = reader.getByRole("region", { name: "The room" });
  await reader.locator(".text", { hasText: "tall" }).waitFor();
  const distanceFromEnd = () => room.evaluate((box) => box.scrollHeight - box.scrollTop - box.clientHeight);
  assert.ok((await distanceFromEnd()) < 2);

  await room.evaluate((box) => box.scrollTo(0, 100));
  await sendLine(writer, "news");
  await reader.getByRole("button", { name: "Newer messages below" }).click();
  assert.ok((await distanceFromEnd()) < 2);
  await reader.getByRole("button", { name: "Newer messages below" }).waitFor({ state: "hidden" });
  await reader.context().close();
  await writer.context().close();
});

test("an invalid name is refused with the reason, and leaving returns to the entry form", async () => {
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
