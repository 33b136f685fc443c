/** Regions of the photo, painted over it, and what each of them follows: a painting, or parts that are painted too. */

/** @import { Dials, StoredImage } from "./protocol.js" */
/** @import { Draft } from "./store.js" */
import * as api from "./api.js";
import { Brush, mapSize, rgb } from "./brush.js";
import { button, make, openDialog } from "./dom.js";
import { details, nameOf, remember, thumbnail } from "./images.js";
import { say, trying } from "./messages.js";
import { get } from "./store.js";

/** Colours that are easily told apart, on the map and by eye; that of what is not painted first. */
const PALETTE = ["#2b3f6b", "#f2a33c", "#3fa7d6", "#e4572e", "#59c36a", "#b565d9", "#f4d35e", "#e58fb1", "#2fb8a6"];

/** A region of which a map has less is no region. */
const LEAST_SHARE = 0.005;

const KEPT = -1;

/**
 * A photo with its regions, and the paintings, perhaps with theirs.
 *
 * @typedef {Pick<Draft, "content" | "styles" | "regions" | "style_regions" | "dials">} Of
 */

/**
 * What was painted: the map of the photo, null for none; those of the paintings, none where regions follow whole ones;
 * and what regions follow.
 *
 * @typedef {{ map: string | null, maps: string[], dials: Dials }} Painted
 */

/** An image that is painted over. @typedef {{ id: string, brush: Brush, element: HTMLElement }} Sheet */

/** Dials of a picture without regions. */
const NO_DIALS = { region_styles: null, region_weights: null, keep: null };

/** @type {Painted} */
const NOTHING = { map: null, maps: [], dials: NO_DIALS };

/**
 * Paints the regions of a photo, and of paintings.
 *
 * @param {Of} of
 * @param {(painted: Painted) => void} done
 */
