/** Making and finding elements. */

/** @typedef {string | number | boolean | null | undefined | ((event: any) => void)} Attribute */

/**
 * Makes an element. Attributes whose value is true are there, those with false, null or undefined are not; functions
 * listen to the event of their name.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, Attribute>} [attributes]
 * @param {...(Node | string | null | false)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== false));
  return element;
}

/**
 * Returns the element with an id.
 *
 * @template {HTMLElement} Kind
 * @param {string} id
 * @param {new () => Kind} kind
 * @returns {Kind}
 */
export function find(id, kind) {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`no ${kind.name} with the id ${id}`);
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/**
 * Makes an element of a drawing.
 *
 * @param {string} tag
 * @param {Record<string, string | number>} attributes
 * @param {...Node} children
 */
export function draw(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/** Strokes on a grid of 16 × 16. */
const ICONS = {
  close: "M4 4l8 8M12 4l-8 8",
  plus: "M8 3v10M3 8h10",
  minus: "M3 8h10",
  reset: "M3.5 8a4.5 4.5 0 1 0 1.5-3.4M3.2 2.6v2.6h2.6",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  play: "M5 3.2v9.6l7.5-4.8z",
  mark: "M4.5 2.5h7v11L8 10.5l-3.5 3z",
  again: "M12.5 8a4.5 4.5 0 1 1-1.5-3.4M12.8 2.6v2.6h-2.6",
  stop: "M4 4h8v8H4z",
  compare: "M8 2v12M2.5 4h3v8h-3M10.5 4h3v8h-3",
  fit: "M2.5 6v-3.5h3.5M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10",
  save: "M8 2.5v7.5M4.8 7.2L8 10.4l3.2-3.2M3 13.5h10",
  brush: "M13.5 2.5L7 9M6.8 8.6c-2-.3-3 1-3 2.4 0 1-.8 1.6-1.6 1.7 1 1 4.9 1.4 5.6-1.3.2-1.1-.3-2-1-2.8z",
  grid: "M2.5 2.5h4.5v4.5H2.5zM9 2.5h4.5v4.5H9zM2.5 9h4.5v4.5H2.5zM9 9h4.5v4.5H9z",
  bin: "M3 4.5h10M6.5 4.5v-2h3v2M4.5 4.5l.7 9h5.6l.7-9",
  bell: "M4 11.5V7a4 4 0 0 1 8 0v4.5M2.8 11.5h10.4M7 13.8h2",
  light:
    "M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6M8 1.5v1.3M8 13.2v1.3M1.5 8h1.3M13.2 8h1.3" +
    "M3.4 3.4l.9.9M11.7 11.7l.9.9M3.4 12.6l.9-.9M11.7 4.3l.9-.9",
  dark: "M13 9.6A5.5 5.5 0 0 1 6.4 3 5.5 5.5 0 1 0 13 9.6z",
  auto: "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11v11M8 5.5h4.5M8 8h5M8 10.5h4.5",
  first: "M8 13V4M4.5 7.2L8 3.7l3.5 3.5M3.5 2.5h9",
  more: "M3 6l5 5 5-5",
};

/** @typedef {keyof typeof ICONS} Icon */

/** @param {Icon} name */
export function icon(name) {
  const stroke = { fill: "none", stroke: "currentColor", "stroke-width": 1.5 };
  const shape = draw("path", { d: ICONS[name], ...stroke, "stroke-linecap": "round", "stroke-linejoin": "round" });
  return draw("svg", { viewBox: "0 0 16 16", width: 16, height: 16, "aria-hidden": "true" }, shape);
}

/**
 * Makes a button.
 *
 * @param {string} label What it says; of a button with an icon alone, to those who hear it and as a hint.
 * @param {() => void} act
 * @param {{ icon?: Icon, bare?: boolean, class?: string }} [look] `bare`: with the icon alone.
 */
export function button(label, act, look = {}) {
  const named = look.bare ? { "aria-label": label, title: label } : {};
  const element = make("button", { type: "button", class: look.class, click: act, ...named });
  if (look.icon) element.append(icon(look.icon));
  if (!look.bare) element.append(make("span", {}, label));
  return element;
}

/**
 * Opens a dialog that closes with its cross, with Escape and by a click beside it.
 *
 * @param {string} title
 * @param {...(Node | string)} content
 */
export function openDialog(title, ...content) {
  const close = button("Close", () => dialog.close(), { icon: "close", bare: true, class: "quiet" });
  const heading = make("h2", { id: "dialog-title" }, title);
  const dialog = make(
    "dialog",
    { "aria-labelledby": "dialog-title", close: () => dialog.remove() },
    make("div", { class: "sheet" }, make("header", {}, heading, close), ...content),
  );
  dialog.addEventListener("pointerdown", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}
