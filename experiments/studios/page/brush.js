/** A brush: labels painted over an image. */

const MOST_SIDE = 1024;
const UNDOS = 20;
const KEY_STEP = 0.02;

/** Opacity of what is painted, of 255. */
const OPACITY = 190;

/**
 * Returns a size for a map: of the proportions of the image, as exactly as whole pixels can have them.
 *
 * @param {number} width
 * @param {number} height
 */
export function mapSize(width, height) {
  const [long, short] = [Math.max(width, height), Math.min(width, height)];
  let best = { long, short };
  if (long > MOST_SIDE) {
    let least = Infinity;
    for (let side = MOST_SIDE; side > MOST_SIDE * 0.7; side--) {
      const error = Math.abs((side * short) / long - Math.round((side * short) / long)) / side;
      if (error < least - 1e-9)
        [least, best] = [error, { long: side, short: Math.max(Math.round((side * short) / long), 1) }];
    }
  }
  return width >= height ? { width: best.long, height: best.short } : { width: best.short, height: best.long };
}

/**
 * @param {string} hex as `#ff8000`
 * @returns {[number, number, number]}
 */
export function rgb(hex) {
  const number = parseInt(hex.slice(1), 16);
  return [number >> 16, (number >> 8) & 255, number & 255];
}

export class Brush {
  /** @type {HTMLCanvasElement} */ #canvas;
  /** @type {CanvasRenderingContext2D} */ #context;
  /** @type {Uint8Array} */ #labels;
  /** @type {Uint8Array[]} */ #before = [];
  /** @type {string[]} */ #palette;
  /** @type {{ x: number, y: number } | null} */ #last = null;
  /** @type {() => void} */ #told;
  /** @type {HTMLElement} */ #ring;
  #at = { x: 0.5, y: 0.5 };

  /** The label that it paints; 0 is nothing. */
  label = 1;

  /** Its diameter, as a share of the long side. */
  size = 0.08;

