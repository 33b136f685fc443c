/** What the page asks of the server. Addresses are relative, so that the page need not know the token in its own. */

/** @import { Dials, Entry, Losses, Moved, NewRun, NewSweep, State, StoredImage, Studio, Value } from "./protocol.js" */

/** A request that failed; the message is one line to show. */
export class AskError extends Error {
  /**
   * @param {string} text
   * @param {number} status 0 where there was no answer.
   */
  constructor(text, status) {
    super(text);
    this.status = status;
  }
}

/**
 * @param {string} path
 * @param {RequestInit} [options]
 * @returns {Promise<Response>}
 */
async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new AskError("The studio does not answer. Is it still running?", 0);
  }
  if (answer.ok) return answer;
  let text = `The studio answered with status ${answer.status}.`;
  try {
    text = String((await answer.json()).error);
  } catch {
    // Not one of its own answers.
  }
  throw new AskError(text, answer.status);
}

/** @param {string} path */
const read = async (path) => (await ask(path)).json();

/**
 * @param {string} path
 * @param {unknown} [body]
 */
async function post(path, body) {
  const sent =
    body === undefined ? {} : { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  const text = await (await ask(path, { method: "POST", ...sent })).text();
  return text ? JSON.parse(text) : null;
}

/** @param {string} id */
const run = (id) => `api/runs/${encodeURIComponent(id)}`;

/** @returns {Promise<Studio>} */
export const studio = () => read("api/studio");

/** @returns {Promise<State>} */
export const state = () => read("api/state");

/**
 * @param {Value} backbone
 * @param {Value} preset
 * @returns {Promise<Dials>}
 */
export const defaults = (backbone, preset) =>
  read(`api/defaults?${new URLSearchParams({ backbone: String(backbone), preset: String(preset) })}`);

/**
 * @param {Blob} file
 * @param {string} name
 * @param {"image" | "map"} [kind]
 * @returns {Promise<StoredImage>}
 */
export async function upload(file, name, kind = "image") {
  const address = `api/images?${new URLSearchParams({ name, kind })}`;
  return (await ask(address, { method: "POST", body: file })).json();
}

/**
 * @param {string} id
 * @returns {Promise<StoredImage>}
 */
export const imageDetails = (id) => read(`api/images/${encodeURIComponent(id)}/details`);

/**
 * @param {string} id
 * @param {number} side
 */
export const imageAddress = (id, side) => `api/images/${encodeURIComponent(id)}?side=${side}`;

/**
 * @param {NewRun} wanted
 * @returns {Promise<{ id: string }>}
 */
export const newRun = (wanted) => post("api/runs", wanted);

/**
 * @param {NewSweep} wanted
 * @returns {Promise<{ id: string }>}
 */
export const newSweep = (wanted) => post("api/sweeps", wanted);

/** @returns {Promise<Entry[]>} */
export const entries = () => read("api/runs");

/**
 * @param {string} id
 * @returns {Promise<Entry>}
 */
export const entry = (id) => read(run(id));

/**
 * @param {string} id
 * @param {Moved} moved
 * @returns {Promise<{ acts: "at once" | "stage" }>}
 */
export const move = (id, moved) => post(`${run(id)}/dials`, moved);

/**
 * @param {string} id
 * @param {"pause" | "go_on" | "stop" | "restart" | "mark" | "first"} what
 */
export const tell = (id, what) => post(`${run(id)}/${what}`);

/**
 * @param {string} id
 * @param {number} mark
 */
export const undo = (id, mark) => post(`${run(id)}/undo?mark=${mark}`);

/**
 * @param {string} id
 * @param {{ leaving?: boolean }} [options] `leaving`: the page is being closed.
 */
export const remove = (id, { leaving = false } = {}) => ask(run(id), { method: "DELETE", keepalive: leaving });

/**
 * @param {string} id
 * @param {number} after
 * @returns {Promise<{ number: number, step: number, jpeg: Blob } | null>} null if there is none newer.
 */
export async function frame(id, after) {
  const answer = await ask(`${run(id)}/frame?after=${after}`);
  if (answer.status === 204) return null;
  const number = Number(answer.headers.get("Frame"));
  return { number, step: Number(answer.headers.get("Step")), jpeg: await answer.blob() };
}

/**
 * @param {string} id
 * @returns {Promise<Losses>}
 */
export const losses = (id) => read(`${run(id)}/losses`);

/**
 * @param {string} id
 * @param {"picture.png" | "picture.tiff" | "run.json" | "thumbnail" | "sweep/index.html"} name
 */
export const fileAddress = (id, name) => `${run(id)}/${name}`;

/**
 * Returns whether a file of a run is there.
 *
 * @param {string} id
 * @param {Parameters<typeof fileAddress>[1]} name
 */
export async function exists(id, name) {
  try {
    await ask(fileAddress(id, name), { method: "HEAD" });
    return true;
  } catch {
    return false;
  }
}
