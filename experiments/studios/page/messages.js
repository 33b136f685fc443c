/** What there is to tell: short notes that come and go in a corner, and stand in no way. */

/** @import { Message } from "./protocol.js" */
import { button, find, icon, make, openDialog } from "./dom.js";
import { AskError } from "./api.js";

const SECONDS = { note: 6, error: 14 };
const SEEN = "studio-seen-message";

/** How old what was told before the page was opened may be, to be shown all the same. */
const RECENT_SECONDS = 15;

/** @type {{ level: "note" | "error", text: string, time: number }[]} */
const all = [];

/**
 * Tells something.
 *
 * @param {string} text
 * @param {"note" | "error"} [level]
 * @param {{ label: string, act: () => void, seconds?: number }} [offer] What the visitor may do about it.
 * @returns {() => void} What takes it away.
 */
export function say(text, level = "note", offer) {
  all.push({ level, text, time: Date.now() });
  find("messages-button", HTMLButtonElement).hidden = false;
  const away = () => note.remove();
  const note = make("div", { class: `note ${level}` }, make("p", {}, text));
  if (offer) {
    const taken = () => (away(), offer.act());
    note.append(button(offer.label, taken));
  }
  note.append(button("Dismiss", away, { icon: "close", bare: true, class: "quiet" }));
  const place = find(level === "error" ? "errors" : "notes", HTMLElement);
  while (place.children.length > 3) place.firstChild?.remove();
  place.append(note);
  let left = offer?.seconds ?? SECONDS[level];
  const timer = setInterval(() => {
    if (!note.isConnected) clearInterval(timer);
    // Who reads it, or is about to press its button, has the time that it takes.
    if (!note.matches(":hover, :focus-within") && --left <= 0) away();
  }, 1000);
  return away;
}

/**
 * Does something that may fail, and tells why.
 *
 * @template Result
 * @param {() => Promise<Result>} act
 * @returns {Promise<Result | undefined>}
 */
export async function trying(act) {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof AskError)) throw error;
    say(error.message, "error");
    return undefined;
  }
}

/**
 * Tells what the server has to tell and has not told this page yet.
 *
 * @param {Message[]} messages
 */
export function hear(messages) {
  const seen = Number(sessionStorage.getItem(SEEN) ?? 0);
  const newest = messages.at(-1)?.number ?? 0;
  const after = newest < seen ? 0 : seen; // Another server counts from 1 again.
  for (const { number, level, text, time } of messages) {
    // What every stage notes again has been read once.
    if (level === "note" && all.some((told) => told.text === text)) continue;
    if (number > after && (after > 0 || Date.now() / 1000 - time < RECENT_SECONDS)) say(text, level);
  }
  sessionStorage.setItem(SEEN, String(newest));
}

/** Shows all that was told. */
export function openMessages() {
  const rows = all.toReversed().map(({ level, text, time }) => {
    const clock = new Date(time).toLocaleTimeString([], { timeStyle: "short" });
    return make("li", { class: level }, make("time", {}, clock), make("span", {}, text));
  });
  openDialog("Messages", rows.length ? make("ol", { class: "log" }, ...rows) : make("p", {}, "Nothing so far."));
}

/** Makes the button that opens them. */
export function prepareMessages() {
  const opener = find("messages-button", HTMLButtonElement);
  opener.append(icon("bell"));
  opener.addEventListener("click", openMessages);
}
