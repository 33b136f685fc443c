/** How far the shown run is, and what can be done with it. */

/** @import { Entry, Live } from "./protocol.js" */
/** @import { Icon } from "./dom.js" */
import * as actions from "./actions.js";
import { button, find } from "./dom.js";
import { nameOf } from "./images.js";
import { openMany } from "./many.js";
import { openSave } from "./saving.js";
import { get, shownEntry, shownLive, subject, watch } from "./store.js";

/** Of the steps, after how many it is said aloud how far the run is. */
const SPOKEN_SHARE = 0.1;

const DOING = {
  reading: "Reading the pictures",
  compiling: "Getting ready",
  painting: "Painting",
  waiting: "Paused",
  stopping: "Stopping",
};

/** @type {Record<string, string>} */
const HINTS = {
  Pause: "Waits, with all that is needed to go on (Space)",
  Mark: "Keeps this state, so that you can come back to it (M)",
  "Start anew": "From the first step, with the dials as they are",
  Stop: "Ends its turn; it can go on later",
  "Paint it now": "Before all others; the one at work stops, and can go on later",
};

/** Makes the bar below the picture. */
export function prepareTransport() {
  watch(["state", "entries", "selected", "connected"], show);
}

function show() {
  const entry = shownEntry();
  const live = shownLive();
  const host = find("transport", HTMLElement);
  host.hidden = entry === null;
  document.title = entry ? `${entry.name} · Studio` : "Studio";
  if (!entry) return;
  const text = says(entry, live);
  if (live?.steps) document.title = `${Math.floor((100 * live.step) / live.steps)} % · ${document.title}`;
  find("progress-text", HTMLElement).textContent = text;
  find("progress-name", HTMLElement).textContent = entry.name;
  speak(entry, live, text);
  bar(entry, live);
  const hasFailed = entry.status === "failed";
  const begun = entry.step > 0 || entry.stages.length > 1;
  const goesOn =
    entry.status === "stopped" || (hasFailed && begun) || (entry.status === "finished" && hasMoved(entry));
  const works = live !== null && entry.status !== "paused";
  const isPicture = entry.kind === "picture";
  fill("controls", [
    isPicture && live && works && ["Pause", "pause", () => actions.tell(entry.id, "pause"), ""],
    isPicture && live && !works && ["Go on", "play", () => actions.tell(entry.id, "go_on"), "strong"],
    !live && goesOn && ["Go on", "play", () => actions.tell(entry.id, "go_on"), "strong"],
    !live && hasFailed && !begun && ["Try again", "again", () => actions.tell(entry.id, "restart"), "strong"],
    entry.status === "waiting" && ["Paint it now", "play", () => actions.paintNow(entry.id), "strong"],
    isPicture && live && ["Mark", "mark", () => actions.tell(entry.id, "mark"), ""],
    isPicture &&
      entry.status !== "waiting" &&
      (!hasFailed || begun) && ["Start anew", "again", () => actions.tell(entry.id, "restart"), ""],
    (live || entry.status === "waiting") && ["Stop", "stop", () => actions.tell(entry.id, "stop"), ""],
  ]);
  marks(entry);
  images(entry);
}

/** Whether dials or images are others than those that made the picture so far. @param {Entry} entry */
function hasMoved({ stages, dials, images }) {
  const last = stages.at(-1);
  if (!last) return false;
  const made = last.moves.at(-1)?.[1] ?? last.begun;
  return !isSame(made, dials) || !isSame(last.images, images);
}

/**
 * @param {object} one
 * @param {object} other
 */
const isSame = (one, other) => sorted(one) === sorted(other);

/** @param {object} value */
const sorted = (value) =>
  JSON.stringify(
    Object.entries(value)
      .filter(([, own]) => own !== null)
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );

/**
 * Fills a row of buttons; one that stays keeps the focus.
 *
 * @param {string} id
 * @param {(false | null | [string, Icon, () => unknown, string])[]} wanted
 */
function fill(id, wanted) {
  const host = find(id, HTMLElement);
  const rows = wanted.filter((each) => each !== false && each !== null);
  const key = JSON.stringify(rows.map(([label]) => label)) + get().selected;
  if (host.dataset.key === key) return;
  host.dataset.key = key;
  const focused = document.activeElement?.getAttribute("data-act");
  const held = host.contains(document.activeElement);
  const buttons = rows.map(([label, look, act, kind]) => {
    const made = button(label, () => void act(), { icon: look, class: kind });
    made.title = HINTS[label] ?? "";
    made.dataset.act = look;
    return made;
  });
  host.replaceChildren(...buttons);
  if (held) (buttons.find(({ dataset }) => dataset.act === focused) ?? buttons[0])?.focus();
}

