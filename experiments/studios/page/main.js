/** The page, put together: what is heard goes into the store, what is shown comes out of it. */

import * as actions from "./actions.js";
import * as api from "./api.js";
import { prepareComposer } from "./composer.js";
import * as curves from "./curves.js";
import { prepareDials } from "./dials.js";
import { button, find, make } from "./dom.js";
import { frames } from "./frames.js";
import { prepareGallery } from "./gallery.js";
import { details } from "./images.js";
import { openKeys, prepareKeys } from "./keys.js";
import { hear, prepareMessages, trying } from "./messages.js";
import { listen } from "./news.js";
import { get, set, shownEntry, shownLive, valueOf, watch } from "./store.js";
import { prepareTheme } from "./theme.js";
import { prepareTransport } from "./transport.js";
import { Viewer } from "./viewer.js";

/** A picture is shown as it is on the disk where it has more pixels than a frame. */
const FRAME_SIDE = 1600;

/** After which a studio that has not answered at all has perhaps no connection left for this page. */
const SLOW_SECONDS = 8;

const stage = find("viewer", HTMLElement);
const viewer = new Viewer(stage, showZoom);

/** What of which run is on the screen, as a text to compare. */
let onScreen = "";

const lookForFrames = frames(async (address, run, step) => {
  if (get().selected !== run) return false;
  onScreen = `frame ${run}`;
  const shown = await viewer.show(address, step < 0 ? "A first look, in one pass" : `The picture at step ${step}`);
  find("first-look", HTMLElement).hidden = step >= 0;
  return shown;
});

function prepareViewer() {
  const compare = button("Compare", () => toggleCompare(), { icon: "compare" });
  compare.id = "compare";
  compare.title = "Before and after (C)";
  compare.setAttribute("aria-pressed", "false");
  const zoom = make("output", { id: "zoom", "aria-label": "Zoom" });
  find("view-tools", HTMLElement).append(
    compare,
    button("Smaller (−)", () => viewer.zoomBy(0.8), { icon: "minus", bare: true }),
    zoom,
    button("Larger (+)", () => viewer.zoomBy(1.25), { icon: "plus", bare: true }),
    button("All of it (0)", () => viewer.fit(), { icon: "fit", bare: true }),
    make("button", { type: "button", title: "Pixel by pixel (1)", click: () => viewer.zoom(1) }, "1 : 1"),
  );
  watch(["selected"], async ({ selected }) => {
    onScreen = "";
    find("workspace", HTMLElement).hidden = selected === null;
    document.body.classList.toggle("composing", selected === null);
    find("first-look", HTMLElement).hidden = true;
    viewer.fit();
    if (selected === null) return;
    if (document.activeElement === document.body) stage.focus({ preventScroll: true }); // What was pressed is gone.
    await viewer.show(null, "");
  });
  watch(["selected", "entries", "state", "images"], () => void showPicture());
}

function toggleCompare() {
  viewer.compare();
  find("compare", HTMLElement).setAttribute("aria-pressed", String(viewer.compares));
}

/**
 * @param {number} zoom
 * @param {boolean} fits
 */
function showZoom(zoom, fits) {
  const place = document.getElementById("zoom");
  if (place) place.textContent = `${Math.round(zoom * 100)} %`;
  stage.classList.toggle("fits", fits);
}

let compared = "";

/** Shows what there is of the run that is shown: frames while it is painted, else its picture, else its photo. */
async function showPicture() {
  const entry = shownEntry();
  find("sweep", HTMLElement).hidden = entry?.kind !== "sweep";
  find("viewer", HTMLElement).hidden = !entry || entry.kind === "sweep";
  find("view-tools", HTMLElement).hidden = !entry || entry.kind === "sweep";
  find("problem", HTMLElement).hidden = entry?.status !== "failed";
  find("problem", HTMLElement).textContent = entry?.message ?? "";
  if (!entry) return;
  if (entry.kind === "sweep") {
    showSweep(entry.id, entry.status);
    return;
  }
  await sizeViewer(entry.images.content);
  if (compared !== entry.images.content) {
    compared = entry.images.content;
    void viewer.compareWith(api.imageAddress(entry.images.content, 2048));
  }
  const live = shownLive();
  if (live) {
    await lookForFrames();
    const large = (live.sides.at(-1) ?? 0) > FRAME_SIDE && entry.status === "paused";
    if (large) await showOnce(`${api.fileAddress(entry.id, "picture.png")}?frame=${live.frame}`, "The picture so far");
    else if (!onScreen) await showOnce(started(entry), "The picture so far");
  } else if (entry.pictures) {
    const version = `${entry.stages.length}-${entry.step}-${entry.status}`;
    await showOnce(`${api.fileAddress(entry.id, "picture.png")}?step=${version}`, `The picture of ${entry.name}`);
  } else {
    await showOnce(api.imageAddress(entry.images.content, 1024), "The photo, of which nothing is painted yet");
  }
}

/** What is shown before the first frame. @param {import("./protocol.js").Entry} entry */
const started = (entry) =>
  entry.pictures
    ? `${api.fileAddress(entry.id, "thumbnail")}?of=${entry.step}`
    : api.imageAddress(entry.images.content, 1024);

/**
 * @param {string} address
 * @param {string} description
 */
async function showOnce(address, description) {
  if (onScreen === address) return;
  onScreen = address;
  await viewer.show(address, description);
}

