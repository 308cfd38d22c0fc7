/* The page: photos come in, settings change, pictures follow. The small pictures are asked for at
   once, one request at a time, and of settings that change meanwhile only the last ones count; the
   full pictures are asked for when nothing has changed for a moment. Whatever is not wanted any
   more is aborted, which the server notices. */

import { Belief } from "./belief.js";
import { GRAY, NOTHING, PHOTO, label, others, prepare, recommended, settings } from "./controls.js";
import { clear, hintAt, undo, use } from "./hints.js";
import { complain, forgive, named, progress, say } from "./notes.js";
import { Pane, thumbnail } from "./pane.js";
import { saveAll, saveOne } from "./save.js";
import { Refused, beliefOf, blobOf, known, send, wasAborted } from "./server.js";

const $ = (id) => document.getElementById(id);
const QUIET_MS = 300;  // before the full pictures are asked for

const photos = [];
let current = null;   // the photo on show
let told = null;      // the photo that a screen reader knows to be on show
let place = null;     // the pixel: { u, v }, 0..1
let visit = new AbortController();  // all requests for the photo on show
let waiting = 0, taken = 0, given = 0;

/* ---- Pictures ------------------------------------------------------------------------- */

const panes = [new Pane("first"), new Pane("second")];
const beliefs = [new Belief(correct), new Belief(correct)];

function arrange() {
  if (!current) return;
  const other = $("with").value, own = known.weights[$("weights").value].name;
  const plain = other === GRAY || other === PHOTO;
  panes[0].want(current, { ...settings(current), kind: "colour" }, own,
    `${current.name}, coloured by ${own}`);
  if (other === NOTHING) panes[1].want(current, null, "", "");
  else if (plain) {  // the settings have no say: the same request whatever they are
    const name = other === GRAY ? "grey" : "as it came";
    const { size, temperature } = known.weights[0];
    const any = { weights: 0, size, temperature, strength: 1, enlarge: "guided" };
    panes[1].want(current, { ...any, kind: other }, name, `${current.name}, ${name}`);
  } else {
    const { name } = known.weights[other];
    panes[1].want(current, { ...settings(current, other), kind: "colour" },
      `${name}, same settings`, `${current.name}, coloured by ${name}`);
  }
  const how = other === NOTHING ? "alone" : $("how").value;
  $("stage").className = how;
  $("wiping").hidden = how !== "wipe";
  $("how").disabled = other === NOTHING;
  $("view").style.setProperty("--ratio", current.width / current.height);
  for (const image of [panes[0].image, panes[1].image]) {
    image.width = current.width;
    image.height = current.height;
  }
  wipe();
}

function wipe() {
  $("view").style.setProperty("--wipe", `${$("wipe").value}%`);
}

let full = null, timer = 0;  // requests for full pictures; when they will be made

/* Show what is wanted now. */
const refresh = latest(async () => {
  clearTimeout(timer);
  arrange();
  if (!current) return;
  const { signal } = visit;
  try {
    $("stage").setAttribute("aria-busy", "true");
    for (const pane of panes) await pane.load("small", signal);
    signal.throwIfAborted();
    thumbnail(current, panes[0].pixels);
    mark();
    const words = await think();
    forgive(".passing");
    say(current === told ? words : `${current.name} is coloured. ${words}`);
    told = current;
    timer = setTimeout(follow, QUIET_MS);
  } catch (error) {
    if (!wasAborted(error)) complain(current.name, error, true);
  } finally {
    $("stage").setAttribute("aria-busy", "false");
  }
});

async function follow() {
  full = new AbortController();
  const signal = AbortSignal.any([full.signal, visit.signal]);
  try {
    for (const pane of panes) await pane.load("full", signal);
  } catch (error) {
    if (!wasAborted(error)) complain(current.name, error, true);
  }
}

/* One call at a time; of those that come meanwhile one more, for what is wanted then. */
function latest(work) {
  let busy = false, again = false;
  return async function go() {
    full?.abort();
    if (busy) { again = true; return; }
    busy = true;
    try {
      do {
        again = false;
        await work();
      } while (again);
    } finally {
      busy = false;
    }
  };
}

/* ---- One place ------------------------------------------------------------------------ */

let asked = [null, null];  // for each network on show: the request, and its answer
let believed = null;       // the place that the beliefs on show are of

