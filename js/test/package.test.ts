/** The npm package. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";

test("has the licence and the documentation", () => {
  // Without `prepack`, which writes dist/: other tests build it.
  const args = ["pack", "--dry-run", "--json", "--ignore-scripts", "--offline"];
  const { stdout, stderr } = spawnSync("npm", args, { encoding: "utf8" });
  const [tarball] = JSON.parse(stdout || `"${stderr}"`);
  const paths: string[] = tarball.files.map(({ path }: { path: string }) => path);
  const others = paths.filter((path) => !path.startsWith("dist/")).sort();
  assert.deepEqual(others, ["LICENSE", "README.md", "package.json"]);
});

test("has the project's licence: npm takes it from the package's folder only", async () => {
  const read = (path: string) => readFile(join(process.cwd(), path), "utf8");
  assert.equal(await read("LICENSE"), await read("../LICENSE"));
});
