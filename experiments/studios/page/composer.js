/** Putting together a picture: a photo, paintings, and what is made of them. */

import * as actions from "./actions.js";
import * as api from "./api.js";
import { button, find, icon, make } from "./dom.js";
import { choose, details, nameOf, send, thumbnail } from "./images.js";
import { openMany } from "./many.js";
import { get, watch } from "./store.js";

/** Makes the composer, which is shown while no run is. */
export function prepareComposer() {
  const host = find("composer", HTMLElement);
  let drawn = "";
  watch(["draft", "studio", "images", "selected"], ({ studio, selected }) => {
    host.hidden = selected !== null;
    if (!studio || selected !== null) return;
    const { draft } = get();
    const samples = [...studio.samples.contents, ...studio.samples.styles];
    const key = JSON.stringify([draft, [draft.content ?? "", ...draft.styles].map(nameOf), samples.length]);
    if (key === drawn) return;
    drawn = key;
    const focused = host.contains(document.activeElement) ? document.activeElement?.getAttribute("data-key") : null;
    host.replaceChildren(photo(), paintings(), go());
    // Who works with the keyboard stays where he was, or comes to what is next.
    const places = [`[data-key="${focused}"]`, "#paint:enabled", "[data-key=painting]"];
    const next = places.map((place) => /** @type {HTMLElement | null} */ (host.querySelector(place))).find(Boolean);
    if (focused) next?.focus();
  });
  prepareDrops();
}

function photo() {
  const { draft, studio } = get();
  const samples = (studio?.samples.contents ?? []).map(({ id }) => sample(id, () => actions.setContent(id)));
  const pick = button(draft.content ? "Another photo" : "Choose a photo", pickContent, {
    class: draft.content ? "" : "strong",
  });
  pick.dataset.key = "photo";
  const card = make("section", { class: "card", "aria-labelledby": "photo-title", "data-drop": "content" });
  card.append(make("h2", { id: "photo-title" }, "The photo"));
  if (draft.content === null) {
    card.append(hole("Drop a photo here"), make("div", { class: "row" }, pick), offered("or take", samples));
    return card;
  }
  void details(draft.content);
  const regions = button(draft.regions ? "Edit regions" : "Paint regions", () => void actions.paintRegions(), {
    icon: "brush",
  });
  regions.title = "Parts of the photo that follow different paintings, or stay as they are";
  regions.dataset.key = "regions";
  const picture = make("figure", { class: "chosen" }, thumbnail(draft.content, 1024));
  picture.append(...[mapOf(draft.regions)].filter((map) => map !== null));
  card.append(picture, make("div", { class: "row" }, pick, regions));
  if (draft.regions) {
    const without = () => actions.changeDraft(actions.noRegions());
    card.querySelector(".row")?.append(button("Without regions", without, { class: "quiet" }));
  }
  return card;
}

function paintings() {
  const { draft, studio } = get();
  const { styles } = draft;
  const left = (studio?.samples.styles ?? []).filter(({ id }) => !styles.includes(id));
  const samples = left.map(({ id }) => sample(id, () => actions.addStyles([id])));
  const pick = button(styles.length ? "Add a painting" : "Choose a painting", pickStyles, {
    class: styles.length || !draft.content ? "" : "strong",
  });
  pick.dataset.key = "painting";
  const card = make("section", { class: "card", "aria-labelledby": "painting-title", "data-drop": "style" });
  card.append(make("h2", { id: "painting-title" }, styles.length > 1 ? "The paintings" : "The painting"));
  const chosen = styles.map((id, index) => {
    void details(id);
    const without = () => actions.changeStyles(styles.filter((other) => other !== id));
    return make(
      "figure",
      { class: "chosen" },
      thumbnail(id, 512),
      mapOf(draft.style_regions[index]),
      button(`Without ${nameOf(id)}`, without, { icon: "close", bare: true, class: "over" }),
    );
  });
  card.append(
    chosen.length
      ? make("div", { class: "several", "data-count": chosen.length }, ...chosen)
      : hole("Drop a painting here"),
  );
  card.append(make("div", { class: "row" }, pick), offered(chosen.length ? "or add" : "or take", samples));
  return card;
}

