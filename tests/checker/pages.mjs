// Clients of the checker that are real pages in Chromium: each a browser context with one Channel.
// Takes a JSON list of them as its first line, and `{"hang_up": client_id}` later; says on stdout,
// a JSON object a line, what each page is told.

import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { launchBrowser } from "../browser/harness.mjs";

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
const say = (told) => process.stdout.write(`${JSON.stringify(told)}\n`);

/** Runs in the page. */
async function listen({ url, token, transport }) {
  const { Channel } = await import("/headrace.js");
  const channel = new Channel({ url, token, transports: [transport] });
  const tell = (type, pick) =>
    channel.addEventListener(type, (event) => window.tell({ type, ...pick(event) }));
  tell("open", ({ id, recovered }) => ({ id, recovered }));
  tell("message", ({ id, data, group = null }) => ({ id, data, group }));
  tell("gap", ({ after, before }) => ({ after, before }));
  tell("error", ({ code, description, fatal }) => ({ code, description, fatal }));
  tell("close", ({ code, reason }) => ({ code, reason }));
}

async function open(client) {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.on("pageerror", (error) => say({ client: client.client, type: "pageerror", text: String(error) }));
  await page.exposeFunction("tell", (told) => say({ client: client.client, ...told }));
  await page.goto(`http://127.0.0.1:${site.address().port}/`);
  await page.evaluate(listen, client);
  pages.set(client.client, page);
}

for await (const line of createInterface(process.stdin)) {
  const asked = JSON.parse(line);
  if (Array.isArray(asked)) await Promise.all(asked.map(open));
  // To a channel that is open this says that the network has changed: it ends its connection and dials anew.
  else await pages.get(asked.hang_up)?.evaluate(() => void window.dispatchEvent(new Event("online")));
}
await browser.close();
site.close();
