// Builds the client.
//
// Without a flag: write the files that the server serves into core/headrace/static/.
// --check: run all checks, and check that the committed files match the sources.
// --package: write the npm package's files into dist/.

import { spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const staticDir = join(here, "../core/headrace/static");
const { version } = JSON.parse(await readFile(join(here, "package.json"), "utf8"));
const banner = { js: `/*! headrace ${version} | MIT License */` };
const common = { absWorkingDir: here, bundle: true, banner, charset: "utf8", logLevel: "warning" };

const served = [
  { name: "headrace.js", entry: "src/index.ts", format: "esm", target: "es2020" },
  { name: "jsapi.js", entry: "src/jsapi.ts", format: "iife", target: "es2018" },
];

/**
 * Names that the served files may shorten, besides private ones: members that only the client's own
 * modules use. A name of the public API, of a DOM interface, of a frame from the server or of a
 * message between tabs must not be here, because it would be shortened there too.
 */
const internalNames = [
  "abandonFetch",
  "cancelProbe",
  "covers",
  "discard",
  "flush",
  "isFirst",
  "isOnline",
  "isOpen",
  "markUncertain",
  "nextDelayMs",
  "onClose",
  "onError",
  "onFrame",
  "onGap",
  "onMessage",
  "onOpen",
  "onWake",
  "overSocket",
  "recordFailure",
  "recordSuccess",
  "refresh",
  "rejectAll",
  "renewable",
  "schedule",
  "settle",
  "startFrom",
];

/** Write the files that the server serves into `outdir`. */
async function buildServed(outdir) {
  for (const { name, entry, format, target } of served) {
    const outfile = join(outdir, name);
    await build({
      ...common,
      entryPoints: [entry],
      outfile,
      format,
      target,
      minify: true,
      mangleProps: new RegExp(`^(_[a-z].*|${internalNames.join("|")})$`),
    });
  }
}

/** Write the npm package's module and type declarations into `outdir`. */
async function buildPackage(outdir) {
  const outfile = join(outdir, "index.js");
  await build({ ...common, entryPoints: ["src/index.ts"], outfile, format: "esm", target: "es2020" });
  run("declarations", "tsc", ["-p", "tsconfig.package.json", "--outDir", outdir]);
}

/** Run a program from node_modules/.bin, or node itself. Exit if it fails. */
function run(what, program, args) {
  const path = program === "node" ? process.execPath : join(here, "node_modules/.bin", program);
  const { status, error } = spawnSync(path, args, { cwd: here, stdio: "inherit" });
  if (status !== 0) fail(`${what}: ${program} ${args.join(" ")} failed${error ? `: ${error.message}` : ""}`);
}

function fail(message) {
  console.error(message);
  process.exit(1);
}

async function check() {
  run("types", "tsc", ["-p", "tsconfig.json"]);
  run("types of the tests", "tsc", ["-p", "test"]);
  run("lint", "biome", ["ci", "--error-on-warnings", "."]);
  run("unit tests", "node", ["test/run.mjs"]);
  const scratch = await mkdtemp(join(tmpdir(), "headrace-js-"));
  try {
    await buildPackage(scratch);
    await buildServed(scratch);
    for (const { name } of served) {
      const fresh = await readFile(join(scratch, name));
      const committed = await readFile(join(staticDir, name)).catch(() => null);
      if (!committed?.equals(fresh)) {
        fail(`core/headrace/static/${name} does not match the sources in js/: run "make js" and commit it`);
      }
      console.log(`${name}: ${fresh.length} bytes, ${gzipSync(fresh).length} gzipped`);
    }
  } finally {
    await rm(scratch, { recursive: true });
  }
}

switch (process.argv[2]) {
  case undefined:
    await buildServed(staticDir);
    break;
  case "--package":
    await buildPackage(join(here, "dist"));
    break;
  case "--check":
    await check();
    break;
  default:
    fail(`unknown flag ${process.argv[2]}: use --check, --package or no flag`);
}