/**
 * @param {Entry} entry
 * @param {Live | null} live
 */
function says(entry, live) {
  if (!get().connected) return "The studio does not answer. Is it still running?";
  const place = get().state?.waiting.indexOf(entry.id) ?? -1;
  if (place >= 0) return place === 0 ? "Waits, and is next" : `Waits for its turn, number ${place + 1}`;
  if (entry.status === "failed") return "Could not be painted";
  if (entry.kind === "sweep")
    return entry.status === "finished" ? "All pictures are painted" : live ? "Painting many" : "Stopped";
  if (!live) {
    const where = `step ${entry.step} of ${entry.steps}`;
    if (entry.status === "finished" && hasMoved(entry)) return "Dials were moved: Go on paints with them";
    if (entry.status === "finished") return `Finished after ${entry.step} steps`;
    return entry.status === "stopped" ? `Stopped at ${where}` : "Begins in a moment";
  }
  if (get().state?.worker === "restarting") return "What paints has ended; it is being started again";
  const doing =
    entry.status === "paused" ? "Paused" : (DOING[/** @type {keyof typeof DOING} */ (live.doing)] ?? live.doing);
  if (!live.steps || live.doing === "reading" || live.doing === "compiling") return `${doing} …`;
  const side = live.sides[live.scale];
  const parts = [`${doing} · step ${live.step} of ${live.steps}`];
  if (side && live.sides.length > 1) parts.push(`${side} of ${live.sides.at(-1)} px`);
  if (live.seconds_left !== null && entry.status === "running") parts.push(left(live.seconds_left));
  return parts.join(" · ");
}

/** @param {number} seconds */
function left(seconds) {
  if (seconds < 5) return "nearly done";
  if (seconds < 90) return `${Math.ceil(seconds / 5) * 5} s left`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min left` : `${(seconds / 3600).toFixed(1)} h left`;
}

let spoken = "";

/**
 * Says it to those who listen, at a pace at which one can.
 *
 * @param {Entry} entry
 * @param {Live | null} live
 * @param {string} text
 */
function speak(entry, live, text) {
  const share = live?.steps ? Math.floor(live.step / live.steps / SPOKEN_SHARE) : 0;
  const key = `${entry.id} ${entry.status} ${live?.doing} ${share}`;
  if (key === spoken) return;
  spoken = key;
  find("spoken", HTMLElement).textContent = text;
}

/**
 * @param {Entry} entry
 * @param {Live | null} live
 */
function bar(entry, live) {
  const steps = live?.steps || entry.steps;
  const share = steps ? Math.min((live?.steps ? live.step : entry.step) / steps, 1) : 0;
  const host = find("progress", HTMLElement);
  const busy = live !== null && (!live.steps || live.doing === "reading" || live.doing === "compiling");
  host.classList.toggle("busy", busy && entry.status !== "paused");
  host.setAttribute("aria-valuenow", String(Math.round(share * 100)));
  find("progress-bar", HTMLElement).style.width = `${(entry.status === "finished" ? 1 : share) * 100}%`;
}

/** @param {Entry} entry */
function marks(entry) {
  const host = find("marks", HTMLElement);
  const key = entry.id + JSON.stringify(entry.marks.map(({ number }) => number));
  if (host.dataset.key === key) return;
  host.dataset.key = key;
  host.hidden = !entry.marks.length;
  const chips = entry.marks.map(({ number, stage, step }) => {
    const where = stage ? `stage ${stage + 1}, step ${step}` : `step ${step}`;
    const chip = button(`Back to ${where}`, () => void actions.undo(entry.id, number), { icon: "mark", class: "chip" });
    chip.title = "Goes on from this mark, with the dials as they were";
    return chip;
  });
  host.replaceChildren(...chips);
}

/** The images of the run, and what can be begun from them. @param {Entry} entry */
function images(entry) {
  const host = find("made-of", HTMLElement);
  const key = [entry.id, ...[entry.images.content, ...entry.images.styles].map(nameOf)].join(" ");
  if (host.dataset.key === key) return;
  host.dataset.key = key;
  const save = button("Save …", () => void openSave(entry.id), { icon: "save", class: "strong" });
  save.id = "save";
  const others = button("Change pictures", () => actions.startFrom(entry));
  others.title = "Other photos, paintings or regions with the same dials, as another picture";
  const many = button("Try many …", () => openMany(subject()), { icon: "grid" });
  const regions = button("Regions …", () => void actions.paintRegions(), { icon: "brush" });
  regions.title = "Parts of the photo that follow different paintings, or stay as they are";
  const isPicture = entry.kind === "picture";
  host.replaceChildren(
    ...[isPicture && save, isPicture && regions, isPicture && many, others].filter((each) => each !== false),
  );
}
