// An example of examples/, started with its `run` script as its users start it.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const EXAMPLES = fileURLToPath(new URL("../../../examples", import.meta.url));

/** Starts examples/`name`/run; resolves when it has printed the URL to open. */
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
    readUrl(child.stdout),
    exited.then((status) => {
      throw new Error(`${name} did not start: ${JSON.stringify(status)}\n${log}`);
    }),
  ]);
  return {
    url,
    /** Sends SIGTERM; fails if the example does not exit with status 0. */
    async stop() {
      child.kill("SIGTERM");
      assert.deepEqual(await exited, { code: 0, signal: null }, log);
    },
  };
}

async function readUrl(output) {
  for await (const line of createInterface(output)) {
    const match = /^Open (http:\S+)/.exec(line);
    if (match) {
      output.resume(); // discards the rest, so that the pipe never fills up
      return match[1].replace(/\/$/, "");
    }
  }
  return new Promise(() => {}); // the exit status is reported instead
}

/** Returns `count` free ports, for programs that must know each other's ports before they start. */
export async function findFreePorts(count) {
  const servers = Array.from({ length: count }, () => createServer());
  await Promise.all(
    servers.map((server) => new Promise((resolve) => server.listen(0, "127.0.0.1", resolve))),
  );
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports.map(String);
}
