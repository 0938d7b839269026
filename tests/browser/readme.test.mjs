// The page in README.md, as it is written except for the ports.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { post } from "./helpers/api.mjs";
import { openPage } from "./helpers/browser.mjs";
import { startServerAndBrowser, stopServerAndBrowser } from "./helpers/server.mjs";

const SERVER_URL = "http://127.0.0.1:8080"; // in the README
const PAGE_ORIGIN = "http://127.0.0.1:8000";

let site;
let siteUrl;
let server;
let browser;

before(async () => {
  const readme = await readFile(new URL("../../README.md", import.meta.url), "utf8");
  const html = /```html\n(.*?)```/s.exec(readme)[1];
  assert.ok(html.includes(SERVER_URL));
  assert.ok(readme.includes(`headrace serve --allowed-origin ${PAGE_ORIGIN}\n`));
  assert.ok(readme.includes(`opened ${PAGE_ORIGIN}/\n`));
  site = createServer((request, response) => {
    if (request.url !== "/") return response.writeHead(204).end();
    response.setHeader("content-type", "text/html");
    response.end(html.replaceAll(SERVER_URL, server.url));
  });
  await new Promise((resolve) => site.listen(0, "127.0.0.1", resolve));
  siteUrl = `http://127.0.0.1:${site.address().port}`;
  ({ server, browser } = await startServerAndBrowser({ env: { HEADRACE_ALLOWED_ORIGINS: siteUrl } }));
});

after(async () => {
  await stopServerAndBrowser(server, browser);
  site?.close();
});

test("the page in the README displays a message", async () => {
  const { token } = await post(server.url, "/v1/channels", { client_id: "ada" });
  await post(server.url, "/v1/send", { to: "ada", data: "Hello, page" }); // kept until the page connects
  const page = await openPage(browser);
  page.on("dialog", (dialog) => dialog.accept(token));
  await page.goto(`${siteUrl}/`);
  await page.getByText("Hello, page").waitFor();
  assert.deepEqual(page.errors, []);
  await page.context().close();
});
