/** Losses over the steps, drawn small. */

/** @import { Losses, Stage } from "./protocol.js" */
import { draw, find, make } from "./dom.js";

const WIDTH = 300;
const HEIGHT = 90;

/** Points of a curve at most; more are thinned out. */
const MOST_POINTS = 400;

/** @type {Losses} */
const NONE = { run: "", begin: 0, step: [], loss: [], terms: {} };

let all = NONE;

/**
 * Takes news of losses.
 *
 * @param {Losses} news
 */
export function add(news) {
  if (news.run !== all.run || news.begin > all.step.length) {
    all = news.begin > 0 ? NONE : { ...NONE, run: news.run };
    if (news.begin > 0) return; // What came before is missing: all of them are asked for.
  }
  /**
   * @template Item
   * @param {Item[] | undefined} kept
   * @param {Item[] | undefined} added
   */
  const joined = (kept, added) => [...(kept ?? []).slice(0, news.begin), ...(added ?? [])];
  const names = new Set([...Object.keys(all.terms), ...Object.keys(news.terms)]);
  const terms = Object.fromEntries([...names].map((name) => [name, joined(all.terms[name], news.terms[name])]));
  all = { ...all, step: joined(all.step, news.step), loss: joined(all.loss, news.loss), terms };
}

/** The run of which all losses are known; "" for none. */
export const known = () => all.run;

/** Forgets them, as those of a run that is not shown are not kept up to date. */
export const forget = () => {
  all = NONE;
};

/**
 * Draws the curves: each on its own logarithmic scale, as they are to be compared with themselves.
 *
 * @param {string} run
 * @param {Stage | undefined} stage The stage, whose moved dials are marked.
 * @param {Record<string, number>} weights Those that the terms have now.
 */
export function drawCurves(run, stage, weights) {
  const host = find("curves", HTMLElement);
  // Of a term that several layers have, there is also each layer's part, "style/conv1": too many to see.
  const whole = Object.entries(all.terms).filter(([name]) => !name.includes("/"));
  const curves = Object.entries({ "loss in all": all.loss, ...Object.fromEntries(whole) }).filter(([, values]) =>
    values.some(isPositive),
  );
  host.hidden = all.run !== run || all.step.length < 3 || !curves.length;
  if (host.hidden) return;
  const [from = 0, to = 1] = [all.step[0], all.step.at(-1)];
  /** @param {number} step */
  const across = (step) => ((step - from) / Math.max(to - from, 1)) * WIDTH;
  const chart = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  for (const [step] of stage?.moves ?? []) {
    if (step < from || step > to) continue;
    chart.append(draw("line", { x1: across(step), x2: across(step), y1: 0, y2: HEIGHT, class: "moved" }));
  }
  const every = Math.ceil(all.step.length / MOST_POINTS);
  const rows = curves.map(([name, values], index) => {
    const shown = values.filter(isPositive).map(Math.log);
    const [least, most] = [Math.min(...shown), Math.max(...shown)];
    const points = [];
    for (let place = 0; place < values.length; place += every) {
      const value = values[place];
      if (!isPositive(value)) continue;
      const height = 4 + (HEIGHT - 8) * (1 - (Math.log(value) - least) / Math.max(most - least, 1e-9));
      points.push(`${across(all.step[place] ?? 0).toFixed(1)},${height.toFixed(1)}`);
    }
    chart.append(draw("polyline", { points: points.join(" "), class: `curve c${index % 5}`, fill: "none" }));
    const last = values.findLast(isPositive) ?? 0;
    const weight = weights[name];
    const part = weight === undefined ? "" : ` × ${short(weight)}`;
    return make(
      "li",
      { class: `c${index % 5}` },
      make("span", {}, name.replaceAll("_", " ")),
      make("span", { class: "number" }, `${short(last)}${part}`),
    );
  });
  const legend = make("ul", {}, ...rows);
  host.querySelector("figure")?.replaceChildren(chart, make("figcaption", {}, legend));
}

/** @param {number | null | undefined} value @returns {value is number} */
const isPositive = (value) => typeof value === "number" && value > 0;

/** @param {number} value */
const short = (value) =>
  value !== 0 && (Math.abs(value) < 0.001 || Math.abs(value) >= 1e5)
    ? value.toExponential(1)
    : String(Number(value.toPrecision(3)));