function go() {
  const { draft } = get();
  const idle = actions.idleStyles();
  const ready = actions.wanted() !== null && !idle.length;
  const paint = button("Paint", () => void actions.paint(), { class: ready ? "strong large" : "large" });
  paint.id = "paint";
  paint.disabled = !ready;
  const many = button("Try many …", () => openMany(draft), { icon: "grid" });
  many.title = "The same pictures with several values of some dials, side by side";
  many.disabled = !ready;
  const missing = draft.content === null ? (draft.styles.length ? "a photo" : "a photo and a painting") : "a painting";
  let hint = ready ? "You see it while it is painted, and can move the dials meanwhile." : `First choose ${missing}.`;
  if (idle.length) hint = `No region follows ${idle.map(nameOf).join(" and ")}: edit the regions, or take it away.`;
  const buttons = make("div", { class: "row" }, paint, many);
  return make("div", { class: "go" }, buttons, make("p", { class: "muted" }, hint), firstLook());
}

/** The regions of an image, to lie over it; null where there are none. @param {string | null | undefined} id */
const mapOf = (id) => (id ? make("img", { class: "map", src: api.imageAddress(id, 512), alt: "Its regions" }) : null);

/** The choice of the network that paints the first look; null where there is but one. */
function firstLook() {
  const { draft, studio } = get();
  const networks = studio?.first_looks ?? [];
  if (networks.length < 2) return null;
  const list = make("select", { id: "first-look-network", "data-key": "first-look" });
  const chosen = actions.installedLook(draft.first_look);
  for (const name of networks)
    list.append(make("option", { value: name, selected: name === chosen }, name.replaceAll("_", " ")));
  list.addEventListener("change", () => actions.changeDraft({ first_look: list.value }));
  return make("label", { class: "first-look", for: list.id }, "First look by", list);
}

/** @param {string} text */
const hole = (text) => make("div", { class: "hole" }, make("span", {}, icon("plus"), text));

/**
 * @param {string} word
 * @param {HTMLElement[]} samples
 */
const offered = (word, samples) =>
  make("div", { class: "samples", hidden: !samples.length }, make("span", { class: "muted" }, word), ...samples);

/**
 * @param {string} id
 * @param {() => void} act
 */
function sample(id, act) {
  void details(id);
  const label = `Sample: ${nameOf(id)}`;
  const attributes = { "aria-label": label, title: label, "data-key": id };
  return make("button", { type: "button", click: act, ...attributes }, thumbnail(id));
}

async function pickContent() {
  const [image] = await send(await choose(false));
  if (image) actions.setContent(image.id);
}

async function pickStyles() {
  actions.addStyles((await send(await choose(true))).map(({ id }) => id));
}

/** Files may be dropped anywhere: the left half of the page takes them as the photo, the right one as paintings. */
function prepareDrops() {
  const veil = find("drop", HTMLElement);
  /** @param {DragEvent} event */
  const brings = (event) => event.dataTransfer?.types.includes("Files") ?? false;
  addEventListener("dragenter", (event) => brings(event) && (veil.hidden = false));
  addEventListener("dragover", (event) => {
    if (!brings(event)) return;
    event.preventDefault();
    const over = event.target instanceof Element ? event.target.closest("[data-drop]") : null;
    for (const zone of veil.children) zone.classList.toggle("over", zone === over);
  });
  addEventListener("dragleave", (event) => event.relatedTarget === null && (veil.hidden = true));
  addEventListener("drop", async (event) => {
    if (!brings(event)) return;
    event.preventDefault();
    veil.hidden = true;
    const zone = event.target instanceof Element ? event.target.closest("[data-drop]") : null;
    const images = await send(event.dataTransfer?.files ?? []);
    if (!images.length) return;
    const entry = get().selected === null ? null : get().entries?.find(({ id }) => id === get().selected);
    if (entry) actions.startFrom(entry);
    const ids = images.map(({ id }) => id);
    if (zone?.getAttribute("data-drop") === "style") actions.addStyles(ids);
    else {
      actions.setContent(/** @type {string} */ (ids[0]));
      actions.addStyles(ids.slice(1));
    }
  });
}
