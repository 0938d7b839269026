// Screenshots of pages, in tests/screenshots/.

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { assertFits } from "./browser.mjs";

const SCREENSHOTS = fileURLToPath(new URL("../../screenshots", import.meta.url));

/** Takes a screenshot of a page. Fails if an element is not visible. */
export async function takeScreenshot(page, name) {
  await assertFits(page);
  await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`) });
}

/** Takes a screenshot of a page in both colour schemes. Fails if an element is not visible. */
export async function takeScreenshots(page, name) {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await takeScreenshot(page, `${name}-${colorScheme}`);
  }
}
