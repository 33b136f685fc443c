/** The picture: moved, zoomed, compared with the photo. */

import { make } from "./dom.js";

const LARGEST = 16;

/** Pixels that are larger than this many on the screen are shown as squares. */
const SQUARES = 4;
const WHEEL = 0.0016;
const KEY_ZOOM = 1.25;
const KEY_PAN = 60;
const DIVIDER_STEP = 0.02;

export class Viewer {
  /** @type {HTMLElement} */ #host;
  /** @type {HTMLElement} */ #sheet;
  /** @type {HTMLImageElement} */ #after;
  /** @type {HTMLImageElement} */ #before;
  /** @type {HTMLElement} */ #divider;
  /** @type {(zoom: number, fits: boolean) => void} */ #told;
  #width = 1;
  #height = 1;
  #scale = 1;
  #x = 0;
  #y = 0;
  #fits = true;
  #compares = false;
  #split = 0.5;
  #wanted = { after: "", before: "" };

  /** @type {Map<number, { x: number, y: number }>} */
  #pointers = new Map();

  /**
   * @param {HTMLElement} host What it fills.
   * @param {(zoom: number, fits: boolean) => void} told Hears of every zoom; at 1 pixels are those of CSS.
   */
  constructor(host, told) {
    this.#host = host;
    this.#told = told;
    this.#after = make("img", { alt: "", draggable: "false", class: "after" });
    this.#before = make("img", { alt: "", draggable: "false", class: "before", hidden: true });
    this.#sheet = make("div", { class: "picture" }, this.#after, this.#before);
    this.#divider = make("div", {
      class: "divider",
      role: "slider",
      tabindex: 0,
      hidden: true,
      "aria-label": "Before and after: how much of the photo is shown",
      "aria-valuemin": 0,
      "aria-valuemax": 100,
    });
    host.append(this.#sheet, this.#divider);
    host.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    host.addEventListener("pointerdown", (event) => this.#down(event));
    host.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of /** @type {const} */ (["pointerup", "pointercancel"])) {
      host.addEventListener(name, (event) => this.#up(event));
    }
    host.addEventListener("dblclick", (event) => this.#toggle(event));
    host.addEventListener("keydown", (event) => this.#key(event));
    this.#divider.addEventListener("keydown", (event) => this.#dividerKey(event));
    new ResizeObserver(() => (this.#fits ? this.fit() : this.#place())).observe(host);
  }

  /**
   * Says how large the picture is. While it fits the window, it goes on to.
   *
   * @param {number} width
   * @param {number} height
   */
  size(width, height) {
    if (width === this.#width && height === this.#height) return;
    const kept = width / height === this.#width / this.#height;
    // A larger picture of the same proportions is seen at the same place.
    if (kept && !this.#fits) this.#scale *= this.#width / width;
    this.#width = width;
    this.#height = height;
    if (kept && !this.#fits) this.#place();
    else this.fit();
  }

  /**
   * Shows a picture once it is there, in place of the one before.
   *
   * @param {string | null} address
   * @param {string} description
   * @returns {Promise<boolean>} Whether it is on the screen.
   */
  async show(address, description) {
    return this.#swap("after", address, description);
  }

  /**
   * Says what the picture is compared with.
   *
   * @param {string | null} address
   */
  async compareWith(address) {
    return this.#swap("before", address, "The photo");
  }

  /**
   * @param {"after" | "before"} layer
   * @param {string | null} address
   * @param {string} description
   */
  async #swap(layer, address, description) {
    const next = make("img", { alt: description, draggable: "false", class: layer });
    this.#wanted[layer] = address ?? "";
    if (address !== null) {
      next.src = address;
      try {
        await next.decode();
      } catch {
        return false;
      }
      if (this.#wanted[layer] !== address) return false; // Another one was wanted meanwhile.
    }
    const last = layer === "after" ? this.#after : this.#before;
    if (layer === "after") this.#after = next;
    else this.#before = next;
    next.hidden = address === null || (layer === "before" && !this.#compares);
    last.replaceWith(next);
    this.#place();
    return true;
  }

  get compares() {
    return this.#compares;
  }

  /** Shows the photo beside the picture, or no longer. */
  compare(is = !this.#compares) {
    this.#compares = is;
    this.#before.hidden = !is || !this.#before.src;
    this.#divider.hidden = !is;
    this.#place();
  }

  /** Shows all of the picture, no larger than it is unless it is small. */
  fit() {
    const { clientWidth, clientHeight } = this.#host;
    if (!clientWidth) return;
    const margin = Math.min(24, clientWidth * 0.03);
    this.#scale = Math.min((clientWidth - 2 * margin) / this.#width, (clientHeight - 2 * margin) / this.#height);
    this.#x = (clientWidth - this.#width * this.#scale) / 2;
    this.#y = (clientHeight - this.#height * this.#scale) / 2;
    this.#fits = true;
    this.#place();
  }

  /**
   * Zooms, about a point of the host or its centre.
   *
   * @param {number} scale
   * @param {{ x: number, y: number }} [about]
   */
  zoom(scale, about) {
    const { clientWidth, clientHeight } = this.#host;
    const { x, y } = about ?? { x: clientWidth / 2, y: clientHeight / 2 };
    const least = Math.min(0.05, clientWidth / this.#width / 4);
    const next = Math.min(Math.max(scale, least), LARGEST);
    this.#x = x - ((x - this.#x) / this.#scale) * next;
    this.#y = y - ((y - this.#y) / this.#scale) * next;
    this.#scale = next;
    this.#fits = false;
    this.#place();
  }

  /** @param {number} factor */
  zoomBy(factor) {
    this.zoom(this.#scale * factor);
  }

  /**
   * @param {number} x
   * @param {number} y
   */
  #pan(x, y) {
    this.#x += x;
    this.#y += y;
    this.#fits = false;
    this.#place();
  }

  #place() {
    const { clientWidth, clientHeight } = this.#host;
    const [wide, high] = [this.#width * this.#scale, this.#height * this.#scale];
    // Some of the picture always stays in sight.
    this.#x = Math.min(Math.max(this.#x, 80 - wide), clientWidth - 80);
    this.#y = Math.min(Math.max(this.#y, 80 - high), clientHeight - 80);
    const { style } = this.#sheet;
    style.width = `${wide}px`;
    style.height = `${high}px`;
    style.transform = `translate(${this.#x}px, ${this.#y}px)`;
    const squares = this.#scale >= SQUARES;
    this.#after.classList.toggle("squares", squares);
    this.#before.classList.toggle("squares", squares);
    this.#before.style.clipPath = `inset(0 ${(1 - this.#split) * 100}% 0 0)`;
    this.#divider.style.transform = `translateX(${this.#x + wide * this.#split}px)`;
    this.#divider.style.top = `${Math.max(this.#y, 0)}px`;
    this.#divider.style.height = `${Math.min(this.#y + high, clientHeight) - Math.max(this.#y, 0)}px`;
    this.#divider.setAttribute("aria-valuenow", String(Math.round(this.#split * 100)));
    this.#told(this.#scale, this.#fits);
  }

  /** @param {number} split */
  #divide(split) {
    this.#split = Math.min(Math.max(split, 0), 1);
    this.#place();
  }

  /** @param {MouseEvent} event */
  #at(event) {
    const { left, top } = this.#host.getBoundingClientRect();
    return { x: event.clientX - left, y: event.clientY - top };
  }

  /** @param {WheelEvent} event */
  #wheel(event) {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 30 : 1;
    const pinch = event.ctrlKey ? 6 : 1; // A pinch on a touchpad comes as a wheel with Ctrl, in small steps.
    this.zoom(this.#scale * Math.exp(-event.deltaY * lines * pinch * WHEEL), this.#at(event));
  }

  /** @param {PointerEvent} event */
  #down(event) {
    if (event.button !== 0 || (event.target instanceof Element && event.target.closest("button, a, input"))) return;
    this.#pointers.set(event.pointerId, this.#at(event));
    this.#host.setPointerCapture(event.pointerId);
    this.#host.classList.toggle("divides", event.target === this.#divider);
    this.#host.classList.add("held");
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const last = this.#pointers.get(event.pointerId);
    if (!last) return;
    const now = this.#at(event);
    const others = [...this.#pointers].filter(([id]) => id !== event.pointerId);
    this.#pointers.set(event.pointerId, now);
    const other = others[0]?.[1];
    if (this.#host.classList.contains("divides")) {
      this.#divide((now.x - this.#x) / (this.#width * this.#scale));
    } else if (other) {
      const before = Math.hypot(last.x - other.x, last.y - other.y);
      const after = Math.hypot(now.x - other.x, now.y - other.y);
      this.#pan((now.x - last.x) / 2, (now.y - last.y) / 2);
      this.zoom((this.#scale * after) / Math.max(before, 1), { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 });
    } else {
      this.#pan(now.x - last.x, now.y - last.y);
    }
  }

  /** @param {PointerEvent} event */
  #up(event) {
    this.#pointers.delete(event.pointerId);
    if (this.#pointers.size) return;
    this.#host.classList.remove("held", "divides");
  }

  /** @param {MouseEvent} event */
  #toggle(event) {
    if (this.#fits) this.zoom(1, this.#at(event));
    else this.fit();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== this.#host) return;
    /** @type {Record<string, () => void>} */
    const keys = {
      "+": () => this.zoomBy(KEY_ZOOM),
      "=": () => this.zoomBy(KEY_ZOOM),
      "-": () => this.zoomBy(1 / KEY_ZOOM),
      0: () => this.fit(),
      1: () => this.zoom(1),
      ArrowLeft: () => this.#pan(KEY_PAN, 0),
      ArrowRight: () => this.#pan(-KEY_PAN, 0),
      ArrowUp: () => this.#pan(0, KEY_PAN),
      ArrowDown: () => this.#pan(0, -KEY_PAN),
    };
    const act = keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  /** @param {KeyboardEvent} event */
  #dividerKey(event) {
    /** @type {Record<string, number>} */
    const places = {
      ArrowLeft: this.#split - DIVIDER_STEP,
      ArrowDown: this.#split - DIVIDER_STEP,
      ArrowRight: this.#split + DIVIDER_STEP,
      ArrowUp: this.#split + DIVIDER_STEP,
      Home: 0,
      End: 1,
    };
    const place = places[event.key];
    if (place === undefined) return;
    event.preventDefault();
    this.#divide(place);
  }
}