  /**
   * @param {HTMLCanvasElement} canvas Over the image; it becomes as large as the map.
   * @param {HTMLElement} ring What shows where the brush is.
   * @param {Uint8Array} labels `width * height`
   * @param {{ width: number, height: number }} size
   * @param {string[]} palette The colour of each label.
   * @param {() => void} told Hears of every stroke that is done.
   */
  constructor(canvas, ring, labels, { width, height }, palette, told) {
    canvas.width = width;
    canvas.height = height;
    this.#canvas = canvas;
    this.#ring = ring;
    this.#context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    this.#labels = labels;
    this.#palette = palette;
    this.#told = told;
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", () => this.#up());
    canvas.addEventListener("pointercancel", () => this.#up());
    canvas.addEventListener("pointerleave", () => (ring.hidden = !canvas.matches(":focus-visible")));
    canvas.addEventListener("focus", () => this.#showRing());
    canvas.addEventListener("blur", () => (ring.hidden = true));
    canvas.addEventListener("keydown", (event) => this.#key(event));
    this.#draw(0, 0, width, height);
  }

  get labels() {
    return this.#labels;
  }

  /** Returns how much of the image each label has. */
  shares() {
    const counts = new Array(this.#palette.length).fill(0);
    for (const label of this.#labels) counts[label] += 1 / this.#labels.length;
    return counts;
  }

  undo() {
    const last = this.#before.pop();
    if (!last) return;
    this.#labels = last;
    this.#draw(0, 0, this.#canvas.width, this.#canvas.height);
    this.#told();
  }

  /** Gives all of the image the label of the brush. */
  fill() {
    this.#keep();
    this.#labels = new Uint8Array(this.#labels.length).fill(this.label);
    this.#draw(0, 0, this.#canvas.width, this.#canvas.height);
    this.#told();
  }

  /**
   * Returns the map as a PNG of flat colours.
   *
   * @returns {Promise<Blob>}
   */
  async map() {
    const { width, height } = this.#canvas;
    const flat = new OffscreenCanvas(width, height);
    const context = /** @type {OffscreenCanvasRenderingContext2D} */ (flat.getContext("2d"));
    const data = context.createImageData(width, height);
    const colours = this.#palette.map(rgb);
    this.#labels.forEach((label, index) =>
      data.data.set([.../** @type {number[]} */ (colours[label]), 255], 4 * index),
    );
    context.putImageData(data, 0, 0);
    return flat.convertToBlob({ type: "image/png" });
  }

  #keep() {
    this.#before.push(this.#labels.slice());
    if (this.#before.length > UNDOS) this.#before.shift();
  }

  /** Draws a part of the labels. */
  #draw(
    /** @type {number} */ left,
    /** @type {number} */ top,
    /** @type {number} */ right,
    /** @type {number} */ bottom,
  ) {
    const [wide, high] = [right - left, bottom - top];
    if (wide <= 0 || high <= 0) return;
    const data = this.#context.createImageData(wide, high);
    const colours = this.#palette.map(rgb);
    for (let y = 0; y < high; y++) {
      for (let x = 0; x < wide; x++) {
        const label = this.#labels[(top + y) * this.#canvas.width + left + x] ?? 0;
        if (label) data.data.set([.../** @type {number[]} */ (colours[label]), OPACITY], 4 * (y * wide + x));
      }
    }
    this.#context.putImageData(data, left, top);
  }

  /** Paints along a line, in shares of width and height. */
  #line(/** @type {{ x: number, y: number }} */ from, /** @type {{ x: number, y: number }} */ to) {
    const { width, height } = this.#canvas;
    const radius = (this.size * Math.max(width, height)) / 2;
    const [fromX, fromY, toX, toY] = [from.x * width, from.y * height, to.x * width, to.y * height];
    const [dx, dy] = [toX - fromX, toY - fromY];
    const length = dx * dx + dy * dy;
    const left = Math.max(Math.floor(Math.min(fromX, toX) - radius), 0);
    const right = Math.min(Math.ceil(Math.max(fromX, toX) + radius), width);
    const top = Math.max(Math.floor(Math.min(fromY, toY) - radius), 0);
    const bottom = Math.min(Math.ceil(Math.max(fromY, toY) + radius), height);
    for (let y = top; y < bottom; y++) {
      for (let x = left; x < right; x++) {
        const [px, py] = [x + 0.5 - fromX, y + 0.5 - fromY];
        const along = length ? Math.min(Math.max((px * dx + py * dy) / length, 0), 1) : 0;
        if (Math.hypot(px - along * dx, py - along * dy) <= radius) this.#labels[y * width + x] = this.label;
      }
    }
    this.#draw(left, top, right, bottom);
  }

  /** @param {PointerEvent} event */
  #down(event) {
    if (event.button !== 0) return;
    this.#canvas.setPointerCapture(event.pointerId);
    this.#keep();
    this.#follow(event);
    this.#last = this.#at;
    this.#line(this.#at, this.#at);
  }

  /** @param {PointerEvent} event */
  #move(event) {
    for (const each of this.#last ? event.getCoalescedEvents() : []) {
      const last = this.#last ?? this.#at;
      this.#follow(each);
      this.#line(last, this.#at);
      this.#last = this.#at;
    }
    this.#follow(event);
  }

  #up() {
    if (!this.#last) return;
    this.#last = null;
    this.#told();
  }

  /** @param {PointerEvent} event */
  #follow(event) {
    const { left, top, width, height } = this.#canvas.getBoundingClientRect();
    this.#at = { x: (event.clientX - left) / width, y: (event.clientY - top) / height };
    this.#showRing();
  }

  #showRing() {
    const { offsetLeft, offsetTop, offsetWidth, offsetHeight } = this.#canvas;
    const side = this.size * Math.max(offsetWidth, offsetHeight);
    const { style } = this.#ring;
    this.#ring.hidden = false;
    style.width = style.height = `${side}px`;
    style.left = `${offsetLeft + this.#at.x * offsetWidth - side / 2}px`;
    style.top = `${offsetTop + this.#at.y * offsetHeight - side / 2}px`;
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const step = event.shiftKey ? KEY_STEP * 5 : KEY_STEP;
    const last = this.#at;
    /** @type {Record<string, [number, number]>} */
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    const by = moves[event.key];
    if (by) this.#at = { x: clip(last.x + by[0]), y: clip(last.y + by[1]) };
    else if (event.key === "[") this.size = Math.max(this.size / 1.25, 0.01);
    else if (event.key === "]") this.size = Math.min(this.size * 1.25, 0.5);
    else if (event.key === " ") {
      this.#keep();
      this.#line(last, last);
      this.#told();
    } else return;
    event.preventDefault();
    this.#showRing();
  }
}

/** @param {number} share */
const clip = (share) => Math.min(Math.max(share, 0), 1);
