/* The colours that a person chose for places of a photo. photo.hints: [u, v, a, b] each; a list is
   never changed, so photo.past, the lists before it, is all that undoing needs. */

import { known } from "./server.js";

const replace = (photo, hints) => {
  photo.past.push(photo.hints);
  photo.hints = hints;
};

/* The hint of a place, or undefined. */
export const hintAt = (photo, place) =>
  photo.hints.find(([u, v]) => u === place.u && v === place.v);

/* Whether there was room for it. */
export function use(photo, place, [a, b]) {
  const others = photo.hints.filter((hint) => hint !== hintAt(photo, place));
  if (others.length >= known.maxHints) return false;
  const inside = (x) => Math.min(known.maxAb, Math.max(-known.maxAb, x));
  replace(photo, [...others, [place.u, place.v, inside(a), inside(b)]]);
  return true;
}

export function undo(photo) {
  photo.hints = photo.past.pop();
}

export function clear(photo) {
  replace(photo, []);
}

/* As the server wants them. */
export const asked = (photo) =>
  ({ hints: photo.hints.map((hint) => hint.map((x) => +x.toFixed(4)).join()).join(";") });
