// Each example, used by two people, with screenshots in tests/screenshots/.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launchBrowser, openPage } from "./helpers/browser.mjs";
import { findFreePorts, startExample } from "./helpers/example_process.mjs";
import { takeScreenshots } from "./helpers/screenshots.mjs";

const DESKTOP = { viewport: { width: 1280, height: 800 } };
const PHONE = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true };

let browser;

before(async () => {
  browser = await launchBrowser();
});

after(() => browser?.close());

/** Starts an example, calls `steps` with its URL, and stops the example. */
async function withExample(name, { env, args }, steps) {
  const example = await startExample(name, env, args);
  try {
    await steps(example.url);
  } finally {
    await example.stop();
  }
}

test("chat-rooms: two people exchange lines, see who is online, and leave", () =>
  withExample("chat-rooms", { env: { PORT: "0" } }, async (url) => {
    const enter = async (name, options, path = "/") => {
      const page = await openPage(browser, options);
      await page.goto(url + path);
      await page.getByLabel("Your name").fill(name);
      if (name === "Ada") await takeScreenshots(page, "chat-rooms-phone-enter");
      await page.getByRole("button", { name: "Join" }).click();
      await page.getByRole("status").filter({ hasText: "Connected" }).waitFor();
      return page;
    };
    const sendLine = async (page, text) => {
      await page.getByLabel("Your message").fill(text);
      await page.getByLabel("Your message").press("Enter");
    };
    const waitForLine = (page, text) => page.getByRole("log").getByText(text, { exact: true }).waitFor();
    const people = (page) => page.getByLabel("People in this room").locator(".name");
    const waitForPeople = async (page, names) => {
      await people(page)
        .nth(names.length - 1)
        .waitFor();
      await page.waitForFunction(
        (count) => document.querySelectorAll("#people .name").length === count,
        names.length,
      );
      assert.deepEqual(await people(page).allTextContents(), names);
    };
    const waitForRoomCount = (page, room, text) =>
      page.getByRole("link", { name: room }).filter({ hasText: text }).waitFor();

    const ada = await enter("Ada", PHONE);
    await waitForPeople(ada, ["Ada"]);
    await sendLine(ada, "The first line");
    await waitForLine(ada, "The first line");

    // A person who enters later sees the earlier lines, and is displayed to the others.
    const ben = await enter("Ben", DESKTOP);
    await waitForLine(ben, "The first line");
    await waitForPeople(ben, ["Ada", "Ben"]);
    await waitForPeople(ada, ["Ada", "Ben"]);
    await ada.getByText("Ben joined").waitFor();
    const markup =
      "<b>Yes</b>, I have just entered. This line is long enough to be wrapped on a narrow screen.";
    await sendLine(ben, markup);
    await waitForLine(ada, markup);
    await sendLine(ada, "Good.");
    await waitForLine(ben, "Good.");
    await takeScreenshots(ada, "chat-rooms-phone");
    await takeScreenshots(ben, "chat-rooms-desktop");

    // Another room is another group. Its lines are displayed only there.
    await ben.getByLabel("Name of a new room").fill("Back yard");
    await ben.getByLabel("Name of a new room").press("Enter");
    await ben.getByRole("heading", { name: "Back yard" }).waitFor();
    await ada.getByText("Ben left").waitFor();
    await waitForPeople(ada, ["Ada"]);
    await waitForRoomCount(ada, "Back yard", "1");
    await sendLine(ben, "A line in the back yard.");
    await waitForLine(ben, "A line in the back yard.");
    await sendLine(ada, "A line in the first room.");
    await waitForLine(ada, "A line in the first room.");
    assert.equal(await ada.getByText("A line in the back yard.").count(), 0);
    assert.equal(await ben.getByText("A line in the first room.").count(), 0);
    await ada.getByRole("link", { name: "Back yard" }).click();
    await waitForLine(ada, "A line in the back yard.");
    await waitForPeople(ben, ["Ben", "Ada"]);

    // After a reload the person is the same. A person who closes the page has left.
    await ben.reload();
    await waitForLine(ben, "A line in the back yard.");
    await waitForPeople(ben, ["Ben", "Ada"]);
    await ben.context().close();
    await ada.getByText("Ben left").waitFor();
    await waitForPeople(ada, ["Ada"]);
    assert.deepEqual([ada.errors, ben.errors], [[], []]);
    await ada.context().close();
  }));

