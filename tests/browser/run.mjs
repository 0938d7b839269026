// Runs the browser tests with Node's test runner, one file after another. Arguments select files by a
// part of their name. Needs Chromium (Debian: chromium), `npm --prefix js ci` and Headrace in .venv.

import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const parts = process.argv.slice(2);
const files = readdirSync(here)
  .filter((name) => name.endsWith(".test.mjs"))
  .filter((name) => parts.length === 0 || parts.some((part) => name.includes(part)))
  .map((name) => join(here, name));
if (files.length === 0) {
  console.error(`no test file has ${parts.join(" or ")} in its name`);
  process.exit(1);
}
// For a page that hangs; Playwright's own limits are shorter.
const TIMEOUT_MS = 120_000;
const args = [
  "--test",
  `--test-timeout=${TIMEOUT_MS}`,
  "--test-concurrency=1",
  "--test-reporter=spec",
  ...files,
];
process.exitCode = spawnSync(process.execPath, args, { stdio: "inherit" }).status ?? 1;
