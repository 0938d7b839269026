// The page of a whiteboard. While a person draws, the page sends live updates to the other pages, at
// most one per frame. It sends each finished stroke to the application, which keeps and distributes it.

import { Drawing, SIDE } from "./drawing.js";
import { trackPointer } from "./pointer.js";

const $ = (id) => document.getElementById(id);
const board = location.pathname.slice(1);
const UPDATE_INTERVAL_MS = 30;
const POINTS_MAX = 1000; // of one stroke; a longer one is continued as another stroke

const drawing = new Drawing($("drawing"), $("live"));
const ownStrokes = []; // ids, for Undo
let me = null; // { id, name, hue }
let clientId;
let channel;

// --- the application and the channel --------------------------------------------------------------

/** Fetches a token and the board's content from the application. */
async function join() {
  const response = await fetch(`/${board}/join`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ client_id: clientId }),
  });
  if (!response.ok) throw new Error(`the application responded with status ${response.status}`);
  const joined = await response.json();
  ({ me, client_id: clientId } = joined);
  return joined;
}

async function start() {
  const joined = await join();
  const { Channel } = await import(`${joined.url}/headrace.js`);
  let firstToken = joined.token;
  channel = new Channel({
    async token() {
      const token = firstToken ?? (await join()).token;
      firstToken = null;
      return token;
    },
  });
  channel.addEventListener("open", ({ recovered }) => {
    $("state").textContent = "Connected";
    if (recovered === false) reload(); // disconnected for too long: some messages are lost
  });
  channel.addEventListener("gap", reload);
  channel.addEventListener("error", ({ fatal }) => {
    $("state").textContent = fatal ? "Disconnected: reload the page" : "Reconnecting…";
  });
  drawing.replace(joined.strokes);
  showPeople(joined.people);
  for await (const { data, group } of channel) {
    if (group === `live/${board}`) showUpdate(JSON.parse(data));
    else applyChange(JSON.parse(data));
  }
}

async function reload() {
  const joined = await join();
  drawing.replace(joined.strokes);
  showPeople(joined.people);
}

/** Applies a message from the application. */
function applyChange(change) {
  if (change.type === "stroke") drawing.finish(change);
  if (change.type === "undo") drawing.remove(change.id);
  if (change.type === "clear") drawing.replace([]);
  if (change.type === "people") showPeople(change.people);
}

async function sendChange(change) {
  try {
    await channel.send(JSON.stringify(change)); // waits while there is no connection
  } catch (error) {
    $("state").textContent = `Not saved: ${error.message}`;
  }
}

// --- live updates from page to page ---------------------------------------------------------------

let update = null; // not sent yet: { x, y }, and the points that were added to the stroke
let stroke = null; // the stroke that is being drawn here
let isSending = false;
let sentAt = 0;

function addToUpdate(change) {
  const points = [...(update?.points ?? []), ...(change.points ?? [])];
  update = { ...update, ...change, points };
}

async function sendUpdate(now) {
  requestAnimationFrame(sendUpdate);
  const isOpen = channel?.readyState === 1;
  if (!update || !isOpen || isSending || now - sentAt < UPDATE_INTERVAL_MS) return;
  const data = JSON.stringify({ from: me.id, ...update });
  update = null;
  sentAt = now;
  isSending = true;
  await channel.send(data, { group: `live/${board}` }).catch(() => {}); // the finished stroke is sent anyway
  isSending = false;
}
requestAnimationFrame(sendUpdate);

/** Displays another page's cursor and unfinished stroke. */
function showUpdate({ from, x, y, id, pen, points }) {
  if (from === me.id) return;
  const cursor = cursors.get(from);
  if (cursor) {
    cursor.hidden = x === null;
    cursor.style.left = `${(x / SIDE) * 100}%`;
    cursor.style.top = `${(y / SIDE) * 100}%`;
    cursor.classList.toggle("left", x > SIDE * 0.6);
  }
  if (!points?.length || drawing.strokes.has(id)) return;
  const unfinished = drawing.unfinished.get(id) ?? { id, pen, author: from, points: [] };
  unfinished.points.push(...points);
  drawing.unfinished.set(id, unfinished);
  drawing.redrawUnfinished();
}

trackPointer($("live"), {
  move: (x, y) => addToUpdate({ x, y }),
  leave: () => addToUpdate({ x: null, y: null }),
  down: (x, y) => beginStroke([x, y]),
  draw(points) {
    stroke.points.push(...points);
    addToUpdate({ id: stroke.id, pen: stroke.pen, points });
    drawing.redrawUnfinished();
    if (stroke.points.length < 2 * POINTS_MAX - 200) return;
    finishStroke();
    beginStroke(points.slice(-2));
  },
  up: finishStroke,
});

function beginStroke(points) {
  const id = Array.from(crypto.getRandomValues(new Uint32Array(2)), (part) => part.toString(36)).join("");
  const pen = Number($("tools").elements.pen.value);
  stroke = { id, pen, points };
  drawing.unfinished.set(id, stroke);
  drawing.redrawUnfinished();
  addToUpdate({ id, pen, points });
}

function finishStroke() {
  drawing.finish(stroke);
  ownStrokes.push(stroke.id);
  $("undo").disabled = false;
  sendChange({ type: "stroke", ...stroke });
  if (update) update.points = []; // the finished stroke contains them
  stroke = null;
}

// --- the page -------------------------------------------------------------------------------------

const cursors = new Map(); // of the other people, by their id

function showPeople(people) {
  const items = people.map(({ id, name, hue }) => {
    const item = document.createElement("li");
    item.style.setProperty("--hue", hue);
    item.textContent = id === me.id ? `${name} (you)` : name;
    return item;
  });
  $("people").replaceChildren(...items);
  const others = new Map(people.map((person) => [person.id, person]));
  others.delete(me.id);
  for (const [id, cursor] of cursors) {
    if (others.has(id)) continue;
    cursor.remove();
    cursors.delete(id);
    for (const unfinished of [...drawing.unfinished.values()])
      if (unfinished.author === id) drawing.unfinished.delete(unfinished.id);
    drawing.redrawUnfinished();
  }
  for (const [id, { name, hue }] of others) {
    if (cursors.has(id)) continue;
    const cursor = document.createElement("div");
    cursor.className = "cursor";
    cursor.hidden = true;
    cursor.style.setProperty("--hue", hue);
    cursor.innerHTML = '<svg viewBox="0 0 16 16"><path d="M1 1l5 13 2-6 6-2z"/></svg><span></span>';
    cursor.lastChild.textContent = name;
    cursors.set(id, cursor);
    $("cursors").append(cursor);
  }
}

$("undo").addEventListener("click", () => {
  const id = ownStrokes.pop();
  $("undo").disabled = ownStrokes.length === 0;
  drawing.remove(id);
  sendChange({ type: "undo", id });
});

$("clear").addEventListener("click", () => {
  if (confirm("Clear the board for everyone?")) sendChange({ type: "clear" });
});

$("share").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(location.href);
    $("share").textContent = "Copied";
  } catch {
    prompt("The board's link:", location.href); // no access to the clipboard without HTTPS
  }
});

start().catch((error) => {
  $("state").textContent = `Cannot join: ${error.message}`;
});
