/* How to colour, and with what to compare, as the controls say it. */

import { asked } from "./hints.js";
import { known } from "./server.js";

const $ = (id) => document.getElementById(id);
const RANGES = ["temperature", "strength", "size"];
export const GRAY = "gray", PHOTO = "photo", NOTHING = "nothing";

function option(value, text) {
  return Object.assign(document.createElement("option"), { value, textContent: text });
}

/* Of a photo's colours, as the server wants them. */
export function settings(photo, weights = $("weights").value) {
  return { weights, ...asked(photo), ...Object.fromEntries(RANGES.map((id) => [id, $(id).value])),
    enlarge: $("enlarge").value };
}

export function recommended() {
  const { size, temperature } = known.weights[$("weights").value];
  $("size").value = size;
  $("temperature").step = temperature === +temperature.toFixed(2) ? 0.01 : "any";
  $("temperature").value = temperature;
  $("strength").value = 1;
  $("enlarge").value = "guided";
}

/* What the chosen network can be compared with. */
export function others() {
  const before = $("with").value || GRAY, own = $("weights").value;
  const networks = known.weights.map(({ name }, i) => option(`${i}`, name))
    .filter((choice) => choice.value !== own);
  $("with").replaceChildren(option(NOTHING, "nothing"), option(GRAY, "the grey photo"),
    option(PHOTO, "the photo as it came"), ...networks);
  $("with").value = before === own ? GRAY : before;
}

/* x to two places, or to more if it has more. */
export function written(x) {
  const short = Number(x).toFixed(2);
  return Number(short) === Number(x) ? short : `${x}`;
}

/* The numbers beside the sliders. */
export function label() {
  for (const id of RANGES) {
    const { value } = $(id);
    document.querySelector(`output[for=${id}]`).textContent =
      id === "size" ? value : written(value);
  }
  const networks = ["weights", "with"].map((id) => known.weights[$(id).value]);
  $("temperature").disabled = !networks.some((network) => network?.regression === false);
}

export function prepare() {
  $("weights").replaceChildren(...known.weights.map(({ name }, i) => option(`${i}`, name)));
  $("format").replaceChildren(...known.formats.map((format) =>
    option(format, { png: "PNG", jpg: "JPEG", tiff: "TIFF" }[format])));
  const { least, most, step } = known.sizes;
  Object.assign($("size"), { min: least, max: most, step });
  $("temperature").max = Math.max(1.5, ...known.weights.map(({ temperature }) => temperature));
  recommended();
  others();
  label();
}
