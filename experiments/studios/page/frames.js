/** Frames of the run at work, as fast as they are shown and no faster. */

import * as api from "./api.js";
import { get, shownLive } from "./store.js";

/**
 * Asks for frames while there are newer ones, the next when the one before is on the screen.
 *
 * @param {(address: string, run: string, step: number) => Promise<boolean>} show Shows one; its address is good until
 *   the next one is shown.
 * @returns {() => void} What is to be called whenever there may be something to ask for.
 */
export function frames(show) {
  let asking = false;
  let shown = { run: "", number: -1 };
  let address = "";

  async function once() {
    const live = shownLive();
    if (!live || document.hidden) return false;
    if (live.id !== shown.run) shown = { run: live.id, number: -1 };
    if (shown.number >= 0 && live.frame <= shown.number) return false;
    const found = await api.frame(live.id, Math.max(shown.number, 0));
    shown = { run: live.id, number: found?.number ?? Math.max(shown.number, 0) };
    if (!found || get().selected !== live.id) return false;
    const next = URL.createObjectURL(found.jpeg);
    const last = address;
    const is = await show(next, live.id, found.step);
    address = is ? next : last;
    URL.revokeObjectURL(is ? last : next);
    await new Promise(requestAnimationFrame);
    return true;
  }

  async function look() {
    if (asking) return;
    asking = true;
    try {
      while (await once());
    } catch (error) {
      if (!(error instanceof api.AskError)) throw error; // It is over, or gone: the state says so.
    } finally {
      asking = false;
    }
  }

  document.addEventListener("visibilitychange", look);
  return look;
}
