// The chat page: sends its requests with `channel.send`, and displays what comes through the channel.
import { Channel } from "/headrace.js";

const $ = (id) => document.getElementById(id);
const LINES_MAX = 300;
const SAME_AUTHOR_S = 120; // consecutive lines of one person within this time have one heading

let me = null; // { name, client_id, token }, stored for this tab: a reload keeps the client ID
let channel = null;
let room = null; // the room that the application has confirmed

// --- signing in -----------------------------------------------------------------------------------

/** Fetches a token; an earlier token keeps its client ID. */
async function fetchToken() {
  const headers = { "content-type": "application/json" };
  if (me.token) headers.authorization = `Bearer ${me.token}`;
  const body = JSON.stringify({ name: me.name });
  const response = await fetch("/token", { method: "POST", headers, body });
  if (response.status === 401 && me.token) {
    me.token = null; // expired: continue with a new client ID
    return fetchToken();
  }
  const result = await response.json();
  if (!response.ok) throw new Error(result.detail);
  Object.assign(me, result);
  sessionStorage.me = JSON.stringify(me);
  return me.token;
}

$("name-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  me = { name: $("name").value.trim() };
  try {
    await fetchToken();
    connect();
  } catch (error) {
    $("name-error").textContent = `Could not join: ${error.message}`;
  }
});

// --- the channel ----------------------------------------------------------------------------------

async function connect() {
  $("sign-in").hidden = true;
  $("chat").hidden = false;
  channel = new Channel({ token: fetchToken });
  // Enter again after each connection: the application may have removed this client meanwhile.
  channel.addEventListener("open", () => {
    showState("open", "Connected");
    enter(room ?? roomInUrl());
  });
  channel.addEventListener("error", ({ fatal }) => {
    if (!fatal) showState("lost", "Reconnecting…");
  });
  channel.addEventListener("close", () => showState("closed", "Disconnected: reload the page"));
  channel.addEventListener("gap", () => enter(room));
  for await (const { data } of channel) show(JSON.parse(data));
}

/** Sends a request to the application; returns false if it was rejected. */
async function send(request) {
  $("send-error").textContent = "";
  try {
    await channel.send(JSON.stringify(request));
    return true;
  } catch (error) {
    $("send-error").textContent = error.message;
    return false;
  }
}

function enter(name) {
  return send({ type: "enter", room: name });
}

$("line-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  $("text").value = "";
  if (text && !(await send({ type: "line", room, text }))) $("text").value ||= text;
});

// The room is in the URL, so that it can be shared, and the browser's Back button works.
const roomInUrl = () => decodeURIComponent(location.hash.slice(1)).trim() || null;
addEventListener("hashchange", () => channel && roomInUrl() !== room && enter(roomInUrl()));

$("room-form").addEventListener("submit", (event) => {
  event.preventDefault();
  location.hash = encodeURIComponent($("new-room").value.trim());
  $("new-room").value = "";
});

// --- the page -------------------------------------------------------------------------------------

/** Creates an element. The content is set as text, so markup that a user writes has no effect. */
function createElement(tag, className, text) {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

function createName(clientId) {
  const name = createElement("bdi", "name", clientId.slice(0, clientId.lastIndexOf("/")));
  const hash = [...clientId].reduce((sum, letter) => Math.imul(sum ^ letter.codePointAt(0), 0x1000193), 7);
  name.style.setProperty("--hue", (hash >>> 0) % 360);
  return name;
}

function show({ room: name, lines, people, entered, left, rooms, line }) {
  if (name !== undefined) showRoom(name, lines);
  if (people) showPeople(people);
  if (entered) addNote(entered, "joined");
  if (left) addNote(left, "left");
  if (line) addToLog(createLine(line), line.by === me.client_id);
  if (rooms) showRooms(rooms);
}

function showRoom(name, lines) {
  room = name;
  $("room").textContent = name;
  document.title = `${name} – Chat rooms`;
  if (roomInUrl() !== name) history.replaceState(null, "", `#${encodeURIComponent(name)}`);
  $("lines").replaceChildren();
  for (const line of lines) addToLog(createLine(line), true);
  markCurrentRoom();
  if (!matchMedia("(pointer: coarse)").matches) $("text").focus();
}

function showRooms(rooms) {
  const items = rooms.map(([name, count]) => {
    const link = createElement("a", "", name);
    link.href = `#${encodeURIComponent(name)}`;
    const number = createElement("span", "count", count || "");
    number.setAttribute("aria-label", count === 1 ? "1 person" : `${count} people`);
    link.append(number);
    const item = createElement("li", "", "");
    item.append(link);
    return item;
  });
  $("rooms").replaceChildren(...items);
  markCurrentRoom();
}

function markCurrentRoom() {
  for (const link of $("rooms").querySelectorAll("a")) {
    if (link.hash === `#${encodeURIComponent(room)}`) {
      link.setAttribute("aria-current", "page");
      link.scrollIntoView({ block: "nearest", inline: "nearest" });
    } else link.removeAttribute("aria-current");
  }
}

function showPeople(people) {
  const items = people.map((clientId) => {
    const item = createElement("li", "", "");
    item.append(createName(clientId));
    if (clientId === me.client_id) item.append(createElement("span", "muted", "you"));
    return item;
  });
  $("people").replaceChildren(...items);
}

function createLine({ by, text, at }) {
  const item = createElement("li", by === me.client_id ? "line mine" : "line", "");
  const date = new Date(at * 1000);
  const time = createElement(
    "time",
    "muted",
    date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }),
  );
  time.dateTime = date.toISOString();
  const author = createElement("p", "author", "");
  author.append(createName(by), time);
  const content = createElement("p", "text", text);
  content.dir = "auto";
  item.append(author, content);
  const last = $("lines").lastElementChild;
  if (last?.dataset.by === by && at - last.dataset.at < SAME_AUTHOR_S) item.classList.add("same");
  Object.assign(item.dataset, { by, at });
  return item;
}

function addNote(clientId, event) {
  const item = createElement("li", "note muted", "");
  item.append(clientId === me.client_id ? "You" : createName(clientId), ` ${event}`);
  addToLog(item);
}

/** Adds to the log. It stays scrolled to its end if it was, or if `always` is true. */
function addToLog(item, always = false) {
  const box = $("scroll");
  const isAtEnd = always || box.scrollHeight - box.scrollTop - box.clientHeight < 40;
  $("lines").append(item);
  while ($("lines").childElementCount > LINES_MAX) $("lines").firstElementChild.remove();
  if (isAtEnd) box.scrollTop = box.scrollHeight;
}

function showState(state, text) {
  document.documentElement.dataset.state = state;
  $("state").textContent = text;
}

me = JSON.parse(sessionStorage.me ?? "null");
if (me) connect();
else {
  $("sign-in").hidden = false;
  $("name").focus();
}
