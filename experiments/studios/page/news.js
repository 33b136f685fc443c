/** What the server tells, as it comes. */

/** @import { Losses, State } from "./protocol.js" */

const AGAIN_SECONDS = 2;

/**
 * Listens for ever.
 *
 * @param {{ state: (state: State) => void, losses: (losses: Losses) => void, connected: (is: boolean) => void }} hear
 */
export function listen(hear) {
  const source = new EventSource("api/news");
  source.addEventListener("open", () => hear.connected(true));
  source.addEventListener("state", ({ data }) => hear.state(JSON.parse(data)));
  source.addEventListener("losses", ({ data }) => hear.losses(JSON.parse(data)));
  source.addEventListener("error", () => {
    hear.connected(false);
    if (source.readyState !== EventSource.CLOSED) return; // The browser connects again by itself.
    setTimeout(() => listen(hear), AGAIN_SECONDS * 1000);
  });
  addEventListener("pagehide", () => source.close(), { once: true });
}
