// The examples, each as two people use it. Pictures of them come into tests/screenshots/.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { pictures, startExample } from "./example.mjs";
import { launchBrowser, openPage } from "./harness.mjs";

const DESKTOP = { viewport: { width: 1280, height: 800 } };
const PHONE = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true };

let browser;

before(async () => {
  browser = await launchBrowser();
});

after(() => browser?.close());

/** Run `steps` with the example's address, and end the example in any case. */
async function withExample(name, env, steps) {
  const example = await startExample(name, env);
  try {
    await steps(example.url);
  } finally {
    await example.stop();
  }
}

test("chat-rooms: two people talk, see who is online, and part", () =>
  withExample("chat-rooms", { PORT: "0" }, async (url) => {
    const walkIn = async (name, options, path = "/") => {
      const page = await openPage(browser, options);
      await page.goto(url + path);
      await page.getByLabel("Your name").fill(name);
      if (name === "Ada") await pictures(page, "chat-rooms-phone-door");
      await page.getByRole("button", { name: "Walk in" }).click();
      await page.getByRole("status").filter({ hasText: "Connected" }).waitFor();
      return page;
    };
    const say = async (page, text) => {
      await page.getByLabel("Your line").fill(text);
      await page.getByLabel("Your line").press("Enter");
    };
    const heard = (page, text) => page.getByRole("log").getByText(text, { exact: true }).waitFor();
    const people = (page) => page.getByLabel("Who is here").locator(".name");
    const online = async (page, names) => {
      await people(page)
        .nth(names.length - 1)
        .waitFor();
      await page.waitForFunction(
        (count) => document.querySelectorAll("#people .name").length === count,
        names.length,
      );
      assert.deepEqual(await people(page).allTextContents(), names);
    };
    const count = (page, room, text) =>
      page.getByRole("link", { name: room }).filter({ hasText: text }).waitFor();

    const ada = await walkIn("Ada", PHONE);
    await online(ada, ["Ada"]);
    await say(ada, "Is anybody there?");
    await heard(ada, "Is anybody there?");

    // Who comes later sees what was said before, and is seen.
    const ben = await walkIn("Ben", DESKTOP);
    await heard(ben, "Is anybody there?");
    await online(ben, ["Ada", "Ben"]);
    await online(ada, ["Ada", "Ben"]);
    await ada.getByText("Ben came in").waitFor();
    const markup =
      "<b>I am</b>, since just now. I brought the long way of saying what could be said in a word.";
    await say(ben, markup);
    await heard(ada, markup);
    await say(ada, "Good.");
    await heard(ben, "Good.");
    await pictures(ada, "chat-rooms-phone");
    await pictures(ben, "chat-rooms-desktop");

    // Another room is another group: what is said there stays there.
    await ben.getByLabel("Name of a new room").fill("Back yard");
    await ben.getByLabel("Name of a new room").press("Enter");
    await ben.getByRole("heading", { name: "Back yard" }).waitFor();
    await ada.getByText("Ben left").waitFor();
    await online(ada, ["Ada"]);
    await count(ada, "Back yard", "1");
    await say(ben, "It is quiet here.");
    await heard(ben, "It is quiet here.");
    await say(ada, "And here.");
    await heard(ada, "And here.");
    assert.equal(await ada.getByText("It is quiet here.").count(), 0);
    assert.equal(await ben.getByText("And here.").count(), 0);
    await ada.getByRole("link", { name: "Back yard" }).click();
    await heard(ada, "It is quiet here.");
    await online(ben, ["Ben", "Ada"]);

    // A reload stays the same person; who closes the page has left.
    await ben.reload();
    await heard(ben, "It is quiet here.");
    await online(ben, ["Ben", "Ada"]);
    await ben.context().close();
    await ada.getByText("Ben left").waitFor();
    await online(ada, ["Ada"]);
    assert.deepEqual([ada.faults, ben.faults], [[], []]);
    await ada.context().close();
  }));
