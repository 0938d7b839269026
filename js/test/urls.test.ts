import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { baseUrl, scriptOrigin } from "../src/urls.js";

const root = globalThis as { location?: { href: string } };
afterEach(() => {
  delete root.location;
});

test("scriptOrigin() is the script's origin", () => {
  root.location = { href: "https://page.example/chat?x=1" };
  assert.equal(scriptOrigin("https://push.example:8443/_ah/channel/jsapi?v=1"), "https://push.example:8443");
});

test("scriptOrigin() is the page's origin for a script without an HTTP URL", () => {
  root.location = { href: "https://page.example:8080/chat?x=1" };
  for (const script of [
    null,
    undefined,
    "",
    "file:///x.js",
    "blob:https://x.example/1",
    "data:text/javascript,1",
  ]) {
    assert.equal(scriptOrigin(script), "https://page.example:8080");
  }
});

test("scriptOrigin() throws outside a page", () => {
  assert.throws(() => scriptOrigin("file:///x.js"), /url is missing/);
});

test("baseUrl() is absolute, with an HTTP scheme and nothing after the path", () => {
  assert.equal(baseUrl("https://push.example"), "https://push.example");
  assert.equal(baseUrl("https://push.example:8443/hub//?x=1#y"), "https://push.example:8443/hub");
  assert.equal(baseUrl(new URL("http://127.0.0.1:8080/")), "http://127.0.0.1:8080");
  assert.equal(baseUrl("ws://push.example"), "http://push.example");
  assert.equal(baseUrl("wss://push.example/a"), "https://push.example/a");
  root.location = { href: "https://page.example/chat/" };
  assert.equal(baseUrl("/push/"), "https://page.example/push");
  assert.equal(baseUrl("//push.example"), "https://push.example");
});

test("baseUrl() rejects other schemes", () => {
  assert.throws(() => baseUrl("ftp://push.example"), /it must begin with http: or https:/);
  assert.throws(() => baseUrl("push.example"), TypeError);
});
