// A laptop and its router, each in a network namespace of its own. The path to the server can be
// interrupted while the laptop's link stays up, or the link itself can go down.
//
//     server ── root namespace ── veth ── router ── veth ── laptop (Chromium)
//
// A namespace exists as long as a process in it, and that process ends when its standard input is
// closed. So no namespace remains, however the test ends.

import { spawn, spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromiumPath } from "./browser.mjs";
import { findExecutable } from "./executables.mjs";

/** How the connection to the server is interrupted. */
export const OUTAGES = {
  /** The router drops all packets without notice. */
  silent: "silent",
  /** The laptop's interface goes down, which its browser notices. */
  down: "down",
};

/** Returns what is missing on this machine for `startNetwork()`; null if nothing is. */
export function missingForNetwork() {
  if (process.getuid() !== 0) return "needs root, to make network namespaces: run it as root";
  for (const [program, packageName] of Object.entries({
    ip: "iproute2",
    unshare: "util-linux",
    nsenter: "util-linux",
  })) {
    try {
      findExecutable(program, "");
    } catch {
      return `needs the program ${program}: install Debian's package ${packageName} (tests/setup does)`;
    }
  }
  const { status, stderr } = spawnSync("unshare", [
    "--net",
    "sh",
    "-c",
    `ip link set lo up && ${forwardingCommand(1)}`,
  ]);
  if (status === 0) return null;
  return `needs CAP_SYS_ADMIN and CAP_NET_ADMIN and a writable /proc/sys, as \`docker run --privileged\` gives: ${stderr}`;
}

/** Starts the network of a laptop. */
export async function startNetwork() {
  // RFC 2544 section C.2.2 reserves 198.18.0.0/15 for tests. Concurrent runs differ by process ID.
  const base = 198 * 2 ** 24 + 18 * 2 ** 16 + (process.pid % 2 ** 14) * 8;
  const [serverAddress, upstream, downstream, laptopAddress] = [1, 2, 5, 6].map((host) =>
    formatAddress(base + host),
  );
  const link = `headrace${process.pid % 1e7}`;
  const namespaces = await Promise.all([startNamespace(), startNamespace()]);
  const [router, laptop] = namespaces;
  const directory = mkdtempSync(join(tmpdir(), "headrace-laptop-"));
  const browserPath = join(directory, "chromium");
  const network = {
    serverAddress,
    /** A script that runs Chromium on the laptop. */
    browserPath,
    /** Interrupts the connection to the server; `outage` is one of OUTAGES. */
    disconnect(outage) {
      if (outage === OUTAGES.silent) router.run("sh", "-c", forwardingCommand(0));
      else laptop.run("ip", "link", "set", "lan", "down");
    },
    /** Restores the connection to the server. */
    reconnect(outage) {
      if (outage === OUTAGES.silent) router.run("sh", "-c", forwardingCommand(1));
      else laptop.run("ip", "-batch", "-", { input: `link set lan up\nroute add default via ${downstream}` });
    },
    async stop() {
      rmSync(directory, { recursive: true });
      await Promise.all(namespaces.map((namespace) => namespace.stop()));
    },
  };
  try {
    writeFileSync(browserPath, `#!/bin/sh\nexec nsenter --net=${laptop.path} -- ${chromiumPath()} "$@"\n`);
    chmodSync(browserPath, 0o755);
    run("ip", "-batch", "-", {
      input: `link add ${link} type veth peer name wan netns ${router.pid}
        address add ${serverAddress}/30 dev ${link}
        link set ${link} up
        route add ${laptopAddress} via ${upstream}`,
    });
    router.run("ip", "-batch", "-", {
      input: `link add lan type veth peer name lan netns ${laptop.pid}
        address add ${upstream}/30 dev wan
        address add ${downstream}/30 dev lan
        link set wan up
        link set lan up`,
    });
    router.run("sh", "-c", forwardingCommand(1));
    laptop.run("ip", "-batch", "-", {
      input: `address add ${laptopAddress}/30 dev lan
        link set lo up
        link set lan up
        route add default via ${downstream}`,
    });
  } catch (error) {
    await network.stop();
    throw error;
  }
  return network;
}

/** Returns the command that turns the forwarding of packets on (1) or off (0). */
function forwardingCommand(value) {
  return `echo ${value} > /proc/sys/net/ipv4/ip_forward`;
}

/** Returns a number as an IPv4 address. */
function formatAddress(number) {
  return [24, 16, 8, 0].map((bits) => Math.floor(number / 2 ** bits) % 256).join(".");
}

/** Starts a process in a new network namespace. */
async function startNamespace() {
  const holder = spawn("unshare", ["--net", "cat"], { stdio: ["pipe", "pipe", "inherit"] });
  const exited = new Promise((resolve) => holder.once("exit", resolve));
  holder.stdin.write("\n"); // `cat` returns it, which shows that the namespace exists
  const started = new Promise((resolve) => holder.stdout.once("data", resolve));
  await Promise.race([
    started,
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

/** Runs a command to its end; the last argument may be options. Throws if the command fails. */
function run(program, ...args) {
  const options = typeof args.at(-1) === "object" ? args.pop() : {};
  const { status, stderr, error } = spawnSync(program, args, { encoding: "utf8", ...options });
  if (status !== 0) throw new Error(`${program} ${args.join(" ")} failed: ${error?.message ?? stderr}`);
}
