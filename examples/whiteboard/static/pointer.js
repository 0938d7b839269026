// What a hand does on the board, by mouse, finger, pen or keys: moves, strokes and their ends.

import { SIDE } from "./drawing.js";

const STEP = 100; // of an arrow key
const NEAR = 12; // points that are closer than this add nothing

/** Calls `move(x, y)`, `down(x, y)`, `draw([x, y, …])`, `up()` and `leave()`, in the board's units. */
export function watchHand(board, { move, down, draw, up, leave }) {
  let isDown = false;
  let last = [SIDE / 2, SIDE / 2];

  const place = ({ clientX, clientY }) => {
    const box = board.getBoundingClientRect();
    const inside = (part) => Math.round(Math.min(Math.max(part, 0), 1) * SIDE);
    return [inside((clientX - box.left) / box.width), inside((clientY - box.top) / box.height)];
  };
  const begin = (at) => {
    isDown = true;
    last = at;
    down(...at);
  };
  const end = () => {
    if (isDown) up();
    isDown = false;
  };

  board.addEventListener("pointerdown", (event) => {
    if (!event.isPrimary || event.button !== 0) return;
    board.setPointerCapture(event.pointerId);
    begin(place(event));
  });
  board.addEventListener("pointermove", (event) => {
    if (!event.isPrimary) return;
    move(...place(event));
    if (!isDown) return;
    const points = [];
    for (const each of event.getCoalescedEvents?.() ?? [event]) {
      const at = place(each);
      if (Math.hypot(at[0] - last[0], at[1] - last[1]) < NEAR) continue;
      points.push(...at);
      last = at;
    }
    if (points.length) draw(points);
  });
  for (const type of ["pointerup", "pointercancel"]) board.addEventListener(type, end);
  board.addEventListener("pointerleave", leave);

  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  board.addEventListener("keydown", (event) => {
    const arrow = ARROWS[event.key];
    if (arrow) {
      last = last.map((part, axis) => Math.min(Math.max(part + arrow[axis] * STEP, 0), SIDE));
      move(...last);
      if (isDown) draw([...last]);
    } else if (event.key === " ") {
      if (isDown) end();
      else begin(last);
      move(...last);
    } else return;
    event.preventDefault();
  });
  board.addEventListener("blur", () => {
    end();
    leave();
  });
}
