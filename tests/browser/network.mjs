// A laptop and its router, in network namespaces of their own: the path to the server can be cut
// while the laptop's own link stays up, or the link itself can go down.
//
//     server ── root namespace ── veth ── router ── veth ── laptop (Chromium)
//
// Each namespace lives only as long as a process in it, and that one ends with its standard input.
// So nothing is left behind, however the test ends.

import { spawn, spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromiumPath, which } from "./harness.mjs";

/** How the way to the server can be cut. */
export const CUTS = {
  /** The router passes nothing on, and tells nobody. */
  silent: "silent",
  /** The laptop's own interface goes down, of which its browser knows. */
  down: "down",
};

/** What is missing here for a laptop's network; null if nothing is. */
export function missingForNetwork() {
  if (process.getuid() !== 0) return "needs root, to make network namespaces: run it as root";
  for (const [program, bringer] of Object.entries({
    ip: "iproute2",
    unshare: "util-linux",
    nsenter: "util-linux",
  })) {
    try {
      which(program, "");
    } catch {
      return `needs the program ${program}: install Debian's package ${bringer} (tests/setup does)`;
    }
  }
  const { status, stderr } = spawnSync("unshare", [
    "--net",
    "sh",
    "-c",
    `ip link set lo up && ${forward(1)}`,
  ]);
  if (status === 0) return null;
  return `needs CAP_SYS_ADMIN and CAP_NET_ADMIN and a writable /proc/sys, as \`docker run --privileged\` gives: ${stderr}`;
}

/** The laptop's network. */
export async function startNetwork() {
  // RFC 2544 section C.2.2 sets 198.18.0.0/15 apart for tests; runs side by side differ by process.
  const base = 198 * 2 ** 24 + 18 * 2 ** 16 + (process.pid % 2 ** 14) * 8;
  const [server, upstream, downstream, laptop] = [1, 2, 5, 6].map((host) => address(base + host));
  const link = `headrace${process.pid % 1e7}`;
  const namespaces = await Promise.all([startNamespace(), startNamespace()]);
  const [router, inside] = namespaces;
  const folder = mkdtempSync(join(tmpdir(), "headrace-laptop-"));
  const browser = join(folder, "chromium");
  const net = {
    server,
    /** A program that becomes a Chromium on the laptop. */
    browser,
    /** Cut the way to the server in the given way. */
    cut(how) {
      if (how === CUTS.silent) router.run("sh", "-c", forward(0));
      else inside.run("ip", "link", "set", "lan", "down");
    },
    /** Mend the way to the server. */
    mend(how) {
      if (how === CUTS.silent) router.run("sh", "-c", forward(1));
      else inside.run("ip", "-batch", "-", { input: `link set lan up\nroute add default via ${downstream}` });
    },
    async stop() {
      rmSync(folder, { recursive: true });
      await Promise.all(namespaces.map((namespace) => namespace.stop()));
    },
  };
  try {
    writeFileSync(browser, `#!/bin/sh\nexec nsenter --net=${inside.path} -- ${chromiumPath()} "$@"\n`);
    chmodSync(browser, 0o755);
    run("ip", "-batch", "-", {
      input: `link add ${link} type veth peer name wan netns ${router.pid}
        address add ${server}/30 dev ${link}
        link set ${link} up
        route add ${laptop} via ${upstream}`,
    });
    router.run("ip", "-batch", "-", {
      input: `link add lan type veth peer name lan netns ${inside.pid}
        address add ${upstream}/30 dev wan
        address add ${downstream}/30 dev lan
        link set wan up
        link set lan up`,
    });
    router.run("sh", "-c", forward(1));
    inside.run("ip", "-batch", "-", {
      input: `address add ${laptop}/30 dev lan
        link set lo up
        link set lan up
        route add default via ${downstream}`,
    });
  } catch (error) {
    await net.stop();
    throw error;
  }
  return net;
}

/** The command that has a router pass packets on, or not. */
function forward(value) {
  return `echo ${value} > /proc/sys/net/ipv4/ip_forward`;
}

/** A number as an address of version 4. */
function address(number) {
  return [24, 16, 8, 0].map((bits) => Math.floor(number / 2 ** bits) % 256).join(".");
}

/** A network namespace. */
async function startNamespace() {
  const holder = spawn("unshare", ["--net", "cat"], { stdio: ["pipe", "pipe", "inherit"] });
  const exited = new Promise((resolve) => holder.once("exit", resolve));
  holder.stdin.write("\n"); // what comes back shows that it is there
  const answered = new Promise((resolve) => holder.stdout.once("data", resolve));
  await Promise.race([
    answered,
    exited.then((status) => {
      throw new Error(`unshare --net ended with ${status}`);
    }),
  ]);
  const path = `/proc/${holder.pid}/ns/net`;
  return {
    pid: holder.pid,
    path,
    run: (...command) => run("nsenter", `--net=${path}`, "--", ...command),
    stop() {
      holder.stdin.end();
      return exited;
    },
  };
}

/** Run a command to its end; the last argument may be options. Throws where it fails. */
function run(program, ...args) {
  const options = typeof args.at(-1) === "object" ? args.pop() : {};
  const { status, stderr, error } = spawnSync(program, args, { encoding: "utf8", ...options });
  if (status !== 0) throw new Error(`${program} ${args.join(" ")} failed: ${error?.message ?? stderr}`);
}
