/** The dials: one row each, in groups, the few that matter most at first. */

/** @import { Dial, Value } from "./protocol.js" */
import { move } from "./actions.js";
import { button, find, make } from "./dom.js";
import { details, nameOf, thumbnail } from "./images.js";
import { paintedColours, regionName, strings } from "./regions.js";
import { placeOf, tidy, valueAt } from "./scales.js";
import { get, shownEntry, subject, valueOf, watch } from "./store.js";

const GROUPS = {
  balance: ["Balance", ""],
  strokes: ["Strokes", ""],
  colour: ["Colour", ""],
  regions: ["Regions", ""],
  run: ["Size and method", ""],
  start: ["Start", "Matters where a picture begins anew."],
};

/** Dials that are set where regions are painted. */
const ELSEWHERE = ["region_styles", "keep"];

/** Of dials with a value for each image or region: what each has where they are left alone; null: equal shares. */
const NEUTRAL = { style_scale: 1, region_weights: 1, blend_weights: null };

/** Plainer words for some choices. @type {Record<string, Record<string, string>>} */
const WORDS = {
  all: { "": "as it is", auto: "automatic", none: "no" },
  colours: { free: "of the painting", luminance: "of the photo", grey: "grey" },
  init: { content: "the photo", noise: "noise", blend: "photo and noise", instant: "a first look" },
  style_rotate: { 0: "no", 90: "by 90°", 180: "by 180°", 270: "by 270°" },
};

const MORE = "studio-more-dials";
const STEPS = 1000;

/** Milliseconds between two values that are sent while a slider moves. */
const PACE = 200;

/** What of a row shows a value. @typedef {(value: Value | null, pending: boolean) => void} Show */

/** @type {Map<string, Show>} */
const shows = new Map();

let built = "";

/** Makes the panel. */
export function prepareDials() {
  const more = find("more-dials", HTMLInputElement);
  more.checked = sessionStorage.getItem(MORE) === "yes";
  more.addEventListener("change", () => {
    sessionStorage.setItem(MORE, more.checked ? "yes" : "no");
    build();
  });
  watch(["studio", "selected", "entries", "state", "draft", "images"], build);
  watch(["studio", "selected", "entries", "state", "draft", "pending", "defaults"], update);
}

function build() {
  const { studio } = get();
  if (!studio) return;
  const all = find("more-dials", HTMLInputElement).checked;
  const { styles, regions, dials } = subject();
  const isSweep = shownEntry()?.kind === "sweep";
  for (const id of [...styles, ...(regions === null ? [] : [regions])]) void details(id);
  const colours = regions === null ? [] : paintedColours(regions, dials.keep);
  const names = styles.map(nameOf);
  const key = JSON.stringify([get().selected, isSweep, styles, names, colours, all]);
  if (key === built) return;
  built = key;
  shows.clear();
  find("dials-none", HTMLElement).hidden = !isSweep;
  const host = find("dials", HTMLElement);
  const groups = Object.entries(GROUPS).map(([group, [title = "", says = ""]]) => {
    const rows = studio.dials
      .filter(
        (dial) => dial.group === group && (all || dial.simple || (dial.name === "region_weights" && colours.length)),
      )
      .flatMap((dial) => row(dial, styles, colours));
    if (!rows.length) return null;
    const heading = make("h3", {}, title);
    return make("section", {}, heading, says ? make("p", { class: "muted small" }, says) : null, ...rows);
  });
  host.replaceChildren(...(isSweep ? [] : groups.filter((group) => group !== null)));
  find("more-dials-label", HTMLElement).hidden = isSweep;
  update();
}

function update() {
  const { pending, state, selected } = get();
  const waiting = state?.run?.id === selected ? (state?.run?.moved ?? []) : [];
  for (const [name, show] of shows) show(valueOf(name), name in pending || waiting.includes(name));
  showMissing();
}

/** Networks that are not installed, with the commands that install them. */
function showMissing() {
  const host = document.getElementById("missing");
  const missing = Object.entries(get().studio?.missing ?? {});
  if (!host || host.childElementCount || !missing.length) return;
  const rows = missing.map(([name, command]) => {
    const copy = button("Copy", () => void navigator.clipboard.writeText(command), { class: "quiet" });
    copy.setAttribute("aria-label", `Copy the command that installs ${name}`);
    return make("li", {}, make("strong", {}, name), make("code", {}, command), copy);
  });
  host.append(make("details", {}, make("summary", {}, "More networks"), make("ul", {}, ...rows)));
}

/**
 * @param {Dial} dial
 * @param {string[]} styles
 * @param {string[]} colours
 * @returns {HTMLElement[]}
 */
