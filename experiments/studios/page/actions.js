/** What the visitor does, and what follows from it. */

/** @import { Dials, Entry, NewRun, Value } from "./protocol.js" */
/** @import { Draft } from "./store.js" */
import * as api from "./api.js";
import { say, trying } from "./messages.js";
import { editRegions } from "./regions.js";
import { EMPTY, get, set, shownEntry, shownLive, subject, valueOf } from "./store.js";

const DRAFT = "studio-draft";

/** Seconds in which a removed run can be had back. */
const UNDO_SECONDS = 7;

/** Shows a run, or with null what is being put together; the address says which, so that a reload keeps it. */
export function select(/** @type {string | null} */ id) {
  if (id === get().selected) return;
  set({ selected: id, pending: {} });
  const address = id === null ? "#new" : `#${id}`;
  if (location.hash !== address) history.pushState(null, "", address);
}

/** @param {Partial<Draft>} news */
export function changeDraft(news) {
  const draft = { ...get().draft, ...news };
  set({ draft });
  sessionStorage.setItem(DRAFT, JSON.stringify(draft));
}

/** Takes up what was being put together before a reload. */
export function restoreDraft() {
  try {
    set({ draft: { ...EMPTY, ...JSON.parse(sessionStorage.getItem(DRAFT) ?? "{}") } });
  } catch {
    sessionStorage.removeItem(DRAFT);
  }
}

/** Begins to put together another picture. */
export function startNew() {
  changeDraft(EMPTY);
  select(null);
}

/** Begins to put together a picture from the images and dials of one that there is. */
export function startFrom(/** @type {Entry} */ { images, dials, first_look }) {
  changeDraft({ ...images, dials, first_look });
  select(null);
}

/** @param {string} id */
export const setContent = (id) => changeDraft({ content: id, ...(id === get().draft.content ? {} : noRegions()) });

/** @param {string[]} ids */
export function addStyles(ids) {
  const { styles } = get().draft;
  changeStyles([...styles, ...ids.filter((id) => !styles.includes(id))]);
}

/**
 * Dials that have a value for each painting are left alone again; regions follow the paintings that they had, and a
 * painting that is new has no map yet.
 *
 * @param {string[]} styles
 */
export function changeStyles(styles) {
  const { styles: before, style_regions: maps, dials } = get().draft;
  const { blend_weights: _shares, style_scale: _scales, region_styles, ...others } = dials;
  const follows = Array.isArray(region_styles) ? region_styles : null;
  const now = follows?.map((number) => Math.max(styles.indexOf(before[Number(number) - 1] ?? ""), 0) + 1);
  const style_regions = maps.length ? styles.map((id) => maps[before.indexOf(id)] ?? "") : [];
  changeDraft({ styles, style_regions, dials: now ? { ...others, region_styles: now } : others });
}

/** The paintings of the draft that no region follows, though there are several regions. */
export function idleStyles() {
  const { styles, style_regions, dials } = get().draft;
  if (style_regions.length) return styles.filter((_id, index) => !style_regions[index]);
  const follows = dials.region_styles;
  return Array.isArray(follows) ? styles.filter((_id, index) => !follows.includes(index + 1)) : [];
}

/** @returns {Partial<Draft>} */
export function noRegions() {
  const { region_styles: _styles, region_weights: _weights, keep: _keep, ...dials } = get().draft.dials;
  return { regions: null, style_regions: [], dials };
}

/**
 * Returns the run that the draft says; null if something is missing.
 *
 * @returns {NewRun | null}
 */
export function wanted() {
  const { content, styles, first_look, ...others } = get().draft;
  if (content === null || !styles.length) return null;
  return { content, styles, ...others, first_look: installedLook(first_look) };
}

/** Returns a network that paints first looks: this one, unless it was removed since. @param {string} name */
export const installedLook = (name) => (get().studio?.first_looks.includes(name) ? name : EMPTY.first_look);

/** Has the visitor paint the regions of what is shown. */
export async function paintRegions() {
  const entry = shownEntry();
  await editRegions(subject(), async ({ map, maps, dials }) => {
    if (!entry) {
      changeDraft({ regions: map, style_regions: maps, dials: settled(noRegions().dials ?? {}, dials) });
      return;
    }
    await trying(() => api.move(entry.id, { dials, regions: map ?? "", style_regions: maps }));
    await refresh();
  });
}

/**
 * Returns dials after others were moved, without those that are left alone.
 *
 * @param {Dials} dials
 * @param {Dials} moved
 */
const settled = (dials, moved) =>
  Object.fromEntries(Object.entries({ ...dials, ...moved }).filter(([, value]) => value !== null));

