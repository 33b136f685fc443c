/** Images: sent to the server, and what is known of them. */

/** @import { StoredImage } from "./protocol.js" */
import * as api from "./api.js";
import { make } from "./dom.js";
import { say, trying } from "./messages.js";
import { get, set } from "./store.js";

export const ACCEPTED = "image/*,.tif,.tiff,.heic,.avif,.webp";

/**
 * Sends files, and returns the images that they hold; what is none is told.
 *
 * @param {Iterable<File>} files
 */
export async function send(files) {
  const sent = [];
  for (const file of files) {
    const most = get().studio?.most_bytes ?? Infinity;
    if (file.size > most) {
      say(
        `${file.name}: expected ${Math.floor(most / 2 ** 20)} MB at most, found ${Math.ceil(file.size / 2 ** 20)}`,
        "error",
      );
      continue;
    }
    const busy = say(`Reading ${file.name} …`);
    const image = await trying(() => api.upload(file, file.name));
    busy();
    if (image) sent.push(remember(image));
  }
  return sent;
}

/** @param {StoredImage} image */
export function remember(image) {
  set({ images: { ...get().images, [image.id]: image } });
  return image;
}

/** @type {Map<string, Promise<StoredImage>>} */
const asked = new Map();

/**
 * Returns what is known of an image, asking where it is not; of one that is gone, what a view of it shows.
 *
 * @param {string} id
 */
export async function details(id) {
  const found = get().images[id];
  if (found) return found;
  const asking =
    asked.get(id) ??
    api
      .imageDetails(id)
      .catch(() => looked(id))
      .then(remember);
  asked.set(id, asking);
  return asking;
}

/**
 * @param {string} id
 * @returns {Promise<StoredImage>}
 */
async function looked(id) {
  const view = make("img", { src: api.imageAddress(id, 1024) });
  await view.decode().catch(() => {});
  return { id, name: "image", width: view.naturalWidth || 1, height: view.naturalHeight || 1, colours: [] };
}

/** @param {string} id */
export const nameOf = (id) => get().images[id]?.name ?? "image";

/**
 * A small view of an image.
 *
 * @param {string} id
 * @param {number} [side]
 */
export function thumbnail(id, side = 256) {
  return make("img", { src: api.imageAddress(id, side), alt: nameOf(id), loading: "lazy", draggable: "false" });
}

/**
 * Has the visitor choose files.
 *
 * @param {boolean} several
 * @returns {Promise<File[]>}
 */
export function choose(several) {
  return new Promise((resolve) => {
    const input = make("input", { type: "file", accept: ACCEPTED, multiple: several });
    input.addEventListener("change", () => resolve([...(input.files ?? [])]));
    input.addEventListener("cancel", () => resolve([]));
    input.click();
  });
}
