// The examples, each as two people use it. Pictures of them come into tests/screenshots/.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { freePorts, pictures, startExample } from "./example.mjs";
import { launchBrowser, openPage } from "./harness.mjs";

const DESKTOP = { viewport: { width: 1280, height: 800 } };
const PHONE = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true };

let browser;

before(async () => {
  browser = await launchBrowser();
});

after(() => browser?.close());

/** Run `steps` with the example's address, and end the example in any case. */
async function withExample(name, { env, args }, steps) {
  const example = await startExample(name, env, args);
  try {
    await steps(example.url);
  } finally {
    await example.stop();
  }
}

test("chat-rooms: two people talk, see who is online, and part", () =>
  withExample("chat-rooms", { env: { PORT: "0" } }, async (url) => {
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

/** X begins a game and O joins it by its link. */
async function beginGame(url) {
  const x = await openPage(browser, DESKTOP);
  await x.goto(url);
  await x.getByRole("button", { name: "New game" }).click();
  await x.getByRole("status").filter({ hasText: "Waiting for somebody" }).waitFor();
  const o = await openPage(browser, PHONE);
  await o.goto(await x.getByLabel("Send this link").inputValue());
  await o.getByText("You play O").waitFor();
  await o.getByRole("button", { name: "Join the game" }).click();
  return { x, o };
}

const status = (page, text) => page.getByRole("status").filter({ hasText: text }).waitFor();
const presence = (page, mark) => page.locator(`#players [data-mark=${mark}] .presence`);

/** Take cells in turn, each move when the page says whose turn it is, and wait until both show it. */
async function playGame({ x, o }, cells, first = "X") {
  const pages = first === "X" ? [x, o] : [o, x];
  for (const [turn, cell] of cells.entries()) {
    const page = pages[turn % 2];
    const mark = page === x ? "X" : "O";
    await status(page, "Your turn");
    await page.getByRole("button", { name: `${cell}: empty` }).click();
    for (const each of pages) await each.getByRole("button", { name: `${cell}: ${mark}` }).waitFor();
  }
}

async function withGame(args, steps) {
  const [PORT, HEADRACE_PORT, APP_PORT] = await freePorts(3);
  await withExample("tic-tac-toe", { env: { PORT, HEADRACE_PORT, APP_PORT }, args }, async (url) => {
    const players = await beginGame(url);
    await steps(players);
    assert.deepEqual([players.x.faults, players.o.faults], [[], []]);
    await players.x.context().close();
    await players.o.context().close();
  });
}

test("tic-tac-toe: a game to its end, behind nginx, with the script of the page's own origin", () =>
  withGame(["--nginx"], async ({ x, o }) => {
    assert.equal(await o.locator('script[src="/_ah/channel/jsapi"]').count(), 1);
    await playGame({ x, o }, ["Top left", "Middle centre", "Top centre", "Bottom left"]);
    // Against the rules: a cell that is taken, and out of turn.
    for (const [page, cell] of [
      [x, 4],
      [o, 2],
    ]) {
      const answer = await page.request.post(`${page.url()}/move`, { form: { cell } });
      assert.equal(answer.status(), 409);
    }
    await pictures(o, "tic-tac-toe-phone-turn");
    await playGame({ x, o }, ["Top right"]);
    await status(x, "You win!");
    await status(o, "You lose");
    await pictures(x, "tic-tac-toe-desktop-won");

    // The loser begins the next one. A reload changes nothing.
    await x.getByRole("button", { name: "Play again" }).click();
    await playGame({ x, o }, ["Middle centre"], "O");
    await x.reload();
    await status(x, "Your turn");
    assert.equal(await x.locator("#players [data-mark=X] .score").textContent(), "1");
    await x.getByRole("button", { name: "Middle centre: O" }).waitFor();
  }));

test("tic-tac-toe: without nginx, each sees whether the other one is online", () =>
  withGame([], async ({ x, o }) => {
    for (const page of [x, o]) {
      for (const mark of ["X", "O"]) await presence(page, mark).filter({ hasText: "online" }).waitFor();
    }
    await playGame({ x, o }, ["Bottom right"]);
    const address = o.url();
    await o.goto("about:blank");
    await presence(x, "O").filter({ hasText: "away" }).waitFor();
    await o.goto(address);
    await presence(x, "O").filter({ hasText: "online" }).waitFor();
    await o.getByRole("button", { name: "Bottom right: X" }).waitFor();
  }));

test("whiteboard: a stroke grows on the other screen, stays, and is there for those who come later", async () => {
  const [PORT, HEADRACE_PORT] = await freePorts(2);
  await withExample("whiteboard", { env: { PORT, HEADRACE_PORT } }, async (url) => {
    const open = async (address, options) => {
      const page = await openPage(browser, options);
      await page.goto(address);
      await status(page, "Connected");
      return page;
    };
    const strokes = (page, text) =>
      page.getByRole("img", { name: `The drawing: ${text}`, exact: true }).waitFor();
    const people = (page, count) =>
      page.waitForFunction(
        (wanted) => document.querySelectorAll("#people li").length === wanted,
        count,
        { polling: 100 }, // not with each frame: a page that is not in front may draw none
      );
    /** Whether a canvas has any colour near a place, given in parts of its side. */
    const isDrawn = ([id, x, y]) => {
      const canvas = document.getElementById(id);
      const copy = new OffscreenCanvas(8, 8).getContext("2d", { willReadFrequently: true });
      copy.drawImage(canvas, x * canvas.width - 4, y * canvas.width - 4, 8, 8, 0, 0, 8, 8);
      return copy.getImageData(0, 0, 8, 8).data.some((part) => part > 0);
    };
    /** Points of a heart, in parts of the board's side. */
    const heart = Array.from({ length: 41 }, (_, i) => {
      const t = (i / 40) * 2 * Math.PI;
      const y = 13 * Math.cos(t) - 5 * Math.cos(2 * t) - 2 * Math.cos(3 * t) - Math.cos(4 * t);
      return [0.4 + 0.016 * 16 * Math.sin(t) ** 3, 0.42 - 0.016 * y];
    });

    const ada = await open(url, DESKTOP);
    const ben = await open(ada.url(), PHONE);
    await people(ada, 2);
    await people(ben, 2);

    // A hand that has not let go yet: seen by the other one, and not kept.
    const box = await ada.locator("#live").boundingBox();
    const at = ([x, y]) => [box.x + x * box.width, box.y + y * box.height];
    await ada.getByLabel("Brick").check();
    await ada.mouse.move(...at(heart[0]));
    await ada.mouse.down();
    for (const point of heart.slice(1, 30)) await ada.mouse.move(...at(point));
    await ben.waitForFunction(isDrawn, ["live", ...heart[20]]);
    await ben.locator(".cursor span").waitFor();
    await strokes(ben, "empty");
    await pictures(ben, "whiteboard-phone-live");
    for (const point of heart.slice(30)) await ada.mouse.move(...at(point));
    await ada.mouse.up();
    await strokes(ben, "1 stroke");
    await ben.waitForFunction(isDrawn, ["drawing", ...heart[39]]);
    assert.equal(await ben.evaluate(isDrawn, ["live", ...heart[20]]), false);

    // A finger on a phone.
    const touch = await ben.context().newCDPSession(ben);
    const pad = await ben.locator("#live").boundingBox();
    await ben.getByLabel("Water").check();
    for (let i = 0; i <= 20; i++) {
      const touchPoints = [
        { x: pad.x + pad.width * (0.15 + i * 0.025), y: pad.y + pad.height * (0.8 + 0.05 * Math.sin(i)) },
      ];
      await touch.send("Input.dispatchTouchEvent", { type: i ? "touchMove" : "touchStart", touchPoints });
    }
    await touch.send("Input.dispatchTouchEvent", { type: "touchEnd", touchPoints: [] });
    await strokes(ada, "2 strokes");

    // Keys.
    await ada.getByRole("application", { name: "Board" }).focus();
    for (const key of ["ArrowRight", " ", "ArrowRight", "ArrowDown", " "]) await ada.keyboard.press(key);
    await strokes(ben, "3 strokes");
    await ada.getByRole("button", { name: "Undo" }).click();
    await strokes(ben, "2 strokes");

    // Who comes later, and who has gone.
    const cid = await open(ada.url(), DESKTOP);
    await strokes(cid, "2 strokes");
    await people(ada, 3);
    await people(cid, 3); // before that it knows of no hand that could be shown
    await cid.bringToFront();
    await ada.mouse.move(...at([0.7, 0.3]));
    await cid.locator(".cursor span:visible").waitFor();
    await pictures(cid, "whiteboard-desktop");
    await pictures(ben, "whiteboard-phone");
    await ben.context().close();
    cid.on("dialog", (dialog) => dialog.accept());
    await cid.getByRole("button", { name: "Clear" }).click();
    await strokes(ada, "empty");
    await people(ada, 2);
    assert.deepEqual([ada.faults, ben.faults, cid.faults], [[], [], []]);
    await ada.context().close();
    await cid.context().close();
  });
});
