/** What the page knows: what the server last said, and what the visitor has chosen. All else is drawn from it. */

/** @import { Dials, Entry, State, StoredImage, Studio } from "./protocol.js" */

/**
 * What a picture is made of; that of the page is being put together and not yet painted.
 *
 * @typedef {object} Draft
 * @property {string | null} content
 * @property {string[]} styles
 * @property {string | null} regions
 * @property {string[]} style_regions
 * @property {Dials} dials
 * @property {string} first_look The network that paints it in one pass before the first step.
 */

/**
 * @typedef {object} Known
 * @property {Studio | null} studio
 * @property {State | null} state
 * @property {boolean} connected
 * @property {Entry[] | null} entries The gallery; null before it was fetched.
 * @property {Record<string, StoredImage>} images
 * @property {Dials} defaults Those of the network and preset of what is shown.
 * @property {string | null} selected The run that is shown; null: the draft is.
 * @property {Draft} draft
 * @property {Dials} pending Dials of the shown run that were moved and of which the server does not know yet.
 * @property {string[]} removed Runs that are about to be removed.
 */

/** @type {Draft} */
export const EMPTY = {
  content: null,
  styles: [],
  regions: null,
  style_regions: [],
  dials: {},
  first_look: "any_style",
};

/** @type {Known} */
let known = {
  studio: null,
  state: null,
  connected: true,
  entries: null,
  images: {},
  defaults: {},
  selected: null,
  draft: EMPTY,
  pending: {},
  removed: [],
};

/** @type {{ keys: (keyof Known)[], act: (known: Known) => void }[]} */
const watchers = [];

/** @type {Set<keyof Known>} */
const changed = new Set();

export const get = () => known;

/**
 * Takes news; watchers hear of all that came at once.
 *
 * @param {Partial<Known>} news
 */
export function set(news) {
  for (const key of /** @type {(keyof Known)[]} */ (Object.keys(news))) {
    if (news[key] !== known[key]) {
      if (!changed.size) queueMicrotask(spread);
      changed.add(key);
    }
  }
  known = { ...known, ...news };
}

function spread() {
  const now = new Set(changed);
  changed.clear();
  for (const { keys, act } of watchers) if (keys.some((key) => now.has(key))) act(known);
}

/**
 * Calls a function whenever one of some things changes, and once at the beginning.
 *
 * @param {(keyof Known)[]} keys
 * @param {(known: Known) => void} act
 */
export function watch(keys, act) {
  watchers.push({ keys, act });
  act(known);
}

// What follows from it.

/**
 * The run that is shown; null while a draft is.
 *
 * @param {Known} [from]
 * @returns {Entry | null}
 */
export function shownEntry({ state, entries, selected } = known) {
  if (selected === null) return null;
  if (state?.entry?.id === selected) return state.entry;
  return entries?.find(({ id }) => id === selected) ?? null;
}

/** The run at work, if it is the one that is shown. */
export function shownLive({ state, selected } = known) {
  return state?.run && state.run.id === selected ? state.run : null;
}

/**
 * What images and dials are shown, those of a run or of the draft.
 *
 * @returns {Draft}
 */
export function subject(from = known) {
  const entry = shownEntry(from);
  return entry ? { ...entry.images, dials: entry.dials, first_look: entry.first_look } : from.draft;
}

/**
 * The value of a dial that is shown.
 *
 * @param {string} name
 */
export function valueOf(name, from = known) {
  const set = from.selected !== null && name in from.pending ? from.pending[name] : subject(from).dials[name];
  return set ?? from.defaults[name] ?? null;
}
