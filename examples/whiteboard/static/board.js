// The page of a whiteboard. While a hand moves, the other pages are told directly, at most once in a
// frame; a finished stroke goes to the application, which keeps it and tells everybody.

import { Drawing, SIDE } from "./drawing.js";
import { watchHand } from "./pointer.js";

const $ = (id) => document.getElementById(id);
const board = location.pathname.slice(1);
const LIVE_EVERY_MS = 30;
const POINTS_MAX = 1000; // of a stroke; a longer one goes on as another

const drawing = new Drawing($("drawing"), $("live"));
const mine = []; // ids of my strokes, for Undo
let me = null; // { who, name, hue }
let clientId;
let channel;

// --- the application and the channel --------------------------------------------------------------

/** Ask the application for a token, and for the board as it is. */
async function join() {
  const response = await fetch(`/${board}/join`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ client_id: clientId }),
  });
  if (!response.ok) throw new Error(`the application answered ${response.status}`);
  const joined = await response.json();
  ({ me, client_id: clientId } = joined);
  return joined;
}

async function start() {
  const joined = await join();
  const { Channel } = await import(`${joined.url}/headrace.js`);
  let inHand = joined.token;
  channel = new Channel({
    async token() {
      const token = inHand ?? (await join()).token;
      inHand = null;
      return token;
    },
  });
  channel.addEventListener("open", ({ recovered }) => {
    $("state").textContent = "Connected";
    if (recovered === false) reload(); // it was away for too long
  });
  channel.addEventListener("gap", reload);
  channel.addEventListener("error", ({ fatal }) => {
    $("state").textContent = fatal ? "Closed: reload the page" : "Reconnecting…";
  });
  drawing.replace(joined.strokes);
  showPeople(joined.people);
  for await (const { data, group } of channel) {
    if (group === `live/${board}`) showLive(JSON.parse(data));
    else show(JSON.parse(data));
  }
}

async function reload() {
  const joined = await join();
  drawing.replace(joined.strokes);
  showPeople(joined.people);
}

/** What the application says: it holds for everybody. */
function show(told) {
  if (told.type === "stroke") drawing.finish(told);
  if (told.type === "undo") drawing.remove(told.id);
  if (told.type === "clear") drawing.replace([]);
  if (told.type === "people") showPeople(told.people);
}

async function tell(what) {
  try {
    await channel.send(JSON.stringify(what)); // without a connection, it waits
  } catch (error) {
    $("state").textContent = `Not saved: ${error.message}`;
  }
}

// --- live: from page to page ----------------------------------------------------------------------

let news = null; // since the last message: { x, y } and what was added to the stroke
let stroke = null; // mine, while I draw it
let isSending = false;
let sentAt = 0;

function report(change) {
  const points = [...(news?.points ?? []), ...(change.points ?? [])];
  news = { ...news, ...change, points };
}

async function sendNews(now) {
  requestAnimationFrame(sendNews);
  const isOpen = channel?.readyState === 1;
  if (!news || !isOpen || isSending || now - sentAt < LIVE_EVERY_MS) return;
  const data = JSON.stringify({ who: me.who, ...news });
  news = null;
  sentAt = now;
  isSending = true;
  await channel.send(data, { group: `live/${board}` }).catch(() => {}); // the next one says it again
  isSending = false;
}
requestAnimationFrame(sendNews);

/** What another page says of its hand. */
function showLive({ who, x, y, id, pen, points }) {
  if (who === me.who) return;
  const cursor = cursors.get(who);
  if (cursor) {
    cursor.hidden = x === null;
    cursor.style.left = `${(x / SIDE) * 100}%`;
    cursor.style.top = `${(y / SIDE) * 100}%`;
    cursor.classList.toggle("left", x > SIDE * 0.6);
  }
  if (!points?.length || drawing.strokes.has(id)) return;
  const growing = drawing.growing.get(id) ?? { id, pen, who, points: [] };
  growing.points.push(...points);
  drawing.growing.set(id, growing);
  drawing.redrawGrowing();
}

watchHand($("live"), {
  move: (x, y) => report({ x, y }),
  leave: () => report({ x: null, y: null }),
  down: (x, y) => begin([x, y]),
  draw(points) {
    stroke.points.push(...points);
    report({ id: stroke.id, pen: stroke.pen, points });
    drawing.redrawGrowing();
    if (stroke.points.length < 2 * POINTS_MAX - 200) return;
    finish();
    begin(points.slice(-2));
  },
  up: finish,
});

function begin(points) {
  const id = Array.from(crypto.getRandomValues(new Uint32Array(2)), (part) => part.toString(36)).join("");
  const pen = Number($("tools").elements.pen.value);
  stroke = { id, pen, points };
  drawing.growing.set(id, stroke);
  drawing.redrawGrowing();
  report({ id, pen, points });
}

function finish() {
  drawing.finish(stroke);
  mine.push(stroke.id);
  $("undo").disabled = false;
  tell({ type: "stroke", ...stroke });
  if (news) news.points = []; // the whole stroke says it
  stroke = null;
}

// --- the page -------------------------------------------------------------------------------------

const cursors = new Map(); // of the others, by who they are

function showPeople(people) {
  const items = people.map(({ who, name, hue }) => {
    const item = document.createElement("li");
    item.style.setProperty("--hue", hue);
    item.textContent = who === me.who ? `${name} (you)` : name;
    return item;
  });
  $("people").replaceChildren(...items);
  const here = new Map(people.map((person) => [person.who, person]));
  here.delete(me.who);
  for (const [who, cursor] of cursors) {
    if (here.has(who)) continue;
    cursor.remove();
    cursors.delete(who);
    for (const growing of [...drawing.growing.values()])
      if (growing.who === who) drawing.growing.delete(growing.id);
    drawing.redrawGrowing();
  }
  for (const [who, { name, hue }] of here) {
    if (cursors.has(who)) continue;
    const cursor = document.createElement("div");
    cursor.className = "cursor";
    cursor.hidden = true;
    cursor.style.setProperty("--hue", hue);
    cursor.innerHTML = '<svg viewBox="0 0 16 16"><path d="M1 1l5 13 2-6 6-2z"/></svg><span></span>';
    cursor.lastChild.textContent = name;
    cursors.set(who, cursor);
    $("cursors").append(cursor);
  }
}

$("undo").addEventListener("click", () => {
  const id = mine.pop();
  $("undo").disabled = mine.length === 0;
  drawing.remove(id);
  tell({ type: "undo", id });
});

$("clear").addEventListener("click", () => {
  if (confirm("Clear the board for everybody?")) tell({ type: "clear" });
});

$("share").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(location.href);
    $("share").textContent = "Copied";
  } catch {
    prompt("The board's link:", location.href); // no clipboard without HTTPS
  }
});

start().catch((error) => {
  $("state").textContent = `Cannot join: ${error.message}`;
});
