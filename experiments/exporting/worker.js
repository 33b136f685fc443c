/*
  What computes, beside the page, so that this stays alive meanwhile. The runtime comes before this text and defines `ort`.
  A message has an `id`, a `task` and what it needs; the answer has the `id` and a `result` or an `error`.
*/
const sessions = {};

/** Returns RGBA bytes as what the networks read: float32 [1, 3, height, width], RGB in [0, 1]. */
function tensor({ width, height, bytes }) {
  const count = width * height, values = new Float32Array(3 * count);
  for (let at = 0; at < count; at += 1) {
    for (let channel = 0; channel < 3; channel += 1) values[channel * count + at] = bytes[4 * at + channel] / 255;
  }
  return new ort.Tensor("float32", values, [1, 3, height, width]);
}

const tasks = {
  async load({ binary, provider, models }) {
    ort.env.logLevel = "error";
    ort.env.wasm.numThreads = 1; // more need headers that a file has not
    ort.env.wasm.wasmBinary = binary;
    for (const [name, model] of Object.entries(models)) {
      sessions[name] = await ort.InferenceSession.create(model, { executionProviders: [provider], logSeverityLevel: 3 });
    }
  },

  /** Returns the style of an image: name → numbers. */
  async encode({ image }) {
    const found = await sessions.coder.run({ style: tensor(image) });
    return Object.fromEntries(Object.entries(found).map(([name, { data }]) => [name, data]));
  },

  /** Returns the picture in RGBA bytes. */
  async paint({ image, code }) {
    const feeds = { content: tensor(image) };
    for (const [name, numbers] of Object.entries(code)) {
      feeds[name] = new ort.Tensor("float32", numbers, [numbers.length]);
    }
    const { picture } = await sessions.painter.run(feeds);
    const count = image.width * image.height, bytes = new Uint8ClampedArray(4 * count).fill(255);
    for (let at = 0; at < count; at += 1) {
      for (let channel = 0; channel < 3; channel += 1) {
        bytes[4 * at + channel] = 255 * picture.data[channel * count + at]; // rounded by the array
      }
    }
    picture.dispose();
    return bytes;
  },
};

self.onmessage = async ({ data: { id, task, ...given } }) => {
  try {
    const result = await tasks[task](given);
    postMessage({ id, result });
  } catch (error) {
    postMessage({ id, error: String(error?.message ?? error) });
  }
};
