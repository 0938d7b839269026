import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { baseUrl, scriptOrigin } from "../src/address.js";

const root = globalThis as { location?: { href: string } };
afterEach(() => {
  delete root.location;
});

test("the server is where the script came from", () => {
  root.location = { href: "https://page.example/chat?x=1" };
  assert.equal(scriptOrigin("https://push.example:8443/_ah/channel/jsapi?v=1"), "https://push.example:8443");
});

test("a script that came from no web address means the page's server", () => {
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

test("outside a page the url must be given", () => {
  assert.throws(() => scriptOrigin("file:///x.js"), /url is missing/);
});

test("base URLs become absolute http, without what may follow the path", () => {
  assert.equal(baseUrl("https://push.example"), "https://push.example");
  assert.equal(baseUrl("https://push.example:8443/hub//?x=1#y"), "https://push.example:8443/hub");
  assert.equal(baseUrl(new URL("http://127.0.0.1:8080/")), "http://127.0.0.1:8080");
  assert.equal(baseUrl("ws://push.example"), "http://push.example");
  assert.equal(baseUrl("wss://push.example/a"), "https://push.example/a");
  root.location = { href: "https://page.example/chat/" };
  assert.equal(baseUrl("/push/"), "https://page.example/push");
  assert.equal(baseUrl("//push.example"), "https://push.example");
});

test("other schemes are refused", () => {
  assert.throws(() => baseUrl("ftp://push.example"), /it must begin with http: or https:/);
  assert.throws(() => baseUrl("push.example"), TypeError);
});