/** Has the draft painted. */
export async function paint() {
  const run = wanted();
  if (!run) return;
  const made = await trying(() => api.newRun(run));
  if (!made) return;
  await refresh();
  select(made.id);
  if (get().state?.run && get().state?.run?.id !== made.id) say("It is painted when its turn comes.");
}

/** Asks for the gallery again. */
export async function refresh() {
  const entries = await trying(api.entries);
  if (entries) set({ entries });
}

// Dials.

let sending = false;

/** Run → its dials that are not sent yet. @type {Record<string, Dials>} */
const unsent = {};

/**
 * Moves a dial of what is shown. Several moves while the server answers one are one.
 *
 * @param {string} name
 * @param {Value | null} value null leaves it alone again.
 */
export function move(name, value) {
  const entry = shownEntry();
  if (!entry) {
    const { [name]: _before, ...dials } = get().draft.dials;
    changeDraft({ dials: value === null ? dials : { ...dials, [name]: value } });
    return;
  }
  unsent[entry.id] = { ...unsent[entry.id], [name]: value };
  set({ pending: { ...get().pending, [name]: value } });
  void sendMoves();
}

async function sendMoves() {
  if (sending) return;
  sending = true;
  try {
    for (let id = Object.keys(unsent)[0]; id !== undefined; id = Object.keys(unsent)[0]) {
      const dials = unsent[id] ?? {};
      delete unsent[id];
      const answer = await trying(() => api.move(id, { dials }));
      if (answer) takeUp(id, dials);
      if (get().selected !== id) continue;
      const later = unsent[id] ?? {};
      const pending = Object.entries(get().pending).filter(([name, value]) => name in later || value !== dials[name]);
      set({ pending: Object.fromEntries(pending) });
    }
  } finally {
    sending = false;
  }
}

/** Takes dials for those of a run until the server says the same. */
function takeUp(/** @type {string} */ id, /** @type {Dials} */ dials) {
  const { state, entries } = get();
  /** @param {Entry} entry */
  const moved = (entry) => (entry.id === id ? { ...entry, dials: { ...entry.dials, ...dials } } : entry);
  set({
    entries: entries?.map(moved) ?? null,
    state: state?.entry?.id === id ? { ...state, entry: moved(state.entry) } : state,
  });
}

let newestDefaults = "";

/** Asks what dials that are left alone are at, with the network and preset of what is shown. */
export async function askDefaults() {
  const [backbone, preset] = [valueOf("backbone") ?? "auto", valueOf("preset") ?? "auto"];
  const key = `${backbone} ${preset}`;
  if (key === newestDefaults) return;
  newestDefaults = key;
  const defaults = await trying(() => api.defaults(backbone, preset));
  if (defaults && newestDefaults === key) set({ defaults: { ...defaults, backbone: "auto", preset: "auto" } });
}

// Runs.

/** @param {"pause" | "go_on" | "stop" | "restart" | "mark" | "first"} what */
export async function tell(/** @type {string} */ id, what) {
  await trying(() => api.tell(id, what));
  await refresh();
}

/** Gives a run that waits its turn now, and ends that of the one at work, which can go on later. */
export async function paintNow(/** @type {string} */ id) {
  const atWork = get().state?.run?.id;
  await trying(async () => {
    await api.tell(id, "first");
    if (atWork !== undefined && atWork !== id) await api.tell(atWork, "stop");
  });
  await refresh();
}

/** Pauses the run that is shown, or has it go on. */
export async function pauseOrGoOn() {
  const entry = shownEntry();
  if (!entry || entry.status === "waiting") return;
  const works = shownLive() && entry.status !== "paused";
  await tell(entry.id, works ? "pause" : "go_on");
}

/**
 * @param {string} id
 * @param {number} mark
 */
export async function undo(id, mark) {
  await trying(() => api.undo(id, mark));
  await refresh();
}

/** @type {Set<string>} */
const leaving = new Set();

/** Removes a run, after some seconds in which the visitor can have it back. */
export function remove(/** @type {Entry} */ entry) {
  set({ removed: [...get().removed, entry.id] });
  leaving.add(entry.id);
  if (get().selected === entry.id) select(null);
  const timer = setTimeout(() => void finish(), UNDO_SECONDS * 1000);
  const away = say(`“${entry.name}” is deleted.`, "note", { label: "Undo", act: keep, seconds: UNDO_SECONDS });

  function keep() {
    clearTimeout(timer);
    leaving.delete(entry.id);
    set({ removed: get().removed.filter((id) => id !== entry.id) });
    select(entry.id);
  }

  async function finish() {
    away();
    leaving.delete(entry.id);
    await trying(() => api.remove(entry.id));
    await refresh();
    set({ removed: get().removed.filter((id) => id !== entry.id) });
  }
}

/** What was deleted is gone, also if the page is closed before the time is over. */
addEventListener("pagehide", () => {
  for (const id of leaving) void api.remove(id, { leaving: true });
});
