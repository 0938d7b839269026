// The page of a player: posts its moves to the application, and shows what comes through the channel.

const $ = (id) => document.getElementById(id);
const { at, mark } = document.querySelector("main").dataset;
const cells = [...$("board").children];
const SHAPES = { X: "M14 14L50 50M50 14L14 50", O: "M32 12a20 20 0 1 0 .01 0z" };

let shown = { version: -1, board: [] };
let connected = false;

/** Ask the application for a token and for how the game stands, and listen from there on. */
async function connect() {
  const response = await fetch(`${at}/channel`, { method: "POST" });
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
      if (description === "Token+timed+out.") connect(); // after two hours: go on with another
    },
    onclose() {
      connected = false;
      showStatus();
    },
  });
}

async function post(what, form) {
  const response = await fetch(`${at}/${what}`, { method: "POST", body: new URLSearchParams(form) });
  $("fault").textContent = response.ok || response.status === 409 ? "" : "That did not work. Try again.";
}

for (const [cell, button] of cells.entries()) {
  button.addEventListener("click", () => isMine(cell) && post("move", { cell }));
}
$("again").addEventListener("click", () => post("again"));
$("copy").addEventListener("click", async () => {
  $("link").select();
  await navigator.clipboard?.writeText($("link").value); // no clipboard without HTTPS: it is selected
  $("copy").textContent = "Copied";
});

/** Whether the player may take a cell now. */
function isMine(cell) {
  return shown.turn === mark && !shown.winner && shown.seats.length === 2 && !shown.board[cell];
}

function show(state) {
  if (state.version < shown.version) return;
  const before = shown;
  shown = state;
  for (const [cell, button] of cells.entries()) {
    const now = state.board[cell];
    if (now !== before.board[cell]) button.innerHTML = now && drawing(now);
    button.className = `${now.toLowerCase()} ${state.line.includes(cell) ? "won" : ""}`;
    button.ariaLabel = `${button.dataset.name}: ${now || "empty"}`;
    button.ariaDisabled = String(!isMine(cell)); // not `disabled`, which would lose the focus
  }
  for (const player of $("players").children) {
    const its = player.dataset.mark;
    const text = !state.seats.includes(its)
      ? "not here yet"
      : state.present.includes(its)
        ? "online"
        : "away";
    player.classList.toggle("turn", state.turn === its && !state.winner);
    player.querySelector(".presence").textContent = text;
    player.querySelector(".score").textContent = state.score[its];
  }
  $("invite").hidden = state.seats.length === 2;
  $("again").hidden = !state.winner;
  showStatus();
}

function drawing(which) {
  return `<svg viewBox="0 0 64 64" aria-hidden="true"><path pathLength="1" d="${SHAPES[which]}"></path></svg>`;
}

function showStatus() {
  const { winner, turn, seats } = shown;
  let text = turn === mark ? "Your turn" : "Opponent’s turn";
  if (seats.length < 2) text = "Waiting for somebody";
  if (winner) text = winner === mark ? "You win!" : winner === "nobody" ? "A draw" : "You lose";
  $("status").textContent = connected ? text : "Not connected";
}

connect();