export async function editRegions(of, done) {
  if (of.content === null) return;
  /** What each label follows: the index of a painting, or that it is kept. @type {number[]} */
  const follows = [0, of.styles.length > 1 ? 1 : KEPT];
  await readFollows(of, follows);
  const list = make("div", { class: "regions", role: "radiogroup", "aria-label": "What the brush paints" });
  const photo = await sheetOf(of.content, of.regions, "The photo", () => shown());
  /** One for each painting, once they are asked for. @type {Sheet[]} */
  let paintings = [];
  let sheet = photo;
  const place = make("div", {}, photo.element);
  const parts = make("input", { type: "checkbox", role: "switch", id: "painting-parts" });
  parts.checked = of.style_regions.some(Boolean);
  let hasChosen = of.regions !== null;
  parts.addEventListener("change", () => {
    // Who paints over a painting wants regions that follow it.
    if (parts.checked && !hasChosen) follows.forEach((own, label) => (follows[label] = Math.max(own, 0)));
    void showParts();
  });
  const tabs = make("div", { class: "sheets", role: "group", "aria-label": "What is painted over", hidden: true });
  const says = make("p", { class: "muted" });
  const ends = make("input", { type: "range", min: 1, max: 40, value: sheet.brush.size * 100, id: "brush-size" });
  const grow = () => {
    sheet.brush.size = Number(ends.value) / 100;
    ends.style.setProperty("--place", `${((Number(ends.value) - 1) / 39) * 100}%`);
  };
  ends.addEventListener("input", grow);
  grow();
  const add = button("Another region", addRegion, { icon: "plus" });
  const tools = make(
    "div",
    { class: "tools" },
    says,
    tabs,
    list,
    add,
    make("label", { class: "check", for: parts.id }, parts, "Regions of the painting too"),
    make("label", { for: "brush-size", class: "size" }, make("span", {}, "Size of the brush"), ends),
    make(
      "div",
      { class: "row" },
      button("Undo", () => sheet.brush.undo(), { icon: "reset" }),
      button("Fill all", () => sheet.brush.fill()),
    ),
    make(
      "div",
      { class: "row end" },
      button("Cancel", () => dialog.close()),
      button("Done", () => void finish(), { class: "strong" }),
    ),
  );
  const dialog = openDialog("Regions of the photo", make("div", { class: "painting" }, place, tools));
  dialog.classList.add("wide");
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "z" && (event.ctrlKey || event.metaKey)) sheet.brush.undo();
  });
  await showParts();

  /** Has regions follow parts of paintings, or whole ones. */
  async function showParts() {
    if (parts.checked && !paintings.length) {
      const sheets = of.styles.map((id, index) =>
        sheetOf(id, of.style_regions[index] || null, nameOf(id), () => shown()),
      );
      paintings = await Promise.all(sheets);
    }
    tabs.hidden = !parts.checked;
    show(photo);
  }

  /** @param {Sheet} next */
  function show(next) {
    next.brush.label = sheet.brush.label;
    sheet = next;
    grow();
    place.replaceChildren(sheet.element);
    const all = [photo, ...paintings].map((each) => {
      const name = each === photo ? "The photo" : nameOf(each.id);
      const tab = make(
        "button",
        { type: "button", title: name, "aria-label": name, "aria-pressed": String(each === sheet), click: choose },
        thumbnail(each.id),
      );
      tab.id = each === photo ? "sheet-photo" : `sheet-${paintings.indexOf(each)}`;
      return tab;
      function choose() {
        show(each);
        document.getElementById(tab.id)?.focus();
      }
    });
    tabs.replaceChildren(...all);
    shown();
  }

  function addRegion() {
    follows.push(follows.length % Math.max(of.styles.length, 1));
    sheet.brush.label = follows.length - 1;
    shown();
  }

  function shown() {
    const shares = sheet.brush.shares();
    const focused = document.activeElement?.id;
    list.replaceChildren(...follows.map((own, label) => row(own, label, shares[label] ?? 0)));
    add.hidden = follows.length >= PALETTE.length;
    says.textContent = !parts.checked
      ? "Paint over parts of the photo, and say what each of them becomes."
      : sheet === photo
        ? "Paint over parts of the photo. Then choose a painting, and paint the same regions there."
        : "Paint over the parts of this painting that the regions of the photo are to look like.";
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
      checked: sheet.brush.label === label,
    });
    chosen.addEventListener("change", () => (sheet.brush.label = label));
    const swatch = make("i", { class: "swatch" });
    swatch.style.background = label ? /** @type {string} */ (PALETTE[label]) : "none";
    const name = label ? `Region ${label}` : "The rest (eraser)";
    const percent = make("span", { class: "muted number" }, `${Math.round(share * 100)} %`);
    const head = make("label", { for: chosen.id }, chosen, swatch, name, percent);
    if (sheet !== photo) return make("div", { class: "region" }, head);
    const what = make("select", { "aria-label": `What becomes of: ${name}`, id: `follows-${label}` });
    if (parts.checked) {
      what.append(make("option", { value: Math.max(own, 0) }, "as this region of a painting"));
    } else {
      of.styles.forEach((id, index) => {
        const text = of.styles.length > 1 ? `as ${nameOf(id)}` : "painted";
        what.append(make("option", { value: index, selected: own === index }, text));
      });
    }
    what.append(make("option", { value: KEPT, selected: own === KEPT }, "stays the photo"));
    what.addEventListener("change", () => {
      follows[label] = Number(what.value);
      hasChosen = true;
    });
    return make("div", { class: "region" }, head, what);
  }

  async function finish() {
    const there = labelsOn(photo);
    const painted = there.filter((label) => follows[label] !== KEPT);
    if (!painted.length) {
      say("Nothing is left to be painted: let a part of the photo follow a painting.", "error");
      return;
    }
    if (there.length === 1) {
      dialog.close();
      done(NOTHING);
      return;
    }
    const problem = parts.checked ? whyNotParts(there, painted) : whyNotWhole(painted);
    if (problem) {
      say(problem, "error");
      return;
    }
    const sheets = parts.checked ? [photo, ...paintings] : [photo];
    const maps = await trying(() => Promise.all(sheets.map((each) => kept(each.brush))));
    const [map, ...others] = maps ?? [];
    if (!map) return;
    dialog.close();
    done({ map: map.id, maps: others.map(({ id }) => id), dials: dialsOf(map) });
  }

  /** @param {number[]} painted */
  function whyNotWhole(painted) {
    const idle = of.styles.find((_id, index) => !painted.some((label) => follows[label] === index));
    if (painted.length === 1 || idle === undefined) return "";
    return `No region follows ${nameOf(idle)}: give it one, or leave it out.`;
  }

  /**
   * @param {number[]} there
   * @param {number[]} painted
   */
  function whyNotParts(there, painted) {
    const strange = paintings.find((each) => labelsOn(each).some((label) => !there.includes(label)));
    if (strange) {
      const label = labelsOn(strange).find((own) => !there.includes(own)) ?? 0;
      return `${titled(label)} of ${nameOf(strange.id)} is nowhere on the photo: paint it there too, or not here.`;
    }
    const missing = painted.find((label) => !paintings.some((each) => labelsOn(each).includes(label)));
    if (missing === undefined) return "";
    return `${titled(missing)} is on no painting: choose a painting, and paint it there too.`;
  }

  /** @param {StoredImage} map @returns {Dials} */
  function dialsOf(map) {
    const labelsOfMap = map.colours.map(([colour]) => PALETTE.indexOf(colour.toLowerCase()));
    const painted = labelsOfMap.filter((label) => follows[label] !== KEPT);
    const keep = map.colours
      .filter((_colour, index) => follows[labelsOfMap[index] ?? 0] === KEPT)
      .map(([colour]) => colour);
    const whole = !parts.checked && painted.length > 1;
    return {
      ...NO_DIALS,
      region_styles: whole ? painted.map((label) => (follows[label] ?? 0) + 1) : null,
      keep: keep.length ? keep : null,
    };
  }
}

