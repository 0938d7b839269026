// The strokes on two canvases: finished ones on the lower, unfinished ones on the upper.

export const SIDE = 4000; // the board's units on each side
const PENS = ["--pen-0", "--pen-1", "--pen-2", "--pen-3", "--pen-4", "--sheet"]; // the last one is the eraser
const WIDTH = 26;
const ERASER_WIDTH = 200;

export class Drawing {
  strokes = new Map(); // finished, by id: { id, pen, points: [x, y, x, y, …] }
  unfinished = new Map(); // by id

  constructor(lower, upper) {
    this.lower = lower;
    this.upper = upper;
    new ResizeObserver(() => this.resize()).observe(lower);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.resize());
  }

  /** Sets the canvases' resolution to the screen's, and draws everything again. */
  resize() {
    for (const canvas of [this.lower, this.upper]) {
      canvas.width = canvas.height = Math.round(canvas.clientWidth * devicePixelRatio);
      const scale = canvas.width / SIDE;
      const context = canvas.getContext("2d");
      context.setTransform(scale, 0, 0, scale, 0, 0);
      context.lineCap = context.lineJoin = "round";
    }
    const style = getComputedStyle(document.documentElement);
    this.colours = PENS.map((name) => style.getPropertyValue(name));
    this.redraw();
  }

  redraw() {
    this.lower.getContext("2d").clearRect(0, 0, SIDE, SIDE);
    for (const stroke of this.strokes.values()) this.#draw(this.lower, stroke);
    this.redrawUnfinished();
    this.#updateLabel();
  }

  redrawUnfinished() {
    this.upper.getContext("2d").clearRect(0, 0, SIDE, SIDE);
    for (const stroke of this.unfinished.values()) this.#draw(this.upper, stroke);
  }

  /** Adds a finished stroke, and removes it from the unfinished ones. */
  finish(stroke) {
    if (this.unfinished.delete(stroke.id)) this.redrawUnfinished();
    if (!this.strokes.has(stroke.id)) this.#draw(this.lower, stroke);
    this.strokes.set(stroke.id, stroke);
    this.#updateLabel();
  }

  remove(id) {
    if (this.strokes.delete(id)) this.redraw();
  }

  replace(strokes) {
    this.strokes = new Map(strokes.map((stroke) => [stroke.id, stroke]));
    this.redraw();
  }

  /** Draws curves between the midpoints of consecutive points: smooth also if the points are far apart. */
  #draw(canvas, { pen, points }) {
    const context = canvas.getContext("2d");
    context.strokeStyle = this.colours[pen];
    context.lineWidth = pen === PENS.length - 1 ? ERASER_WIDTH : WIDTH;
    context.beginPath();
    context.moveTo(points[0], points[1]);
    for (let i = 2; i + 3 < points.length; i += 2) {
      const [x, y, nextX, nextY] = points.slice(i, i + 4);
      context.quadraticCurveTo(x, y, (x + nextX) / 2, (y + nextY) / 2);
    }
    context.lineTo(points.at(-2), points.at(-1));
    context.stroke();
  }

  #updateLabel() {
    const count = this.strokes.size;
    const text = count === 0 ? "empty" : count === 1 ? "1 stroke" : `${count} strokes`;
    this.lower.ariaLabel = `The drawing: ${text}`;
  }
}