/** Starts a game as X, and joins it as O with its link. */
async function startGame(url) {
  const x = await openPage(browser, DESKTOP);
  await x.goto(url);
  await x.getByRole("button", { name: "New game" }).click();
  await x.getByRole("status").filter({ hasText: "Waiting for an opponent" }).waitFor();
  const o = await openPage(browser, PHONE);
  await o.goto(await x.getByLabel("Send this link").inputValue());
  await o.getByText("You play O").waitFor();
  await o.getByRole("button", { name: "Join the game" }).click();
  return { x, o };
}

const waitForStatus = (page, text) => page.getByRole("status").filter({ hasText: text }).waitFor();
const presenceOf = (page, mark) => page.locator(`#players [data-mark=${mark}] .presence`);

/** Takes cells in turn, each when the page shows that it is its turn, and waits until both pages show it. */
async function playGame({ x, o }, cells, first = "X") {
  const pages = first === "X" ? [x, o] : [o, x];
  for (const [turn, cell] of cells.entries()) {
    const page = pages[turn % 2];
    const mark = page === x ? "X" : "O";
    await waitForStatus(page, "Your turn");
    await page.getByRole("button", { name: `${cell}: empty` }).click();
    for (const each of pages) await each.getByRole("button", { name: `${cell}: ${mark}` }).waitFor();
  }
}

async function withGame(args, steps) {
  const [PORT, HEADRACE_PORT, APP_PORT] = await findFreePorts(3);
  await withExample("tic-tac-toe", { env: { PORT, HEADRACE_PORT, APP_PORT }, args }, async (url) => {
    const players = await startGame(url);
    await steps(players);
    assert.deepEqual([players.x.errors, players.o.errors], [[], []]);
    await players.x.context().close();
    await players.o.context().close();
  });
}

test("tic-tac-toe: a complete game behind nginx, with the script from the page's origin", () =>
  withGame(["--nginx"], async ({ x, o }) => {
    assert.equal(await o.locator('script[src="/_ah/channel/jsapi"]').count(), 1);
    await playGame({ x, o }, ["Top left", "Middle centre", "Top centre", "Bottom left"]);
    // Invalid moves: a cell that is taken, and a move out of turn.
    for (const [page, cell] of [
      [x, 4],
      [o, 2],
    ]) {
      const response = await page.request.post(`${page.url()}/move`, { form: { cell } });
      assert.equal(response.status(), 409);
    }
    await takeScreenshots(o, "tic-tac-toe-phone-turn");
    await playGame({ x, o }, ["Top right"]);
    await waitForStatus(x, "You win!");
    await waitForStatus(o, "You lose");
    await takeScreenshots(x, "tic-tac-toe-desktop-won");

    // The loser begins the next game. A reload does not change the game.
    await x.getByRole("button", { name: "Play again" }).click();
    await playGame({ x, o }, ["Middle centre"], "O");
    await x.reload();
    await waitForStatus(x, "Your turn");
    assert.equal(await x.locator("#players [data-mark=X] .score").textContent(), "1");
    await x.getByRole("button", { name: "Middle centre: O" }).waitFor();
  }));

test("tic-tac-toe: without nginx, each player sees whether the other is online", () =>
  withGame([], async ({ x, o }) => {
    for (const page of [x, o]) {
      for (const mark of ["X", "O"]) await presenceOf(page, mark).filter({ hasText: "online" }).waitFor();
    }
    await playGame({ x, o }, ["Bottom right"]);
    const url = o.url();
    await o.goto("about:blank");
    await presenceOf(x, "O").filter({ hasText: "offline" }).waitFor();
    await o.goto(url);
    await presenceOf(x, "O").filter({ hasText: "online" }).waitFor();
    await o.getByRole("button", { name: "Bottom right: X" }).waitFor();
  }));

