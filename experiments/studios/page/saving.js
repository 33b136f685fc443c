/** What can be had of a picture: files, and the command that makes it. */

/** @import { Entry } from "./protocol.js" */
import * as api from "./api.js";
import { button, make, openDialog } from "./dom.js";
import { say, trying } from "./messages.js";

/**
 * Opens what can be saved.
 *
 * @param {string} id
 */
export async function openSave(id) {
  const entry = await trying(() => api.entry(id));
  if (!entry) return;
  const began = entry.pictures || entry.step > 0 || entry.status === "running";
  /**
   * @param {Parameters<typeof api.fileAddress>[1]} name
   * @param {string} suffix
   * @param {string} title
   * @param {string} says
   */
  const file = (name, suffix, title, says) => {
    const attributes = { href: api.fileAddress(id, name), download: `${plain(entry.name)}${suffix}`, class: "file" };
    return make("a", attributes, make("strong", {}, title), make("span", { class: "muted" }, says));
  };
  const files = make(
    "div",
    { class: "files" },
    file("picture.png", ".png", "PNG", "For everyone, with its settings in it"),
    file("picture.tiff", ".tiff", "TIFF, 16 bits", "For work on it in other programs"),
    file("run.json", ".json", "run.json", "All settings, times and versions"),
  );
  /** @type {HTMLElement[]} */
  const content = [began ? files : make("p", {}, "There is no picture yet.")];
  if (entry.command) content.push(command(entry));
  openDialog("Save", ...content);
}

/**
 * The command that makes a picture, and what it makes.
 *
 * @param {Entry} entry
 */
function command({ command: line, exact, step, steps, kind }) {
  const copy = button("Copy", () => void take(), { class: "" });
  const text = make("code", { tabindex: 0 }, line);
  const finished =
    kind === "sweep" || step >= steps
      ? "In a terminal, it makes the same picture, byte for byte."
      : "In a terminal, it makes what this picture becomes when all of its steps are done, byte for byte.";
  const says = exact
    ? finished
    : "Dials were moved while it was painted: the command has them as they are now, and makes a similar picture.";
  return make(
    "section",
    { class: "command" },
    make("h3", {}, "The command that makes this picture"),
    make("div", { class: "row" }, text, copy),
    make("p", { class: "muted small" }, says),
  );

  async function take() {
    try {
      await navigator.clipboard.writeText(line);
      copy.textContent = "Copied";
    } catch {
      getSelection()?.selectAllChildren(text);
      say("The browser lets no page copy here; the command is selected, so Ctrl-C copies it.");
    }
  }
}

/** A file's name without what file systems do not like. @param {string} name */
const plain = (name) =>
  name
    .replaceAll(/[^\p{L}\p{N} ,._-]+/gu, " ")
    .trim()
    .replaceAll(/\s+/g, " ") || "picture";