function row(dial, styles, colours) {
  const { name } = dial;
  if (ELSEWHERE.includes(name)) return [];
  const ofRegions = dial.group === "regions";
  if (ofRegions && !colours.length) return [];
  if (name === "blend_weights" && styles.length < 2) return [];
  const id = `dial-${name}`;
  const reset = button(`Reset: ${dial.label}`, () => move(name, null), {
    icon: "reset",
    bare: true,
    class: "quiet reset",
  });
  const help = make("p", { class: "help muted small", id: `${id}-help`, hidden: true }, `${dial.help} ${acts(dial)}`);
  const asks = button(`What is: ${dial.label}`, toggle, { bare: true, class: "quiet asks" });
  asks.append("?");
  asks.setAttribute("aria-expanded", "false");
  asks.setAttribute("aria-controls", help.id);
  const { fields, show, labelled } = control(dial, id, styles, colours);
  const title = { title: dial.label }; // where there is no room for all of it
  const label = labelled
    ? make("label", { for: id, ...title }, dial.label)
    : make("span", { id: `${id}-label`, ...title }, dial.label);
  const head = make("div", { class: "head" }, label, asks, reset);
  const whole = make("div", { class: `dial ${lookOf(dial)}`, "data-dial": name }, head, ...fields, help);
  if (!labelled) {
    whole.setAttribute("role", "group");
    whole.setAttribute("aria-labelledby", `${id}-label`);
  }
  if (name === "backbone") whole.append(make("div", { id: "missing" }));
  shows.set(name, (value, pending) => {
    const set =
      name in subject().dials || name in get().pending ? (get().pending[name] ?? subject().dials[name] ?? null) : null;
    reset.classList.toggle("unseen", set === null);
    reset.disabled = set === null;
    whole.classList.toggle("moved", set !== null);
    whole.classList.toggle("pending", pending);
    show(value);
  });
  return [whole];

  function toggle() {
    help.hidden = !help.hidden;
    asks.setAttribute("aria-expanded", String(!help.hidden));
  }
}

/** @param {Dial} dial */
const acts = ({ acts: how, group }) => {
  if (group === "start") return "";
  return how === "at once" ? "Acts at once." : "Paints on from the picture so far, as a new stage.";
};

/**
 * What a dial is shown as: numbers of which there are few, or which no slider has, are chosen or written.
 *
 * @param {Dial} dial
 */
const lookOf = ({ kind, choices, slider: ends }) => {
  if (kind !== "numbers" || ends) return kind;
  return choices.length ? "choice" : "text";
};

/**
 * What is in a row, and what shows a value in it.
 *
 * @typedef {{ fields: HTMLElement[], show: (value: Value | null) => void, labelled: boolean }} Control
 */

/**
 * @param {Dial} dial
 * @param {string} id
 * @param {string[]} styles
 * @param {string[]} colours
 * @returns {Control}
 */
function control(dial, id, styles, colours) {
  const look = lookOf(dial);
  if (look === "numbers") return several(dial, id, styles, colours);
  if (look === "switch") return turned(dial, id);
  if (look === "choice") return chosen(dial, id);
  if (look === "text") return written(dial, id);
  const { fields, show } = slider(dial, id, dial.label, (value) => move(dial.name, value));
  return { fields, show: (value) => show(value === null ? null : Number(value)), labelled: true };
}

/**
 * A slider and a field for one number.
 *
 * @param {Dial} dial
 * @param {string} id
 * @param {string} label
 * @param {(value: number) => void} act
 */
function slider(dial, id, label, act) {
  const bounds = { min: dial.least, max: dial.most };
  const field = make("input", {
    type: "number",
    id,
    ...bounds,
    step: dial.kind === "whole" ? 1 : "any",
    class: "number",
  });
  const range = make("input", { type: "range", min: 0, max: STEPS, step: 1, "aria-label": label });
  let newest = 0;
  let sent = 0;
  let timer = 0;
  const send = () => {
    clearTimeout(timer);
    timer = 0;
    sent = performance.now();
    act(newest);
  };
  range.addEventListener("input", () => {
    newest = valueAt(dial, Number(range.value) / STEPS);
    field.value = String(newest);
    paintTrack();
    range.setAttribute("aria-valuetext", String(newest));
    // What acts at once is sent while the slider moves; a new stage begins when it is let go.
    if (dial.acts === "at once" && !timer) timer = setTimeout(send, Math.max(PACE - (performance.now() - sent), 0));
  });
  range.addEventListener("change", send);
  field.addEventListener("change", () => {
    if (field.value === "" || !field.checkValidity()) {
      field.reportValidity();
      return;
    }
    newest = Number(field.value);
    send();
  });
  const paintTrack = () => range.style.setProperty("--place", `${Number(range.value) / (STEPS / 100)}%`);

  /** @param {number | null} value */
  const show = (value) => {
    if (timer || range.matches(":active")) return; // It is being moved.
    if (document.activeElement !== field || value === null) field.value = value === null ? "" : String(tidy6(value));
    range.value = String(value === null ? STEPS / 2 : Math.round(placeOf(dial, value) * STEPS));
    range.setAttribute("aria-valuetext", value === null ? "left alone" : String(value));
    paintTrack();
  };
  return { fields: dial.slider ? [range, field] : [field], show };
}

