// A player's page: posts moves to the application, and displays the states that come through the channel.

const $ = (id) => document.getElementById(id);
const { path, mark } = document.querySelector("main").dataset;
const cells = [...$("board").children];
const SHAPES = { X: "M14 14L50 50M50 14L14 50", O: "M32 12a20 20 0 1 0 .01 0z" };

let current = { version: -1, board: [] }; // the displayed state
let connected = false;

/** Fetches a token and the game's state from the application, and opens the channel. */
async function connect() {
  const response = await fetch(`${path}/channel`, { method: "POST" });
  const { token, state } = await response.json();
  show(JSON.parse(state));
  new goog.appengine.Channel(token).open({
    onopen() {
      connected = true;
      showStatus();
    },
    onmessage({ data }) {
      show(JSON.parse(data));
    },
    onerror({ description }) {
      if (description === "Token+timed+out.") connect(); // the token has expired: fetch a new one
    },
    onclose() {
      connected = false;
      showStatus();
    },
  });
}

async function post(action, form) {
  const response = await fetch(`${path}/${action}`, { method: "POST", body: new URLSearchParams(form) });
  $("error").textContent = response.ok || response.status === 409 ? "" : "The request failed. Try again.";
}

for (const [cell, button] of cells.entries()) {
  button.addEventListener("click", () => canTake(cell) && post("move", { cell }));
}
$("again").addEventListener("click", () => post("restart"));
$("copy").addEventListener("click", async () => {
  $("link").select(); // without HTTPS there is no clipboard
  await navigator.clipboard?.writeText($("link").value);
  $("copy").textContent = "Copied";
});

/** Returns true if the player may take the cell now. */
function canTake(cell) {
  return current.turn === mark && !current.winner && current.players.length === 2 && !current.board[cell];
}

function show(state) {
  if (state.version < current.version) return;
  const previous = current;
  current = state;
  for (const [cell, button] of cells.entries()) {
    const value = state.board[cell];
    if (value !== previous.board[cell]) button.innerHTML = value && createShape(value);
    button.className = `${value.toLowerCase()} ${state.line.includes(cell) ? "won" : ""}`;
    button.ariaLabel = `${button.dataset.name}: ${value || "empty"}`;
    button.ariaDisabled = String(!canTake(cell)); // `disabled` would remove the focus
  }
  for (const player of $("players").children) {
    const playerMark = player.dataset.mark;
    const text = !state.players.includes(playerMark)
      ? "has not joined yet"
      : state.online.includes(playerMark)
        ? "online"
        : "offline";
    player.classList.toggle("turn", state.turn === playerMark && !state.winner);
    player.querySelector(".presence").textContent = text;
    player.querySelector(".score").textContent = state.score[playerMark];
  }
  $("invite").hidden = state.players.length === 2;
  $("again").hidden = !state.winner;
  showStatus();
}

function createShape(mark) {
  return `<svg viewBox="0 0 64 64" aria-hidden="true"><path pathLength="1" d="${SHAPES[mark]}"></path></svg>`;
}

function showStatus() {
  const { winner, turn, players } = current;
  let text = turn === mark ? "Your turn" : "Opponent’s turn";
  if (players.length < 2) text = "Waiting for an opponent";
  if (winner) text = winner === mark ? "You win!" : winner === "draw" ? "A draw" : "You lose";
  $("status").textContent = connected ? text : "Not connected";
}

connect();
