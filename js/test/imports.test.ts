/** The layers of js/src: imports go from a layer to itself or to a lower one, without cycles. */

import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join, posix } from "node:path";
import { test } from "node:test";

const SOURCE = join(process.cwd(), "src");

/** From the lowest layer to the highest: folders, and files at the top of src. */
const LAYERS = [
  ["platform.ts", "urls.ts"],
  ["protocol"],
  ["transports"],
  ["channel"],
  ["appengine.ts"],
  ["index.ts", "jsapi.ts"],
];

const FORMS = [
  /^(?:import|export)\b[^;]*?\bfrom\s*"(\.[^"]*)"/gm, // also of types
  /^import\s*"(\.[^"]*)"/gm,
  /\bimport\(\s*"(\.[^"]*)"/g, // dynamic, or of a type
];

/** The modules that `text`, the source of the module `name`, imports. */
function importsOf(name: string, text: string): string[] {
  const specifiers = FORMS.flatMap((form) => [...text.matchAll(form)].map(([, specifier = ""]) => specifier));
  return specifiers.map((specifier) => posix.join(posix.dirname(name), specifier).replace(/\.js$/, ".ts"));
}

async function readImports(): Promise<Map<string, string[]>> {
  const files = await readdir(SOURCE, { recursive: true });
  const names = files.filter((name) => name.endsWith(".ts")).map((name) => name.replaceAll("\\", "/"));
  const imports = new Map<string, string[]>();
  for (const name of names) imports.set(name, importsOf(name, await readFile(join(SOURCE, name), "utf8")));
  return imports;
}

function layerOf(name: string): number {
  return LAYERS.findIndex((parts) => parts.includes(name.split("/")[0] ?? ""));
}

/** The imports that go to a higher layer, as "importing -> imported". */
function upwardImports(imports: Map<string, string[]>): string[] {
  return [...imports].flatMap(([name, targets]) =>
    targets.filter((target) => layerOf(target) > layerOf(name)).map((target) => `${name} -> ${target}`),
  );
}

/** A cycle of imports, as the list of its modules; undefined if there is none. */
function findCycle(imports: Map<string, string[]>): string[] | undefined {
  const done = new Set<string>();
  const visit = (name: string, path: string[]): string[] | undefined => {
    if (path.includes(name)) return [...path.slice(path.indexOf(name)), name];
    if (done.has(name)) return undefined;
    for (const target of imports.get(name) ?? []) {
      const cycle = visit(target, [...path, name]);
      if (cycle) return cycle;
    }
    done.add(name);
    return undefined;
  };
  for (const name of imports.keys()) {
    const cycle = visit(name, []);
    if (cycle) return cycle;
  }
  return undefined;
}

test("every import names a module of src, and every module belongs to a layer", async () => {
  const imports = await readImports();
  assert.ok(imports.size > 30);
  for (const [name, targets] of imports) {
    assert.ok(layerOf(name) >= 0, `${name} belongs to no layer: add its folder to LAYERS`);
    for (const target of targets)
      assert.ok(imports.has(target), `${name} imports ${target}, which is missing`);
  }
});

test("no import goes to a higher layer", async () => {
  assert.deepEqual(upwardImports(await readImports()), []);
});

test("no import cycle, type imports included", async () => {
  assert.equal(findCycle(await readImports()), undefined);
});

test("the checks find each form of import, upward imports and cycles", () => {
  const text = `import "./a.js";
import { b } from "./b.js";
import type {
  C,
} from "../c/c.js";
export { d } from "./d.js";
export * from "./e.js";
let f: import("./f.js").F;
import { readFile } from "node:fs";
`;
  assert.deepEqual(importsOf("x/y.ts", text).sort(), [
    "c/c.ts",
    "x/a.ts",
    "x/b.ts",
    "x/d.ts",
    "x/e.ts",
    "x/f.ts",
  ]);
  const imports = new Map([
    ["protocol/a.ts", ["channel/b.ts"]],
    ["channel/b.ts", ["protocol/c.ts"]],
    ["protocol/c.ts", ["protocol/a.ts"]],
  ]);
  assert.deepEqual(upwardImports(imports), ["protocol/a.ts -> channel/b.ts"]);
  assert.deepEqual(findCycle(imports), ["protocol/a.ts", "channel/b.ts", "protocol/c.ts", "protocol/a.ts"]);
});
