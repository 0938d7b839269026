// Chat rooms: says what it wants with `channel.send`, and shows what comes through the channel.
import { Channel } from "/headrace.js";

const $ = (id) => document.getElementById(id);
const LINES_MAX = 300;
const TOGETHER_S = 120; // lines of one person that are so close need the name once

let me = null; // { name, client_id, token }: for this tab, so that a reload stays the same person
let channel = null;
let room = null; // where we are, once we are told

// --- the door -------------------------------------------------------------------------------------

/** Ask for a token; with an earlier one, for the same client ID. */
async function token() {
  const headers = { "content-type": "application/json" };
  if (me.token) headers.authorization = `Bearer ${me.token}`;
  const body = JSON.stringify({ name: me.name });
  const response = await fetch("/door", { method: "POST", headers, body });
  if (response.status === 401 && me.token) {
    me.token = null; // too old: be somebody new of that name
    return token();
  }
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.detail);
  Object.assign(me, answer);
  sessionStorage.me = JSON.stringify(me);
  return me.token;
}

$("enter").addEventListener("submit", async (event) => {
  event.preventDefault();
  me = { name: $("name").value.trim() };
  try {
    await token();
    connect();
  } catch (error) {
    $("refused").textContent = `That did not work: ${error.message}`;
  }
});

// --- the channel ----------------------------------------------------------------------------------

async function connect() {
  $("door").hidden = true;
  $("chat").hidden = false;
  channel = new Channel({ token });
  // A new connection says where it wants to be: the application may have taken us for gone.
  channel.addEventListener("open", () => {
    showState("open", "Connected");
    enter(room ?? wanted());
  });
  channel.addEventListener("error", ({ fatal }) => {
    if (!fatal) showState("lost", "Reconnecting…");
  });
  channel.addEventListener("close", () => showState("closed", "Closed: reload the page"));
  channel.addEventListener("gap", () => enter(room));
  for await (const { data } of channel) show(JSON.parse(data));
}

async function ask(what) {
  $("fault").textContent = "";
  try {
    await channel.send(JSON.stringify(what));
    return true;
  } catch (error) {
    $("fault").textContent = error.message;
    return false;
  }
}

function enter(name) {
  return ask({ type: "enter", room: name });
}

$("say").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  $("text").value = "";
  if (text && !(await ask({ type: "say", room, text }))) $("text").value ||= text;
});

// A room is a link, so that it can be sent to others and the browser's Back leads back.
const wanted = () => decodeURIComponent(location.hash.slice(1)).trim() || null;
addEventListener("hashchange", () => channel && wanted() !== room && enter(wanted()));

$("open").addEventListener("submit", (event) => {
  event.preventDefault();
  location.hash = encodeURIComponent($("new").value.trim());
  $("new").value = "";
});

// --- the page -------------------------------------------------------------------------------------

/** Make an element; text goes in as text, so nothing that anybody writes is ever markup. */
function make(tag, className, text) {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

function nameOf(clientId) {
  const name = make("bdi", "name", clientId.slice(0, clientId.lastIndexOf("/")));
  const hash = [...clientId].reduce((sum, letter) => Math.imul(sum ^ letter.codePointAt(0), 0x1000193), 7);
  name.style.setProperty("--hue", (hash >>> 0) % 360);
  return name;
}

function show({ room: name, lines, people, came, left, rooms, line }) {
  if (name !== undefined) showRoom(name, lines);
  if (people) showPeople(people);
  if (came ?? left) note(came ?? left, came ? "came in" : "left");
  if (line) add(lineOf(line), line.by === me.client_id);
  if (rooms) showRooms(rooms);
}

function showRoom(name, lines) {
  room = name;
  $("room").textContent = name;
  document.title = `${name} – Chat rooms`;
  if (wanted() !== name) history.replaceState(null, "", `#${encodeURIComponent(name)}`);
  $("lines").replaceChildren();
  for (const line of lines) add(lineOf(line), true);
  markRoom();
  if (!matchMedia("(pointer: coarse)").matches) $("text").focus();
}

function showRooms(rooms) {
  const links = rooms.map(([name, count]) => {
    const link = make("a", "", name);
    link.href = `#${encodeURIComponent(name)}`;
    const number = make("span", "count", count || "");
    number.setAttribute("aria-label", count === 1 ? "1 person" : `${count} people`);
    link.append(number);
    const item = make("li", "", "");
    item.append(link);
    return item;
  });
  $("rooms").replaceChildren(...links);
  markRoom();
}

function markRoom() {
  for (const link of $("rooms").querySelectorAll("a")) {
    if (link.hash === `#${encodeURIComponent(room)}`) {
      link.setAttribute("aria-current", "page");
      link.scrollIntoView({ block: "nearest", inline: "nearest" });
    } else link.removeAttribute("aria-current");
  }
}

function showPeople(people) {
  const items = people.map((clientId) => {
    const item = make("li", "", "");
    item.append(nameOf(clientId));
    if (clientId === me.client_id) item.append(make("span", "quiet", "you"));
    return item;
  });
  $("people").replaceChildren(...items);
}

function lineOf({ by, text, at }) {
  const mine = by === me.client_id;
  const item = make("li", mine ? "line mine" : "line", "");
  const time = new Date(at * 1000);
  const when = make("time", "quiet", time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
  when.dateTime = time.toISOString();
  const who = make("p", "who", "");
  who.append(nameOf(by), when);
  const what = make("p", "what", text);
  what.dir = "auto";
  item.append(who, what);
  const last = $("lines").lastElementChild;
  if (last?.dataset.by === by && at - last.dataset.at < TOGETHER_S) item.classList.add("same");
  Object.assign(item.dataset, { by, at });
  return item;
}

function note(clientId, what) {
  const item = make("li", "note quiet", "");
  item.append(clientId === me.client_id ? "You" : nameOf(clientId), ` ${what}`);
  add(item);
}

/** Add to the log; whoever reads its end goes on reading its end. */
function add(item, always = false) {
  const box = $("scroll");
  const atEnd = always || box.scrollHeight - box.scrollTop - box.clientHeight < 40;
  $("lines").append(item);
  while ($("lines").childElementCount > LINES_MAX) $("lines").firstElementChild.remove();
  if (atEnd) box.scrollTop = box.scrollHeight;
}

function showState(state, text) {
  document.documentElement.dataset.state = state;
  $("state").textContent = text;
}

me = JSON.parse(sessionStorage.me ?? "null");
if (me) connect();
else {
  $("door").hidden = false;
  $("name").focus();
}
