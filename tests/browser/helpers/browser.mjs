// Chromium and its pages.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { findExecutable } from "./executables.mjs";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const { chromium } = createRequire(join(root, "js/package.json"))("playwright-core");

/** The longest time to wait for a condition. */
export const TIMEOUT_MS = 10_000;

const BROWSER_FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Returns the path of Chromium. */
export function chromiumPath() {
  return findExecutable("chromium", "install Debian's package chromium (tests/setup does)");
}

/** Starts a browser. `executablePath` may be a script that executes Chromium, `flags` are added. */
export function launchBrowser({ executablePath = chromiumPath(), flags = [] } = {}) {
  return chromium.launch({ executablePath, headless: true, args: [...BROWSER_FLAGS, ...flags] });
}

/** Opens a page in a new browser context, and monitors it. */
export async function openPage(browser, options = {}) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(TIMEOUT_MS);
  return monitorPage(await context.newPage());
}

/** Records the errors of `page` in `page.errors`, and the URLs that it requests in `page.requestedUrls`. */
export function monitorPage(page) {
  page.errors = [];
  page.requestedUrls = [];
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") page.errors.push(message.text());
  });
  page.on("pageerror", (error) => page.errors.push(String(error)));
  page.on("request", (request) => page.requestedUrls.push(request.url()));
  return page;
}

/** Fails if an element extends over the window's right edge, where it is not visible. */
export async function assertFits(page) {
  const outside = await page.evaluate(() => {
    const width = document.documentElement.clientWidth;
    return Array.from(document.body.querySelectorAll("*"))
      .filter((element) => element.getBoundingClientRect().right > width + 0.5)
      .map((element) => element.outerHTML.slice(0, 100));
  });
  assert.deepEqual(outside, []);
}
