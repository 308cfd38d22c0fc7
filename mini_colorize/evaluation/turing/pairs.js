/* The pictures of the page, and the order and sides in which one participant sees them. */

const PRACTICE = 0, CHECK = 2;  // the kinds of pairs; 1 is a colouring that counts
const SIDES = ["left", "right"];

const $ = (id) => document.getElementById(id);
const page = document.documentElement.dataset.page;

/* Numbers in 0 ... 2^32 - 1 that follow from a seed (mulberry32, which Python computes too). */
function generator(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), seed | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return (t ^ (t >>> 14)) >>> 0;
  };
}

/* The pictures: each a JPEG with the photo in its left half and the colouring in its right. */
function unpack() {
  const raw = atob($("data").textContent.trim());
  $("data").remove();
  const bytes = new Uint8Array(raw.length);
  const next = generator(parseInt(page.slice(0, 8), 16));
  for (let i = 0, word = 0; i < raw.length; i++) {
    if (i % 4 === 0) word = next();
    bytes[i] = raw.charCodeAt(i) ^ ((word >>> (8 * (i % 4))) & 255);
  }
  let at = 4 + new DataView(bytes.buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(bytes.subarray(4, at)));
  const jpegs = head.lengths.map((length) => {
    at += length;
    return new Blob([bytes.subarray(at - length, at)], { type: "image/jpeg" });
  });
  return { ...head, jpegs };
}

const { size, kinds, jpegs } = unpack();
const practice = kinds.filter((kind) => kind === PRACTICE).length;

/* The pairs in this participant's order, practice first: [{picture, fake: 0 or 1}]. */
function draw(seed) {
  const next = generator(seed);
  const shuffled = (list) => {
    for (let i = list.length - 1; i > 0; i--) {
      const j = next() % (i + 1);
      [list[i], list[j]] = [list[j], list[i]];
    }
    return list;
  };
  const all = kinds.map((kind, picture) => ({ kind, picture }));
  const first = shuffled(all.filter((p) => p.kind === PRACTICE));
  const rest = shuffled(all.filter((p) => p.kind !== PRACTICE));
  return [...first, ...rest].map((p) => ({ ...p, fake: next() >>> 31 }));
}
