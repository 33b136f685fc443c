/** Regions of the photo: painted over it, and what each of them follows. */

/** @import { Dials, StoredImage } from "./protocol.js" */
import * as api from "./api.js";
import { Brush, mapSize, rgb } from "./brush.js";
import { button, make, openDialog } from "./dom.js";
import { details, nameOf, remember } from "./images.js";
import { say, trying } from "./messages.js";
import { get } from "./store.js";

/** Colours that are easily told apart, on the map and by eye; that of what is not painted first. */
const PALETTE = ["#2b3f6b", "#f2a33c", "#3fa7d6", "#e4572e", "#59c36a", "#b565d9", "#f4d35e", "#e58fb1", "#2fb8a6"];

/** A region of which a map has less is no region. */
const LEAST_SHARE = 0.005;

const KEPT = -1;

/**
 * A photo with its regions, and the paintings.
 *
 * @typedef {{ content: string | null, styles: string[], regions: string | null, dials: Dials }} Of
 */

/** Dials of a picture without regions. */
const NO_DIALS = { region_styles: null, region_weights: null, keep: null };

/**
 * Paints the regions of a photo.
 *
 * @param {Of} of
 * @param {(map: string | null, dials: Dials) => void} done Takes the map, null for none, and what regions follow.
 */
export async function editRegions(of, done) {
  if (of.content === null) return;
  const image = await loaded(api.imageAddress(of.content, 1024));
  const { width, height } = await details(of.content);
  const size = mapSize(width, height);
  const labels = new Uint8Array(size.width * size.height);
  /** What each label follows: the index of a painting, or that it is kept. @type {number[]} */
  const follows = [0, of.styles.length > 1 ? 1 : KEPT];
  if (of.regions !== null) await readMap(of, labels, size, follows);

  const says = "The photo: the arrows move the brush, the space bar paints, [ and ] change its size";
  const canvas = make("canvas", { tabindex: 0, role: "application", "aria-label": says });
  const ring = make("div", { class: "ring", hidden: true });
  const sheet = make("div", { class: "canvas" }, image, canvas, ring);
  const brush = new Brush(canvas, ring, labels, size, PALETTE, () => shown());
  const list = make("div", { class: "regions", role: "radiogroup", "aria-label": "What the brush paints" });
  const ends = make("input", { type: "range", min: 1, max: 40, value: brush.size * 100, id: "brush-size" });
  const grow = () => {
    brush.size = Number(ends.value) / 100;
    ends.style.setProperty("--place", `${((Number(ends.value) - 1) / 39) * 100}%`);
  };
  ends.addEventListener("input", grow);
  grow();
  const add = button("Another region", addRegion, { icon: "plus" });
  const tools = make(
    "div",
    { class: "tools" },
    make("p", { class: "muted" }, "Paint over parts of the photo, and say what each of them becomes."),
    list,
    add,
    make("label", { for: "brush-size", class: "size" }, make("span", {}, "Size of the brush"), ends),
    make(
      "div",
      { class: "row" },
      button("Undo", () => brush.undo(), { icon: "reset" }),
      button("Fill all", () => brush.fill()),
    ),
    make(
      "div",
      { class: "row end" },
      button("Cancel", () => dialog.close()),
      button("Done", () => void finish(), { class: "strong" }),
    ),
  );
  const dialog = openDialog("Regions of the photo", make("div", { class: "painting" }, sheet, tools));
  dialog.classList.add("wide");
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "z" && (event.ctrlKey || event.metaKey)) brush.undo();
  });
  shown();

  function addRegion() {
    follows.push(follows.length % Math.max(of.styles.length, 1));
    brush.label = follows.length - 1;
    shown();
  }

  function shown() {
    const shares = brush.shares();
    const focused = document.activeElement?.id;
    list.replaceChildren(...follows.map((own, label) => row(own, label, shares[label] ?? 0)));
    add.hidden = follows.length >= PALETTE.length;
    if (focused) document.getElementById(focused)?.focus();
  }

  /**
   * @param {number} own
   * @param {number} label
   * @param {number} share
   */
  function row(own, label, share) {
    const chosen = make("input", {
      type: "radio",
      name: "label",
      id: `label-${label}`,
      checked: brush.label === label,
    });
    chosen.addEventListener("change", () => (brush.label = label));
    const swatch = make("i", { class: "swatch" });
    swatch.style.background = label ? /** @type {string} */ (PALETTE[label]) : "none";
    const name = label ? `Region ${label}` : "The rest (eraser)";
    const what = make("select", { "aria-label": `What becomes of: ${name}`, id: `follows-${label}` });
    of.styles.forEach((id, index) => {
      const text = of.styles.length > 1 ? `as ${nameOf(id)}` : "painted";
      what.append(make("option", { value: index, selected: own === index }, text));
    });
    what.append(make("option", { value: KEPT, selected: own === KEPT }, "stays the photo"));
    what.addEventListener("change", () => (follows[label] = Number(what.value)));
    const percent = make("span", { class: "muted number" }, `${Math.round(share * 100)} %`);
    return make("div", { class: "region" }, make("label", { for: chosen.id }, chosen, swatch, name, percent), what);
  }

  async function finish() {
    const shares = brush.shares();
    const there = follows.flatMap((_own, label) => ((shares[label] ?? 0) >= LEAST_SHARE ? [label] : []));
    const painted = there.filter((label) => follows[label] !== KEPT);
    if (!painted.length) {
      say("Nothing is left to be painted: let a part of the photo follow a painting.", "error");
      return;
    }
    if (there.length === 1) {
      dialog.close();
      done(null, NO_DIALS);
      return;
    }
    const idle = of.styles.findIndex((_id, index) => !painted.some((label) => follows[label] === index));
    if (painted.length > 1 && idle >= 0) {
      say(
        `No region follows ${nameOf(/** @type {string} */ (of.styles[idle]))}: give it one, or leave it out.`,
        "error",
      );
      return;
    }
    const map = await trying(async () => api.upload(await brush.map(), "regions.png", "map"));
    if (!map) return;
    remember(map);
    dialog.close();
    done(map.id, dialsOf(map));
  }

  /** @param {StoredImage} map @returns {Dials} */
  function dialsOf(map) {
    const labelsOfMap = map.colours.map(([colour]) => PALETTE.indexOf(colour.toLowerCase()));
    const painted = labelsOfMap.filter((label) => follows[label] !== KEPT);
    const kept = map.colours
      .filter((_colour, index) => follows[labelsOfMap[index] ?? 0] === KEPT)
      .map(([colour]) => colour);
    return {
      ...NO_DIALS,
      region_styles: painted.length > 1 ? painted.map((label) => (follows[label] ?? 0) + 1) : null,
      keep: kept.length ? kept : null,
    };
  }
}

