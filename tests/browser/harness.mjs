// What the browser tests share: a server, a browser, an application's requests, a token.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { accessSync, constants } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const { chromium } = createRequire(join(root, "js/package.json"))("playwright-core");

/** The most that a condition may take to come true. */
export const PATIENCE_MS = 10_000;
export const SCREENSHOTS = join(root, "tests/screenshots");
export const SECRET = "a secret of the browser tests alone";
export const API_KEY = "an API key of the browser tests alone";

const BROWSER_FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** The path of an executable; throws where no folder of PATH has it. */
export function which(program, hint) {
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/sbin"];
  for (const folder of folders) {
    const path = join(folder, program);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this folder.
    }
  }
  throw new Error(`${program} is not on PATH: ${hint}`);
}

/** The path of Chromium. */
export function chromiumPath() {
  return which("chromium", "install Debian's package chromium (tests/setup does)");
}

/** A browser; `executablePath` may be a program that becomes Chromium, `flags` are further ones. */
export function launchBrowser({ executablePath = chromiumPath(), flags = [] } = {}) {
  return chromium.launch({ executablePath, headless: true, args: [...BROWSER_FLAGS, ...flags] });
}

/** A server of its own, once it listens; `port` 0 takes any free one, `env` adds settings. */
export function startServer(options) {
  return beginServer(options).ready;
}

/**
 * A server that begins: `ready` is the server once it listens, and `waiting` comes true where it
 * waits for another one, on the same port and state, to end.
 */
export function beginServer({ port = 0, env = {} } = {}) {
  const child = spawn(join(root, ".venv/bin/headrace"), ["serve", "--demo", "--port", String(port)], {
    env: { PATH: process.env.PATH, HEADRACE_SECRET: SECRET, HEADRACE_API_KEY: API_KEY, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exited = new Promise((resolve) => {
    child.once("exit", (code, signal) => resolve({ code, signal }));
    child.once("error", (error) => resolve({ error }));
  });
  let log = "";
  const waiting = new Promise((resolve) => {
    child.stderr.on("data", (chunk) => {
      log += chunk;
      if (log.includes("waiting for the running server")) resolve();
    });
  });
  const failed = exited.then((end) => {
    throw new Error(`the server did not start: ${JSON.stringify(end)}\n${log}`);
  });
  const ready = Promise.race([firstUrl(child.stdout), failed]).then((url) => ({
    url,
    port: Number(new URL(url).port),
    /** End it as an operator would; fails where it does not end well. */
    async stop() {
      child.kill("SIGTERM");
      assert.deepEqual(await exited, { code: 0, signal: null }, log);
    },
    /** End it as a crash would. */
    async kill() {
      child.kill("SIGKILL");
      await exited;
    },
  }));
  return { ready, waiting };
}

async function firstUrl(output) {
  for await (const line of createInterface(output)) {
    const found = /https?:\/\/\S+/.exec(line);
    if (found) {
      output.resume(); // never let it fill up
      return found[0].replace(/\/+$/, "");
    }
  }
  return new Promise(() => {}); // its end says more
}

/** A server and a browser, started at the same time; both or none. */
export async function startBoth(options) {
  const starts = await Promise.allSettled([startServer(options), launchBrowser()]);
  const [server, browser] = starts.map(({ value }) => value);
  const failed = starts.find(({ status }) => status === "rejected");
  if (failed) {
    await stopBoth(server, browser); // or it would keep the test's process alive
    throw failed.reason;
  }
  return { server, browser };
}

export async function stopBoth(server, browser) {
  await browser?.close();
  await server?.stop();
}

/** What an application asks; the answer's JSON. */
export async function ask(url, path, body) {
  const response = await fetch(url + path, {
    method: "POST",
    headers: { authorization: `Bearer ${API_KEY}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  assert.equal(response.status, 200, await response.clone().text());
  return response.json();
}

/** A token as any JWT library would make it: the lifetime of one without `iat` may be short. */
export function signToken(claims, secret = SECRET) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const input = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${input}.${createHmac("sha256", secret).update(input).digest("base64url")}`;
}

/** A token for `sub` that lasts for `seconds`. */
export function tokenFor(sub, seconds = 600, claims = {}) {
  return signToken({ sub, exp: Date.now() / 1000 + seconds, ...claims });
}

/** A page of its own browser context, that notes what goes wrong in it. */
export async function openPage(browser, options = {}) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(PATIENCE_MS);
  return watch(await context.newPage());
}

/** Note errors of `page` in `page.faults`, and every address it asks for in `page.asked`. */
export function watch(page) {
  page.faults = [];
  page.asked = [];
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") page.faults.push(message.text());
  });
  page.on("pageerror", (error) => page.faults.push(String(error)));
  page.on("request", (request) => page.asked.push(request.url()));
  return page;
}

/** Fail where anything reaches over the window's right edge: there it could not be seen. */
export async function assertFits(page) {
  const outside = await page.evaluate(() => {
    const width = document.documentElement.clientWidth;
    return Array.from(document.body.querySelectorAll("*"))
      .filter((element) => element.getBoundingClientRect().right > width + 0.5)
      .map((element) => element.outerHTML.slice(0, 100));
  });
  assert.deepEqual(outside, []);
}
