// An example as its reader starts it, with its `run`.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { assertFits, SCREENSHOTS } from "./harness.mjs";

const EXAMPLES = fileURLToPath(new URL("../../examples", import.meta.url));

/** Start examples/`name`/run, and wait until it says which address to open. */
export async function startExample(name, env, args = []) {
  const child = spawn(join(EXAMPLES, name, "run"), args, {
    env: { PATH: process.env.PATH, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let log = "";
  child.stderr.on("data", (chunk) => {
    log += chunk;
  });
  const exited = new Promise((resolve) => {
    child.once("exit", (code, signal) => resolve({ code, signal }));
    child.once("error", (error) => resolve({ error }));
  });
  const url = await Promise.race([
    opened(child.stdout),
    exited.then((end) => {
      throw new Error(`${name} did not start: ${JSON.stringify(end)}\n${log}`);
    }),
  ]);
  return {
    url,
    /** End it as Ctrl-C would; fails where it does not end well. */
    async stop() {
      child.kill("SIGTERM");
      assert.deepEqual(await exited, { code: 0, signal: null }, log);
    },
  };
}

async function opened(output) {
  for await (const line of createInterface(output)) {
    const found = /^Open (http:\S+)/.exec(line);
    if (found) {
      output.resume(); // never let it fill up
      return found[1].replace(/\/$/, "");
    }
  }
  return new Promise(() => {}); // its end says more
}

/** `count` ports that were free a moment ago, for programs that have to know each other's. */
export async function freePorts(count) {
  const servers = Array.from({ length: count }, () => createServer());
  await Promise.all(servers.map((server) => new Promise((done) => server.listen(0, "127.0.0.1", done))));
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return ports.map(String);
}

/** Take pictures of a page in both colour schemes; nothing may be out of sight. */
export async function pictures(page, name) {
  await assertFits(page);
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.screenshot({ path: join(SCREENSHOTS, `${name}-${colorScheme}.png`) });
  }
}