function mark() {
  for (const pane of panes) {
    pane.mark.hidden = !place;
    if (place) {
      pane.mark.style.left = `${100 * place.u}%`;
      pane.mark.style.top = `${100 * place.v}%`;
    }
    pane.dot(pane.parameters?.kind === "colour" ? current.hints : []);
  }
  const focus = $("hints").contains(document.activeElement) ? document.activeElement : null;
  $("hints").hidden = !current.past.length;
  $("clear").disabled = !current.hints.length;
  if (focus && $("hints").hidden) $("stage").focus();
  else if (focus?.disabled) $("undo").focus();
}

/* Returns words for a screen reader. */
async function think() {
  if (!place) return "";
  const here = place;
  const shown = panes.filter((pane) => pane.wanted && pane.parameters.kind === "colour");
  for (const [i, pane] of shown.entries()) {
    const { weights, size } = pane.parameters;
    const request = JSON.stringify([current.key, weights, size, here]);
    if (asked[i]?.request !== request) {
      const answer = await beliefOf(current, { ...pane.parameters, ...here }, visit.signal);
      asked[i] = { request, answer };
    }
  }
  if ($("beliefs").children.length !== shown.length) {  // else who has the focus would lose it
    $("beliefs").replaceChildren(...shown.map((_, i) => beliefs[i].element));
  }
  const chosen = hintAt(current, here)?.slice(2);
  const words = shown.map(({ parameters }, i) => beliefs[i].show(
    known.weights[parameters.weights].name, asked[i].answer, Number(parameters.temperature),
    chosen));
  $("beliefs").hidden = false;
  believed = here;
  return words[0];
}

/* A person knows better: ab of the place. */
function correct(ab) {
  if (believed !== place) return;  // the answer for this photo and place is still to come
  if (use(current, place, ab)) refresh();
  else complain(current.name, new Refused(`no more than ${known.maxHints} colours`));
}

function takeBack(how) {
  how(current);
  refresh();
}

