// Executables that the tests need.

import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** Returns the path of an executable. Throws if it is in no directory of PATH; `hint` says how to install it. */
export function findExecutable(program, hint) {
  const directories = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/sbin"];
  for (const directory of directories) {
    const path = join(directory, program);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this directory.
    }
  }
  throw new Error(`${program} is not on PATH: ${hint}`);
}
