/** The gallery: all runs, the newest first, with those that wait. */

/** @import { Entry } from "./protocol.js" */
import * as actions from "./actions.js";
import * as api from "./api.js";
import { button, find, icon, make } from "./dom.js";
import { watch } from "./store.js";

const SAYS = {
  waiting: "waits",
  starting: "begins",
  running: "painting",
  paused: "paused",
  stopped: "stopped",
  finished: "",
  failed: "failed",
};

/** Makes the strip below. */
export function prepareGallery() {
  const strip = find("gallery", HTMLElement);
  const all = find("gallery-all", HTMLButtonElement);
  all.append(icon("grid"));
  all.addEventListener("click", () => showAll(!document.body.classList.contains("all-runs")));
  strip.addEventListener("keydown", ({ key }) => key === "Escape" && showAll(false));
  find("new", HTMLButtonElement).prepend(icon("plus"));
  find("new", HTMLButtonElement).addEventListener("click", () => {
    showAll(false);
    actions.startNew();
  });
  watch(["entries", "state", "selected", "removed"], ({ entries, removed, selected, state }) => {
    const shown = (entries ?? []).filter(({ id }) => !removed.includes(id));
    const live = state?.entry;
    const now = shown.map((entry) => (entry.id === live?.id ? live : entry));
    const key = JSON.stringify([
      selected,
      now.map(({ id, status, name, pictures, step }) => [
        id,
        status,
        name,
        pictures,
        status === "finished" || status === "stopped" ? step : 0,
      ]),
      state?.waiting,
    ]);
    find("gallery-count", HTMLElement).textContent = now.length ? String(now.length) : "";
    find("gallery-empty", HTMLElement).hidden = entries === null || now.length > 0;
    if (strip.dataset.key === key) return;
    strip.dataset.key = key;
    const focused = strip.contains(document.activeElement) ? document.activeElement?.getAttribute("data-key") : null;
    strip.replaceChildren(...now.map((entry) => tile(entry, selected, state?.waiting ?? [])));
    if (focused) /** @type {HTMLElement | null} */ (strip.querySelector(`[data-key="${focused}"]`))?.focus();
  });
}

/** Shows all pictures on the whole page, or the strip. @param {boolean} is */
function showAll(is) {
  document.body.classList.toggle("all-runs", is);
  const all = find("gallery-all", HTMLButtonElement);
  all.replaceChildren(icon(is ? "close" : "grid"));
  all.title = all.ariaLabel = is ? "Back" : "All pictures";
  all.setAttribute("aria-expanded", String(is));
}

/**
 * @param {Entry} entry
 * @param {string | null} selected
 * @param {string[]} waiting
 */
function tile(entry, selected, waiting) {
  const place = waiting.indexOf(entry.id);
  const status = place > 0 ? `waits, number ${place + 1}` : SAYS[entry.status];
  const what = entry.kind === "sweep" ? "many pictures" : "";
  const badge = [what, status].filter(Boolean).join(", ");
  const address = entry.pictures
    ? `${api.fileAddress(entry.id, "thumbnail")}?step=${entry.stages.length}-${entry.step}-${entry.status}`
    : api.imageAddress(entry.images.content, 256);
  const open = make(
    "button",
    {
      type: "button",
      class: `tile ${entry.pictures ? "" : "pale"}`,
      "aria-current": entry.id === selected ? "true" : null,
      "aria-label": [entry.name, badge].filter(Boolean).join(", "),
      title: entry.name,
      "data-key": `open-${entry.id}`,
      click: () => {
        showAll(false);
        actions.select(entry.id);
      },
    },
    make("img", { src: address, alt: "", loading: "lazy", draggable: "false" }),
    badge ? make("span", { class: `badge ${entry.status}` }, badge) : null,
    make("span", { class: "name" }, entry.name),
  );
  const bin = button(`Delete ${entry.name}`, () => actions.remove(entry), { icon: "bin", bare: true, class: "over" });
  bin.dataset.key = `bin-${entry.id}`;
  const first = button(`Paint ${entry.name} next`, () => void actions.tell(entry.id, "first"), {
    icon: "first",
    bare: true,
    class: "over left",
  });
  return make("li", {}, open, bin, place > 0 && first);
}
