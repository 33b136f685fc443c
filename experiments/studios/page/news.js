/** What the server tells, as it comes. */

/** @import { Losses, State } from "./protocol.js" */
import * as api from "./api.js";

const AGAIN_SECONDS = 2;

/** Between two questions of a page that nobody sees; its title says how far the picture is. */
const HIDDEN_SECONDS = 5;

/**
 * What hears. A state without an entry has the one of before.
 *
 * @typedef {object} Hears
 * @property {(state: State | Omit<State, "entry">) => void} state
 * @property {(losses: Losses) => void} losses
 * @property {(is: boolean) => void} connected
 */

/**
 * Listens for ever. A browser has six connections to a server for all of its pages, and who listens holds one: a page
 * that is hidden lets go of it, and asks now and then.
 *
 * @param {Hears} hear
 */
export function listen(hear) {
  let stop = begin(hear);
  document.addEventListener("visibilitychange", () => {
    stop();
    stop = begin(hear);
  });
  addEventListener("pagehide", () => stop());
  addEventListener("pageshow", ({ persisted }) => {
    if (!persisted) return; // It is the browser's way back to a page that it had kept.
    stop();
    stop = begin(hear);
  });
}

/** Begins to listen, or to ask, and returns what ends it. @param {Hears} hear */
const begin = (hear) => (document.hidden ? ask(hear) : follow(hear));

/** @param {Hears} hear */
function follow(hear) {
  const source = new EventSource("api/news");
  let again = 0;
  let stop = () => {
    clearTimeout(again);
    source.close();
  };
  source.addEventListener("open", () => hear.connected(true));
  source.addEventListener("state", ({ data }) => hear.state(JSON.parse(data)));
  source.addEventListener("losses", ({ data }) => hear.losses(JSON.parse(data)));
  source.addEventListener("error", () => {
    hear.connected(false);
    if (source.readyState !== EventSource.CLOSED) return; // The browser connects again by itself.
    again = setTimeout(() => (stop = follow(hear)), AGAIN_SECONDS * 1000);
  });
  return () => stop();
}

/** @param {Hears} hear */
function ask(hear) {
  let ended = false;
  const once = async () => {
    try {
      const state = await api.state();
      if (!ended) hear.state(state);
    } catch (error) {
      if (!(error instanceof api.AskError)) throw error; // Who comes back to the page is told.
    }
  };
  void once();
  const timer = setInterval(once, HIDDEN_SECONDS * 1000);
  return () => {
    ended = true;
    clearInterval(timer);
  };
}