/**
 * Reads a map that was painted here before.
 *
 * @param {Of} of
 * @param {Uint8Array} labels
 * @param {{ width: number, height: number }} size
 * @param {number[]} follows
 */
async function readMap({ regions, styles, dials }, labels, { width, height }, follows) {
  if (regions === null) return;
  const map = await loaded(api.imageAddress(regions, 1024));
  const flat = new OffscreenCanvas(width, height);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (flat.getContext("2d"));
  context.imageSmoothingEnabled = false;
  context.drawImage(map, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  const palette = PALETTE.map(rgb);
  for (let index = 0; index < labels.length; index++) {
    let [best, least] = [0, Infinity];
    palette.forEach(([red, green, blue], label) => {
      const far =
        Math.abs(red - (data[4 * index] ?? 0)) +
        Math.abs(green - (data[4 * index + 1] ?? 0)) +
        Math.abs(blue - (data[4 * index + 2] ?? 0));
      if (far < least) [best, least] = [label, far];
    });
    labels[index] = best;
  }
  const kept = strings(dials.keep);
  const taken = /** @type {number[]} */ (Array.isArray(dials.region_styles) ? dials.region_styles : []);
  const { colours } = await details(regions);
  let number = 0;
  for (const [colour] of colours) {
    const label = PALETTE.indexOf(colour.toLowerCase());
    if (label < 0) continue;
    while (follows.length <= label) follows.push(follows.length % styles.length);
    follows[label] = kept.includes(colour) ? KEPT : (taken[number++] ?? 1) - 1;
  }
}

/** The texts in the value of a dial that is a list. @param {Dials[string] | undefined} value */
export const strings = (value) =>
  Array.isArray(value) ? value.map(String) : typeof value === "string" ? value.split(",") : [];

/**
 * @param {string} address
 * @returns {Promise<HTMLImageElement>}
 */
async function loaded(address) {
  const image = make("img", { src: address, alt: "", draggable: "false" });
  await image.decode();
  return image;
}

/**
 * The colours of the regions that are painted, in the order in which dials speak of them, as far as they are known.
 *
 * @param {string} map
 * @param {Dials[string] | undefined} keep
 */
export function paintedColours(map, keep) {
  const kept = strings(keep);
  return (get().images[map]?.colours ?? []).map(([colour]) => colour).filter((colour) => !kept.includes(colour));
}