/** @param {number} value */
const tidy6 = (value) => Number(value.toPrecision(6));

/**
 * A slider for each style image, or region.
 *
 * @param {Dial} dial
 * @param {string} id
 * @param {string[]} styles
 * @param {string[]} colours
 * @returns {Control}
 */
function several(dial, id, styles, colours) {
  const ofRegions = dial.group === "regions";
  const count = Math.max(ofRegions ? colours.length : styles.length, 1);
  const neutral = NEUTRAL[/** @type {keyof typeof NEUTRAL} */ (dial.name)] ?? null;
  /** @type {number[]} */
  let values = [];
  const rows = Array.from({ length: count }, (_none, index) => {
    const name = ofRegions ? regionName(colours[index] ?? "", index) : nameOf(styles[index] ?? "");
    const label = count > 1 ? `${dial.label}: ${name}` : dial.label;
    const made = slider(dial, count > 1 ? `${id}-${index}` : id, label, (value) => {
      values = values.map((own, at) => (at === index ? value : own));
      move(dial.name, values);
    });
    made.fields.at(-1)?.setAttribute("aria-label", label);
    return { ...made, index };
  });
  const fields = rows.map(({ fields: own, index }) => {
    if (count === 1) return make("div", { class: "one" }, ...own);
    const swatch = make("i", { class: "swatch", title: regionName(colours[index] ?? "", index) });
    if (ofRegions) swatch.style.background = colours[index] ?? "none";
    const what = ofRegions ? swatch : thumbnail(styles[index] ?? "");
    return make("div", { class: "one" }, what, ...own);
  });
  return {
    fields,
    labelled: count === 1,
    show: (value) => {
      const list = Array.isArray(value) ? value.map(Number) : value === null ? [] : strings(String(value)).map(Number);
      const only = list.length === 1 ? list[0] : undefined;
      values = rows.map(({ index }) => list[index] ?? only ?? neutral ?? tidy(1 / count));
      rows.forEach(({ show }, index) => show(values[index] ?? null));
    },
  };
}

/** @param {Dial} dial @param {string} id @returns {Control} */
function turned(dial, id) {
  const box = make("input", { type: "checkbox", role: "switch", id });
  box.addEventListener("change", () => move(dial.name, box.checked));
  return { fields: [box], labelled: true, show: (value) => (box.checked = value === true || value === "true") };
}

/** @param {Dial} dial @param {string} id @returns {Control} */
function chosen(dial, id) {
  const list = make("select", { id });
  list.addEventListener("change", () => move(dial.name, list.value || null));
  /** @type {string} */
  let drawn = "";
  return {
    fields: [list],
    labelled: true,
    show: (value) => {
      const first = Array.isArray(value) ? value[0] : value;
      const choices = first === null || first === undefined ? ["", ...dial.choices] : dial.choices;
      const suits = choices.map((choice) => dial.name !== "preset" || suitsNetwork(choice));
      const now = JSON.stringify([choices, suits]);
      if (now !== drawn) {
        drawn = now;
        const options = choices.map((choice, index) =>
          make("option", { value: choice, disabled: !suits[index] }, says(dial.name, choice)),
        );
        list.replaceChildren(...options);
      }
      list.value = String(first ?? "");
    },
  };
}

/**
 * @param {string} name
 * @param {string} choice
 */
const says = (name, choice) => WORDS[name]?.[choice] ?? WORDS.all?.[choice] ?? choice.replaceAll("_", " ");

/** Whether a preset suits the network that is chosen. @param {string} preset */
function suitsNetwork(preset) {
  const { studio } = get();
  const networks = studio?.presets[preset];
  const backbone = String(valueOf("backbone") ?? "auto");
  if (!networks) return true;
  return backbone === "auto" ? networks.includes(studio?.networks[0] ?? "") : networks.includes(backbone);
}

/** @param {Dial} dial @param {string} id @returns {Control} */
function written(dial, id) {
  const field = make("input", { type: "text", id, autocomplete: "off", spellcheck: "false" });
  field.addEventListener("change", () => move(dial.name, field.value.trim() === "" ? null : field.value.trim()));
  return {
    fields: [field],
    labelled: true,
    show: (value) => {
      if (document.activeElement !== field) field.value = Array.isArray(value) ? value.join(",") : String(value ?? "");
    },
  };
}