$("undo").addEventListener("click", () => takeBack(undo));
$("clear").addEventListener("click", () => takeBack(clear));
addEventListener("keydown", (event) => {
  const pressed = (event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey;
  if (!pressed || event.key.toLowerCase() !== "z" || event.target.matches?.("[type=number]")) return;
  if (!current?.past.length) return;
  event.preventDefault();
  takeBack(undo);
});

function choose(u, v) {
  const inside = (t) => Math.min(1, Math.max(0, t));
  const isFirst = !place;
  place = { u: inside(u), v: inside(v) };
  refresh().then(() => {
    if (isFirst) document.querySelector(".belief h2")?.scrollIntoView({ block: "nearest" });
  });
}

/* The pane and the place that a pointer is at, or null. */
function under(event) {
  const wiping = $("stage").className === "wipe";
  for (const pane of panes) {
    const box = pane.image.getBoundingClientRect();
    const u = (event.clientX - box.left) / box.width, v = (event.clientY - box.top) / box.height;
    if (pane.figure.hidden || !(u >= 0 && u <= 1 && v >= 0 && v <= 1)) continue;
    if (wiping && pane === panes[0] && 100 * u < $("wipe").value) continue;
    return { pane, u, v };
  }
  return null;
}

/* A press that moves sideways moves the wipe; one that does not chooses a place. */
let start = null, wiped = false;  // where it began; whether it moved
$("stage").addEventListener("pointerdown", (event) => {
  wiped = false;
  start = $("stage").className === "wipe" && event.button === 0 ? event.clientX : null;
});
for (const end of ["pointerup", "pointercancel"]) {
  $("stage").addEventListener(end, () => { start = null; });
}
$("stage").addEventListener("click", (event) => {
  const found = under(event);
  if (found && !wiped) choose(found.u, found.v);
});
$("stage").addEventListener("pointermove", (event) => {
  if (start !== null && Math.abs(event.clientX - start) > 5) wiped = true;
  if (start !== null && wiped) {
    $("stage").setPointerCapture(event.pointerId);
    const { left, width } = panes[0].image.getBoundingClientRect();
    $("wipe").value = 100 * (event.clientX - left) / width;
    wipe();
  }
  const found = under(event);
  if (!found?.pane.pixels) return;
  const [lightness, a, b] = found.pane.lab(found.u, found.v)
    .map((x) => (Math.round(x) || 0).toString().replace("-", "−"));
  $("hover").textContent = `L ${lightness}  a ${a}  b ${b}`;
});
$("stage").addEventListener("pointerleave", () => { $("hover").textContent = ""; });
$("stage").addEventListener("keydown", (event) => {
  const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const [x, y] = step[event.key] || [];
  if (x === undefined || !current || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const n = $("size").value / 4;  // places that the network distinguishes
  if (!place) choose(0.5, 0.5);
  else choose(...[[place.u, x], [place.v, y]]
    .map(([t, d]) => (Math.min(n - 1, Math.max(0, Math.floor(t * n) + d)) + 0.5) / n));
});

/* ---- Photos come in ------------------------------------------------------------------- */

/* One after the other; the first of them is shown at once. */
let chain = Promise.resolve();
function take(files) {
  forgive();
  if (!waiting) taken = given = 0;
  waiting += files.length;
  given += files.length;
  let first = true;
  for (const file of files) {
    chain = chain.then(async () => {
      progress(`Photo ${taken + 1} of ${given}`, taken, given);
      const photo = { file, name: file.name || "pasted.png", hints: [], past: [] };
      try {
        await send(photo);
        const same = photos.find(({ key }) => key === photo.key);
        if (!same) add(photo);
        if (first || !current) await show(same || photo);
        else if (!same) await preview(photo);
        first = false;
      } catch (error) {
        complain(photo.name, error);
      }
      waiting--;
      taken++;
      progress("", taken, given);
    });
  }
}

function add(photo) {
  photos.push(photo);
  const button = document.createElement("button"), item = document.createElement("li");
  photo.canvas = document.createElement("canvas");
  photo.canvas.width = 0;
  button.type = "button";
  button.title = photo.name;
  button.setAttribute("aria-label", photo.name);
  button.append(photo.canvas);
  button.addEventListener("click", () => show(photo));
  item.append(button);
  photo.button = button;
  $("strip").append(item);
  $("empty").hidden = true;
  $("desk").hidden = false;
}

async function preview(photo) {
  const parameters = { ...settings(photo), kind: "colour", scale: "small" };
  const bitmap = await createImageBitmap(await blobOf(photo, "pictures", parameters));
  thumbnail(photo, bitmap);
  bitmap.close();
}

/* Nobody waits for the pictures of the photo on show any more. */
function leave() {
  visit.abort();
  visit = new AbortController();
}

async function show(photo) {
  leave();
  believed = null;
  current = photo;
  for (const { button } of photos) button.removeAttribute("aria-current");
  photo.button.setAttribute("aria-current", "true");
  const notes = photo.notes.map((note) => ` This file ${note}.`).join("");
  $("about").replaceChildren(...named(photo.name, `, ${photo.width} × ${photo.height}.${notes}`));
  await refresh();
}

$("remove").addEventListener("click", () => {
  const i = photos.indexOf(current);
  photos.splice(i, 1);
  current.button.parentElement.remove();
  say(`${current.name} is removed.`);
  if (photos.length) {
    show(photos[Math.min(i, photos.length - 1)]);
    return;
  }
  leave();
  current = place = null;
  refresh();
  $("beliefs").hidden = $("desk").hidden = true;
  $("empty").hidden = false;
  $("choose").focus();
});

/* ---- Saving --------------------------------------------------------------------------- */

async function saving(work, what) {
  for (const id of ["save", "all"]) $(id).disabled = true;
  await work(what, { ...settings(current), format: $("format").value });
  for (const id of ["save", "all"]) $(id).disabled = false;
}

$("save").addEventListener("click", () => saving(saveOne, current));
$("all").addEventListener("click", () => saving(saveAll, [...photos]));

/* ---- What people do ------------------------------------------------------------------- */

$("controls").addEventListener("input", (event) => {
  if (event.target.id === "format") return;
  if (event.target.id === "weights") { recommended(); others(); }
  if (event.target.id === "temperature") event.target.step = 0.01;  // a file's own may be finer
  label();
  refresh();
});
$("reset").addEventListener("click", () => { recommended(); label(); refresh(); });
$("wipe").addEventListener("input", wipe);
$("choose").addEventListener("change", () => {
  take([...$("choose").files]);
  $("choose").value = "";
});
addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) take([...event.clipboardData.files]);
});
addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.toggle("over", event.dataTransfer.types.includes("Files"));
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("over");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  take([...event.dataTransfer.files]);
});
$("controls").addEventListener("submit", (event) => event.preventDefault());

prepare();
