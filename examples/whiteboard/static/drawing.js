// The strokes on two canvases: finished ones below, those that are still being drawn above.

export const SIDE = 4000; // the board's units on each side
const PENS = ["--pen-0", "--pen-1", "--pen-2", "--pen-3", "--pen-4", "--sheet"]; // the last one erases
const WIDTH = 26;
const ERASER_WIDTH = 200;

export class Drawing {
  strokes = new Map(); // finished, by id: { id, pen, points: [x, y, x, y, …] }
  growing = new Map(); // being drawn, by id

  constructor(below, above) {
    this.below = below;
    this.above = above;
    new ResizeObserver(() => this.resize()).observe(below);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.resize());
  }

  /** Fit the canvases' pixels to the screen's, and draw all of it again. */
  resize() {
    for (const canvas of [this.below, this.above]) {
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
    this.below.getContext("2d").clearRect(0, 0, SIDE, SIDE);
    for (const stroke of this.strokes.values()) this.#draw(this.below, stroke);
    this.redrawGrowing();
    this.#count();
  }

  redrawGrowing() {
    this.above.getContext("2d").clearRect(0, 0, SIDE, SIDE);
    for (const stroke of this.growing.values()) this.#draw(this.above, stroke);
  }

  /** Take a finished stroke; one that was seen growing moves down. */
  finish(stroke) {
    if (this.growing.delete(stroke.id)) this.redrawGrowing();
    if (!this.strokes.has(stroke.id)) this.#draw(this.below, stroke);
    this.strokes.set(stroke.id, stroke);
    this.#count();
  }

  remove(id) {
    if (this.strokes.delete(id)) this.redraw();
  }

  replace(strokes) {
    this.strokes = new Map(strokes.map((stroke) => [stroke.id, stroke]));
    this.redraw();
  }

  /** A line through the middles between points, bent towards the points: smooth at any speed. */
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

  #count() {
    const count = this.strokes.size;
    const text = count === 0 ? "empty" : count === 1 ? "1 stroke" : `${count} strokes`;
    this.below.ariaLabel = `The drawing: ${text}`;
  }
}