test("whiteboard: a stroke is displayed live to others, kept, and displayed to those who join later", async () => {
  const [PORT, HEADRACE_PORT] = await findFreePorts(2);
  await withExample("whiteboard", { env: { PORT, HEADRACE_PORT } }, async (url) => {
    const openBoard = async (boardUrl, options) => {
      const page = await openPage(browser, options);
      await page.goto(boardUrl);
      await waitForStatus(page, "Connected");
      return page;
    };
    const waitForStrokes = (page, text) =>
      page.getByRole("img", { name: `The drawing: ${text}`, exact: true }).waitFor();
    const waitForPeople = (page, count) =>
      page.waitForFunction(
        (wanted) => document.querySelectorAll("#people li").length === wanted,
        count,
        { polling: 100 }, // not with each animation frame: a page in the background may have none
      );
    /** Returns true if a canvas has any colour near a point, given in fractions of its side. */
    const isDrawn = ([id, x, y]) => {
      const canvas = document.getElementById(id);
      const copy = new OffscreenCanvas(8, 8).getContext("2d", { willReadFrequently: true });
      copy.drawImage(canvas, x * canvas.width - 4, y * canvas.width - 4, 8, 8, 0, 0, 8, 8);
      return copy.getImageData(0, 0, 8, 8).data.some((part) => part > 0);
    };
    /** Points of a heart, in fractions of the board's side. */
    const heart = Array.from({ length: 41 }, (_, i) => {
      const t = (i / 40) * 2 * Math.PI;
      const y = 13 * Math.cos(t) - 5 * Math.cos(2 * t) - 2 * Math.cos(3 * t) - Math.cos(4 * t);
      return [0.4 + 0.016 * 16 * Math.sin(t) ** 3, 0.42 - 0.016 * y];
    });

    const ada = await openBoard(url, DESKTOP);
    const ben = await openBoard(ada.url(), PHONE);
    await waitForPeople(ada, 2);
    await waitForPeople(ben, 2);

    // A stroke whose button is still pressed is displayed to others, but not kept.
    const box = await ada.locator("#live").boundingBox();
    const toPixels = ([x, y]) => [box.x + x * box.width, box.y + y * box.height];
    await ada.getByLabel("Red").check();
    await ada.mouse.move(...toPixels(heart[0]));
    await ada.mouse.down();
    for (const point of heart.slice(1, 30)) await ada.mouse.move(...toPixels(point));
    await ben.waitForFunction(isDrawn, ["live", ...heart[20]]);
    await ben.locator(".cursor span").waitFor();
    await waitForStrokes(ben, "empty");
    await takeScreenshots(ben, "whiteboard-phone-live");
    for (const point of heart.slice(30)) await ada.mouse.move(...toPixels(point));
    await ada.mouse.up();
    await waitForStrokes(ben, "1 stroke");
    await ben.waitForFunction(isDrawn, ["drawing", ...heart[39]]);
    assert.equal(await ben.evaluate(isDrawn, ["live", ...heart[20]]), false);

    // Drawing with a finger on a phone.
    const touch = await ben.context().newCDPSession(ben);
    const pad = await ben.locator("#live").boundingBox();
    await ben.getByLabel("Teal").check();
    for (let i = 0; i <= 20; i++) {
      const touchPoints = [
        { x: pad.x + pad.width * (0.15 + i * 0.025), y: pad.y + pad.height * (0.8 + 0.05 * Math.sin(i)) },
      ];
      await touch.send("Input.dispatchTouchEvent", { type: i ? "touchMove" : "touchStart", touchPoints });
    }
    await touch.send("Input.dispatchTouchEvent", { type: "touchEnd", touchPoints: [] });
    await waitForStrokes(ada, "2 strokes");

    // Drawing with keys.
    await ada.getByRole("application", { name: "Board" }).focus();
    for (const key of ["ArrowRight", " ", "ArrowRight", "ArrowDown", " "]) await ada.keyboard.press(key);
    await waitForStrokes(ben, "3 strokes");
    await ada.getByRole("button", { name: "Undo" }).click();
    await waitForStrokes(ben, "2 strokes");

    // A person who joins later, and one who leaves.
    const cid = await openBoard(ada.url(), DESKTOP);
    await waitForStrokes(cid, "2 strokes");
    await waitForPeople(ada, 3);
    await waitForPeople(cid, 3); // a cursor is displayed only for known people
    await cid.bringToFront();
    await ada.mouse.move(...toPixels([0.7, 0.3]));
    await cid.locator(".cursor span:visible").waitFor();
    await takeScreenshots(cid, "whiteboard-desktop");
    await takeScreenshots(ben, "whiteboard-phone");
    await ben.context().close();
    cid.on("dialog", (dialog) => dialog.accept());
    await cid.getByRole("button", { name: "Clear" }).click();
    await waitForStrokes(ada, "empty");
    await waitForPeople(ada, 2);
    assert.deepEqual([ada.errors, ben.errors, cid.errors], [[], [], []]);
    await ada.context().close();
    await cid.context().close();
  });
});
