// The demo room, as a visitor uses it.

import { openPage } from "./harness.mjs";

/** Open the page in a context of its own and go in as `name`. */
export async function enter(browser, url, name, options) {
  const page = await openPage(browser, options);
  await page.goto(url);
  await page.getByLabel("Your name in the room").fill(name);
  await page.getByRole("button", { name: "Enter the room" }).click();
  await connected(page);
  return page;
}

export function connected(page) {
  return page.getByRole("status").filter({ hasText: "Connected" }).waitFor();
}

/** Type a line and press Enter. */
export async function say(page, text) {
  await page.getByLabel("Your line").fill(text);
  await page.getByLabel("Your line").press("Enter");
}

/** The lines with exactly this text. */
export function lines(page, text) {
  return page.getByRole("log").locator(".what").getByText(text, { exact: true });
}

/** Wait until `text` is there, which is to be once. */
export function heard(page, text) {
  return lines(page, text).waitFor(); // fails where there are two
}

/** The texts of all lines, in order. */
export function transcript(page) {
  return page.getByRole("log").locator(".what").allTextContents();
}
