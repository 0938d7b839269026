// Runs the browser tests with Node's own test runner, one file after another.
// Needs Chromium (Debian: chromium), `npm --prefix js ci` and Headrace installed in .venv.

import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const wanted = process.argv.slice(2);
const files = readdirSync(here)
  .filter((name) => name.endsWith(".test.mjs"))
  .filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part)))
  .map((name) => join(here, name));
if (files.length === 0) {
  console.error(`no test file has ${wanted.join(" or ")} in its name`);
  process.exit(1);
}
// A page that never answers fails its test; Playwright's own limits are shorter.
const TIMEOUT_MS = 120_000;
const args = [
  "--test",
  `--test-timeout=${TIMEOUT_MS}`,
  "--test-concurrency=1",
  "--test-reporter=spec",
  ...files,
];
process.exitCode = spawnSync(process.execPath, args, { stdio: "inherit" }).status ?? 1;
