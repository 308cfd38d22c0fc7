/* One of the two places for a picture of the photo, and the small picture of the strip. */

import { css, rgbToLab } from "./color.js";
import { blobOf } from "./server.js";

export class Pane {
  constructor(id) {
    this.figure = document.getElementById(id);
    this.image = this.figure.querySelector("img");
    this.mark = this.figure.querySelector(".mark");
    this.shown = this.wanted = null;  // what picture, as its request
    this.pixels = null;               // a canvas with the small picture
    this.dots = document.createElement("div");  // one for each colour that a person chose
    this.mark.before(this.dots);
  }

  /* parameters: of the request, or null for no picture. */
  want(photo, parameters, name, text) {
    this.figure.hidden = !parameters;
    this.figure.querySelector("figcaption").textContent = name;
    this.image.alt = text;
    this.wanted = parameters && JSON.stringify([photo.key, parameters]);
    Object.assign(this, { photo, parameters });
  }

  async load(scale, signal) {
    const { wanted, photo, parameters } = this;
    const goal = `${wanted} ${scale}`;
    if (!wanted || this.shown === goal || this.shown === `${wanted} full`) return;
    const blob = await blobOf(photo, "pictures", { ...parameters, scale }, signal);
    if (scale === "small") await this.read(blob);
    signal.throwIfAborted();
    const url = URL.createObjectURL(blob), before = this.image.src;
    const loaded = new Promise((resolve) => {
      for (const end of ["load", "error"]) this.image.addEventListener(end, resolve, { once: true });
    });
    this.image.src = url;
    await loaded;
    if (before) URL.revokeObjectURL(before);
    this.shown = goal;
    this.figure.dataset.scale = scale;
  }

  /* hints: [u, v, a, b] each. */
  dot(hints) {
    this.dots.replaceChildren(...hints.map(([u, v, a, b]) => {
      const dot = document.createElement("i"), background = css([this.lab(u, v)[0], a, b]);
      dot.className = "dot";
      Object.assign(dot.style, { left: `${100 * u}%`, top: `${100 * v}%`, background });
      return dot;
    }));
  }

  async read(blob) {
    const bitmap = await createImageBitmap(blob);
    this.pixels = Object.assign(document.createElement("canvas"),
      { width: bitmap.width, height: bitmap.height });
    this.pixels.getContext("2d", { willReadFrequently: true }).drawImage(bitmap, 0, 0);
    bitmap.close();
  }

  /* Lab of the place u, v. */
  lab(u, v) {
    const at = [[u, this.pixels.width], [v, this.pixels.height]]
      .map(([t, n]) => Math.min(Math.floor(t * n), n - 1));
    return rgbToLab([...this.pixels.getContext("2d").getImageData(...at, 1, 1).data].slice(0, 3));
  }
}

/* picture: a canvas or bitmap. */
export function thumbnail(photo, picture) {
  const scale = 96 / Math.max(picture.width, picture.height);
  photo.canvas.width = Math.max(1, picture.width * scale);
  photo.canvas.height = Math.max(1, picture.height * scale);
  const pen = photo.canvas.getContext("2d");
  pen.imageSmoothingQuality = "high";
  pen.drawImage(picture, 0, 0, photo.canvas.width, photo.canvas.height);
}