/** Gives the viewer the size that the picture has when it is finished. @param {string} content */
async function sizeViewer(content) {
  const { width: wide, height: high } = await details(content);
  const side = shownLive()?.sides.at(-1) ?? Number(valueOf("size") ?? Math.max(wide, high));
  const scale = side / Math.max(wide, high);
  viewer.size(Math.round(wide * scale), Math.round(high * scale));
}

let looksForSweep = "";

/**
 * @param {string} id
 * @param {string} status
 */
async function showSweep(id, status) {
  const link = find("sweep-link", HTMLAnchorElement);
  link.href = api.fileAddress(id, "sweep/index.html");
  const key = `${id} ${status} ${get().state?.gallery}`;
  if (key === looksForSweep) return;
  looksForSweep = key;
  const is = await api.exists(id, "sweep/index.html");
  find("sweep-ready", HTMLElement).hidden = !is;
  find("sweep-waits", HTMLElement).hidden = is;
  if (!is && looksForSweep === key && status !== "failed") {
    setTimeout(() => {
      looksForSweep = "";
      if (get().selected === id) void showSweep(id, status);
    }, 1500);
  }
}

let drawing = 0;

/** Draws the curves, no more often than one can see. */
function drawCurvesSoon() {
  drawing ||= setTimeout(() => {
    drawing = 0;
    const live = shownLive();
    curves.drawCurves(get().selected ?? "", shownEntry()?.stages.at(-1), live?.weights ?? {});
  }, 300);
}

function hearAll() {
  listen({
    connected: (connected) => set({ connected }),
    losses: (news) => {
      if (news.run !== get().selected) return;
      curves.add(news);
      drawCurvesSoon();
    },
    state: (news) => {
      const { state: before, entries } = get();
      const state = "entry" in news ? news : { ...news, entry: before?.entry ?? null };
      const { entry } = state;
      // When its turn is over, what is known of it is as new as what was shown.
      const others = entry === before?.entry ? entries : entries?.map((own) => (own.id === entry?.id ? entry : own));
      // Its last steps may have been told to nobody.
      if (before?.run && before.run.id !== state.run?.id && before.run.id === curves.known()) curves.forget();
      set({ state, entries: others ?? null, connected: true });
      hear(state.messages);
      void lookForFrames();
      if (state.gallery !== before?.gallery) void actions.refresh();
    },
  });
  watch(["connected", "state"], ({ connected, state }) => {
    find("offline", HTMLElement).hidden = connected;
    const device = find("device", HTMLElement);
    device.textContent = state?.device ? `on ${state.device}` : "";
  });
  watch(["selected"], curves.forget);
  watch(["selected", "state", "entries"], ({ selected }) => {
    drawCurvesSoon();
    if (shownEntry()?.kind === "picture" && selected !== null && curves.known() !== selected)
      void fetchLosses(selected);
  });
}

let fetching = "";

/** Asks for the losses so far of a run, at work or not. @param {string} id */
async function fetchLosses(id) {
  if (fetching === id) return;
  fetching = id;
  const none = { run: id, begin: 0, step: [], loss: [], terms: {} };
  const live = get().state?.run?.id;
  const found = (await trying(() => api.losses(id))) ?? none;
  fetching = "";
  if (get().selected !== id) return;
  if (get().state?.run?.id !== live) {
    void fetchLosses(id); // A run has ended or begun meanwhile.
    return;
  }
  curves.add(found);
  drawCurvesSoon();
}

/** Shows what the address says, as after a reload or the browser's way back. */
function follow() {
  const id = decodeURIComponent(location.hash.slice(1));
  const { entries, state } = get();
  if (entries?.some((entry) => entry.id === id)) set({ selected: id, pending: {} });
  else if (id !== "new" && state?.run) actions.select(state.run.id);
  else set({ selected: null });
}

async function begin() {
  prepareTheme();
  prepareMessages();
  prepareKeys({ viewer, compare: toggleCompare });
  find("keys", HTMLButtonElement).append("?");
  find("keys", HTMLButtonElement).addEventListener("click", openKeys);
  actions.restoreDraft();
  const slow = setTimeout(() => (find("crowded", HTMLElement).hidden = false), SLOW_SECONDS * 1000);
  const studio = await trying(api.studio);
  clearTimeout(slow);
  find("crowded", HTMLElement).hidden = true;
  if (!studio) {
    find("offline", HTMLElement).hidden = false;
    return;
  }
  const samples = Object.fromEntries(
    [...studio.samples.contents, ...studio.samples.styles].map((image) => [image.id, image]),
  );
  set({ studio, images: samples });
  await actions.refresh();
  hearAll();
  await firstState();
  follow();
  addEventListener("popstate", follow);
  prepareComposer();
  prepareDials();
  prepareViewer();
  prepareTransport();
  prepareGallery();
  watch(["selected", "draft", "entries", "pending"], () => void actions.askDefaults());
  // What another window has deleted is shown here no longer.
  watch(["entries"], ({ selected }) => selected !== null && !shownEntry() && actions.select(null));
  document.body.classList.remove("loading");
}

/** Waits for the first state. @returns {Promise<void>} */
const firstState = () =>
  new Promise((resolve) => {
    watch(["state"], ({ state }) => state && resolve());
  });

void begin();
