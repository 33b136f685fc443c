/** What the keyboard does. */

/** @import { Viewer } from "./viewer.js" */
import * as actions from "./actions.js";
import { find, make, openDialog } from "./dom.js";
import { openSave } from "./saving.js";
import { shownEntry, shownLive } from "./store.js";

const KEYS = [
  ["Space", "Pause, go on"],
  ["C", "Compare with the photo"],
  ["M", "Mark, to come back here"],
  ["S", "Save"],
  ["N", "New picture"],
  ["+  −", "Larger, smaller"],
  ["0  1", "All of the picture, pixel by pixel"],
  ["← → ↑ ↓", "Move the picture"],
  ["?", "This list"],
];

/** Shows which keys there are. */
export function openKeys() {
  const rows = KEYS.flatMap(([keys = "", says = ""]) => [make("dt", {}, make("kbd", {}, keys)), make("dd", {}, says)]);
  const says =
    "The wheel, or two fingers, zoom the picture; it is moved by dragging. A double click shows it pixel by pixel.";
  openDialog("Keys", make("dl", { class: "keys" }, ...rows), make("p", { class: "muted small" }, says));
}

/**
 * Listens to keys that are pressed anywhere but in a field.
 *
 * @param {{ viewer: Viewer, compare: () => void }} on
 */
export function prepareKeys({ viewer, compare }) {
  const host = find("viewer", HTMLElement);
  /** @type {Record<string, () => unknown>} */
  const onRun = {
    " ": () => shownLive() && actions.pauseOrGoOn(),
    c: compare,
    m: () => shownLive() && actions.tell(/** @type {any} */ (shownEntry()).id, "mark"),
    s: () => shownEntry()?.kind === "picture" && openSave(/** @type {any} */ (shownEntry()).id),
    "+": () => viewer.zoomBy(1.25),
    "-": () => viewer.zoomBy(0.8),
    0: () => viewer.fit(),
    1: () => viewer.zoom(1),
  };
  /** @type {Record<string, () => unknown>} */
  const always = { "?": openKeys, n: () => actions.startNew() };
  addEventListener("keydown", (event) => {
    const { target, key } = event;
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || !(target instanceof Element))
      return;
    if (document.querySelector("dialog[open]") || target.closest("input, select, textarea")) return;
    // The space bar presses the button that has the focus.
    if (key === " " && target.closest("button, a, summary, [role=slider]")) return;
    const act = always[key] ?? (shownEntry() ? onRun[key] : undefined);
    if (!act) return;
    event.preventDefault();
    void act();
  });
  host.addEventListener("pointerdown", () => host.focus({ preventScroll: true }));
}
