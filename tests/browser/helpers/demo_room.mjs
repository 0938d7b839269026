// The demo room, used as a visitor uses it.

import { openPage } from "./browser.mjs";

/** Opens the room's page in a new browser context, and enters the room as `name`. */
export async function enterRoom(browser, url, name, options) {
  const page = await openPage(browser, options);
  await page.goto(url);
  await page.getByLabel("Your name in the room").fill(name);
  await page.getByRole("button", { name: "Enter the room" }).click();
  await waitUntilConnected(page);
  return page;
}

/** Waits until the room shows that it is connected. */
export function waitUntilConnected(page) {
  return page.getByRole("status").filter({ hasText: "Connected" }).waitFor();
}

/** Types a line and presses Enter. */
export async function sendLine(page, text) {
  await page.getByLabel("Your message").fill(text);
  await page.getByLabel("Your message").press("Enter");
}

/** Waits until the line `text` is displayed. Fails if it is displayed twice. */
export function waitForLine(page, text) {
  return page.getByRole("log").locator(".text").getByText(text, { exact: true }).waitFor();
}

/** Returns the texts of all lines, in order. */
export function displayedLines(page) {
  return page.getByRole("log").locator(".text").allTextContents();
}