/**
 * What the region of a colour is called, as where it is painted; of a map that was not painted here, by its place.
 *
 * @param {string} colour
 * @param {number} index
 */
export function regionName(colour, index) {
  const label = PALETTE.indexOf(colour.toLowerCase());
  return label === 0 ? "The rest" : `Region ${label < 0 ? index + 1 : label}`;
}

/** @param {number} label */
const titled = (label) => (label ? `Region ${label}` : "The rest");

/** The labels of which there is enough for a region. @param {Sheet} sheet */
const labelsOn = ({ brush }) => brush.shares().flatMap((share, label) => (share >= LEAST_SHARE ? [label] : []));

/** Sends a map to the server. @param {Brush} brush */
const kept = async (brush) => remember(await api.upload(await brush.map(), "regions.png", "map"));

/**
 * Makes what is painted over an image, with the map that it has.
 *
 * @param {string} id
 * @param {string | null} map
 * @param {string} name
 * @param {() => void} told Hears of every stroke that is done.
 * @returns {Promise<Sheet>}
 */
async function sheetOf(id, map, name, told) {
  const image = await loaded(api.imageAddress(id, 1024));
  const { width, height } = await details(id);
  const size = mapSize(width, height);
  const labels = new Uint8Array(size.width * size.height);
  if (map !== null) await readMap(map, labels, size);
  const says = `${name}: the arrows move the brush, the space bar paints, [ and ] change its size`;
  const canvas = make("canvas", { tabindex: 0, role: "application", "aria-label": says });
  const ring = make("div", { class: "ring", hidden: true });
  const element = make("div", { class: "canvas" }, image, canvas, ring);
  return { id, brush: new Brush(canvas, ring, labels, size, PALETTE, told), element };
}

/**
 * Reads a map that was painted here before.
 *
 * @param {string} id
 * @param {Uint8Array} labels
 * @param {{ width: number, height: number }} size
 */
async function readMap(id, labels, { width, height }) {
  const map = await loaded(api.imageAddress(id, 1024));
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
}

/**
 * Reads what each label of a photo's map follows.
 *
 * @param {Of} of
 * @param {number[]} follows
 */
async function readFollows({ regions, styles, dials }, follows) {
  if (regions === null) return;
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
