/** Try many: the same pictures with several values of some dials. */

/** @import { Dial, Value } from "./protocol.js" */
/** @import { Draft } from "./store.js" */
import { refresh, select } from "./actions.js";
import * as api from "./api.js";
import { button, make, openDialog } from "./dom.js";
import { say, trying } from "./messages.js";
import { valueAt } from "./scales.js";
import { get, valueOf } from "./store.js";

const MOST_AXES = 3;
const MOST_PICTURES = 100;
const FEW = 4;

/** Between values that are suggested. */
const FACTOR = 4;

/** Dials with which one begins, as they show most. */
const FIRST = ["style_weight", "tv_weight"];

/**
 * Opens the choice of dials and values.
 *
 * @param {Draft} of
 */
export function openMany(of) {
  const { content, styles, regions, style_regions, dials } = of;
  const { studio } = get();
  if (!studio || content === null) return;
  const suited = studio.dials.filter(
    ({ kind, name }) => kind !== "numbers" && kind !== "text" && name !== "colour_finish",
  );
  const axes = Array.from({ length: MOST_AXES }, (_none, index) => axis(index));
  const each = make("input", { type: "checkbox", id: "each-style" });
  const eachLabel = make(
    "label",
    { class: "check", for: each.id, hidden: styles.length < 2 || style_regions.length > 0 },
    each,
    "Each painting for itself",
  );
  const count = make("output", { "aria-live": "polite" });
  const begin = button("Paint them", () => void start(), { class: "strong" });
  const form = make(
    "div",
    { class: "many" },
    make(
      "p",
      { class: "muted" },
      "Choose two or three dials, and the values that they are to have. Every combination is painted, " +
        "on one page where they can be compared.",
    ),
    ...axes.map(({ row }) => row),
    eachLabel,
    make("div", { class: "row end" }, count, begin),
  );
  const dialog = openDialog("Try many", form);
  form.addEventListener("input", tell);
  tell();

  /** @param {number} index */
  function axis(index) {
    const title = `${["First", "Second", "Third"][index]} dial`;
    const list = make("select", { "aria-label": title });
    if (index) list.append(make("option", { value: "" }, "none"));
    for (const { name, label } of suited)
      list.append(make("option", { value: name, selected: name === FIRST[index] }, label));
    const values = make("input", {
      type: "text",
      "aria-label": `Values of the ${title.toLowerCase()}`,
      autocomplete: "off",
    });
    const suggest = () => {
      const dial = suited.find(({ name }) => name === list.value);
      values.value = dial ? suggested(dial).join(", ") : "";
      values.hidden = !dial;
    };
    list.addEventListener("change", suggest);
    suggest();
    return { list, values, row: make("div", { class: "axis" }, list, values) };
  }

  /** @returns {Record<string, Value[]>} */
  function wanted() {
    const found = axes.flatMap(({ list, values }) => {
      const given = values.value.split(",").flatMap((text) => (text.trim() ? [text.trim()] : []));
      return list.value && given.length ? [[list.value, [...new Set(given)]]] : [];
    });
    return Object.fromEntries(found);
  }

  function pictures() {
    const all = Object.values(wanted()).reduce((product, values) => product * values.length, 1);
    return all * (each.checked ? styles.length : 1);
  }

  function tell() {
    const all = pictures();
    const fits = all >= 2 && all <= MOST_PICTURES;
    begin.disabled = !fits;
    count.textContent = fits
      ? `${all} pictures`
      : all < 2
        ? "One picture: give more values"
        : `${all} pictures: ${MOST_PICTURES} at most`;
  }

  async function start() {
    if (content === null) return;
    const sweep = { content, styles, regions, style_regions, dials, axes: wanted(), each_style: each.checked };
    const made = await trying(() => api.newSweep(sweep));
    if (!made) return;
    dialog.close();
    await refresh();
    select(made.id);
    say("They are painted one after the other; their page fills in meanwhile.");
  }
}

/**
 * Values of a dial around the one that it has.
 *
 * @param {Dial} dial
 * @returns {Value[]}
 */
function suggested(dial) {
  if (dial.kind === "choice") return dial.choices.filter((choice) => choice !== "auto").slice(0, FEW);
  if (dial.kind === "switch") return ["false", "true"];
  const now = Number(valueOf(dial.name) ?? 0);
  if (dial.name === "seed") return [0, 1, 2];
  if (dial.scale === "linear" || now <= 0) return [0.2, 0.5, 0.8].map((place) => valueAt(dial, place));
  const around = [now / FACTOR, now, now * FACTOR].map((value) => Number(value.toPrecision(2)));
  const values = dial.kind === "whole" ? around.map(Math.round) : around;
  return values.filter((value) => value >= (dial.least ?? -Infinity) && value <= (dial.most ?? Infinity));
}
