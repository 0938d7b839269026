// The server under test, as a process.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { API_KEY, SECRET } from "./api.mjs";
import { launchBrowser } from "./browser.mjs";

const root = fileURLToPath(new URL("../../..", import.meta.url));

/** Starts a server; resolves when it listens. `port` 0 is any free port, `env` adds settings. */
export function startServer(options) {
  return spawnServer(options).ready;
}

/**
 * Starts a server. `ready` resolves to it when it listens. `standby` resolves if it waits for its
 * predecessor, on the same port and state directory, to end.
 */
export function spawnServer({ port = 0, env = {} } = {}) {
  const child = spawn(join(root, ".venv/bin/headrace"), ["serve", "--demo", "--port", String(port)], {
    env: { PATH: process.env.PATH, HEADRACE_SECRET: SECRET, HEADRACE_API_KEY: API_KEY, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exited = new Promise((resolve) => {
    child.once("exit", (code, signal) => resolve({ code, signal }));
    child.once("error", (error) => resolve({ error }));
  });
  let log = "";
  const standby = new Promise((resolve) => {
    child.stderr.on("data", (chunk) => {
      log += chunk;
      if (log.includes("waiting for the running server")) resolve();
    });
  });
  const failed = exited.then((status) => {
    throw new Error(`the server did not start: ${JSON.stringify(status)}\n${log}`);
  });
  const ready = Promise.race([readUrl(child.stdout), failed]).then((url) => ({
    url,
    port: Number(new URL(url).port),
    /** Sends SIGTERM; fails if the server does not exit with status 0. */
    async stop() {
      child.kill("SIGTERM");
      assert.deepEqual(await exited, { code: 0, signal: null }, log);
    },
    /** Sends SIGKILL. */
    async kill() {
      child.kill("SIGKILL");
      await exited;
    },
  }));
  return { ready, standby };
}

async function readUrl(output) {
  for await (const line of createInterface(output)) {
    const match = /https?:\/\/\S+/.exec(line);
    if (match) {
      output.resume(); // discards the rest, so that the pipe never fills up
      return match[0].replace(/\/+$/, "");
    }
  }
  return new Promise(() => {}); // the exit status is reported instead
}

/** Starts a server and a browser at the same time. If one fails, stops the other. */
export async function startServerAndBrowser(options) {
  const starts = await Promise.allSettled([startServer(options), launchBrowser()]);
  const [server, browser] = starts.map(({ value }) => value);
  const failed = starts.find(({ status }) => status === "rejected");
  if (failed) {
    await stopServerAndBrowser(server, browser); // a running one would keep the test process alive
    throw failed.reason;
  }
  return { server, browser };
}

/** Closes the browser and stops the server, as far as they have been started. */
export async function stopServerAndBrowser(server, browser) {
  await browser?.close();
  await server?.stop();
}
