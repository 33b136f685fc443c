/** How a slider is divided: between 0 and 1, its places, and the values of a dial. */

/** @import { Dial } from "./protocol.js" */

/** A slider that begins at 0 and is to be fine there: its value goes with this power of its place. */
const POWER = 3;

/** Digits that a value set by a slider has. */
const DIGITS = 3;

/**
 * @param {Pick<Dial, "slider" | "scale" | "kind" | "least" | "most">} dial
 * @param {number} place in [0, 1].
 */
export function valueAt({ slider, scale, kind, least, most }, place) {
  const [low, high] = slider ?? [0, 1];
  let value = low + (high - low) * place;
  if (scale === "log") value = low * (high / low) ** place;
  if (scale === "power") value = high * place ** POWER;
  const rounded = kind === "whole" ? Math.round(value) : tidy(value);
  return Math.min(Math.max(rounded, least ?? -Infinity), most ?? Infinity);
}

/**
 * @param {Pick<Dial, "slider" | "scale">} dial
 * @param {number} value Beyond its ends, a slider stays at them.
 */
export function placeOf({ slider, scale }, value) {
  const [low, high] = slider ?? [0, 1];
  let place = (value - low) / (high - low);
  if (scale === "log") place = Math.log(Math.max(value, low) / low) / Math.log(high / low);
  if (scale === "power") place = (Math.max(value, 0) / high) ** (1 / POWER);
  return Math.min(Math.max(place, 0), 1);
}

/**
 * Returns a number with few digits, as one sets it by hand.
 *
 * @param {number} value
 */
export const tidy = (value) => Number(value.toPrecision(DIGITS));
