// Clients of the checker that are pages in Chromium, each a browser context with one Channel.
//
// Reads JSON lines from stdin: first the list of pages to open, later `{"hang_up": client_id}`. Writes
// the events of the pages to stdout, one JSON object per line.

import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { launchBrowser } from "../browser/helpers/browser.mjs";

const script = await readFile(
  fileURLToPath(new URL("../../core/headrace/static/headrace.js", import.meta.url)),
);
const site = createServer((request, response) => {
  const isScript = request.url === "/headrace.js";
  response.writeHead(200, { "content-type": isScript ? "text/javascript" : "text/html" });
  response.end(isScript ? script : "<!doctype html><title>A client</title>");
}).listen(0, "127.0.0.1");
await once(site, "listening");

const browser = await launchBrowser();
const pages = new Map();
const writeEvent = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);

/** Runs in the page. */
async function openChannel({ url, token, transport }) {
  const { Channel } = await import("/headrace.js");
  const channel = new Channel({ url, token, transports: [transport] });
  const report = (type, pick) =>
    channel.addEventListener(type, (event) => window.reportEvent({ type, ...pick(event) }));
  report("open", ({ id, recovered }) => ({ id, recovered }));
  report("message", ({ id, data, group = null }) => ({ id, data, group }));
  report("gap", ({ after, before }) => ({ after, before }));
  report("error", ({ code, description, fatal }) => ({ code, description, fatal }));
  report("close", ({ code, reason }) => ({ code, reason }));
}

async function openPage(description) {
  const { client } = description;
  const context = await browser.newContext();
  const page = await context.newPage();
  page.on("pageerror", (error) => writeEvent({ client, type: "pageerror", text: String(error) }));
  await page.exposeFunction("reportEvent", (event) => writeEvent({ client, ...event }));
  await page.goto(`http://127.0.0.1:${site.address().port}/`);
  await page.evaluate(openChannel, description);
  pages.set(client, page);
}

for await (const line of createInterface(process.stdin)) {
  const command = JSON.parse(line);
  if (Array.isArray(command)) await Promise.all(command.map(openPage));
  // An open channel takes this event as a change of the network: it closes its connection and reconnects.
  else await pages.get(command.hang_up)?.evaluate(() => void window.dispatchEvent(new Event("online")));
}
await browser.close();
site.close();
