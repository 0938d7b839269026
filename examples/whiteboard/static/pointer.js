// Input on the board by mouse, finger, pen or keyboard, as moves and strokes.

import { SIDE } from "./drawing.js";

const ARROW_KEY_STEP = 100;
const MIN_DISTANCE = 12; // a point that is closer to the last one is left out

/** Calls `move(x, y)`, `down(x, y)`, `draw([x, y, …])`, `up()` and `leave()`, in units of the board. */
export function trackPointer(board, { move, down, draw, up, leave }) {
  let isDown = false;
  let last = [SIDE / 2, SIDE / 2];

  const position = ({ clientX, clientY }) => {
    const box = board.getBoundingClientRect();
    const toUnits = (share) => Math.round(Math.min(Math.max(share, 0), 1) * SIDE);
    return [toUnits((clientX - box.left) / box.width), toUnits((clientY - box.top) / box.height)];
  };
  const begin = (point) => {
    isDown = true;
    last = point;
    down(...point);
  };
  const end = () => {
    if (isDown) up();
    isDown = false;
  };

  board.addEventListener("pointerdown", (event) => {
    if (!event.isPrimary || event.button !== 0) return;
    board.setPointerCapture(event.pointerId);
    begin(position(event));
  });
  board.addEventListener("pointermove", (event) => {
    if (!event.isPrimary) return;
    move(...position(event));
    if (!isDown) return;
    const points = [];
    for (const each of event.getCoalescedEvents?.() ?? [event]) {
      const point = position(each);
      if (Math.hypot(point[0] - last[0], point[1] - last[1]) < MIN_DISTANCE) continue;
      points.push(...point);
      last = point;
    }
    if (points.length) draw(points);
  });
  for (const type of ["pointerup", "pointercancel"]) board.addEventListener(type, end);
  board.addEventListener("pointerleave", leave);

  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  board.addEventListener("keydown", (event) => {
    const arrow = ARROWS[event.key];
    if (arrow) {
      last = last.map((value, axis) => Math.min(Math.max(value + arrow[axis] * ARROW_KEY_STEP, 0), SIDE));
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
