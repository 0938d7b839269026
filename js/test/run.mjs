// Bundles each test file, so that Node can run TypeScript, and runs the tests with Node's test runner.

import { spawnSync } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const names = (await readdir(here, { recursive: true })).filter((name) => name.endsWith(".test.ts"));
const outdir = await mkdtemp(join(here, "../node_modules/.headrace-test-"));
try {
  await build({
    absWorkingDir: here,
    entryPoints: names,
    outdir,
    outbase: here,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    packages: "external",
    platform: "node",
    format: "esm",
    target: "node20",
    sourcemap: "inline",
    logLevel: "warning",
  });
  const files = names.map((name) => join(outdir, name.replace(/\.ts$/, ".mjs")));
  const reporter = process.stdout.isTTY ? "spec" : "dot";
  const args = [
    "--enable-source-maps",
    "--test",
    `--test-reporter=${reporter}`,
    ...process.argv.slice(2),
    ...files,
  ];
  process.exitCode =
    spawnSync(process.execPath, args, { cwd: join(here, ".."), stdio: "inherit" }).status ?? 1;
} finally {
  await rm(outdir, { recursive: true });
}
