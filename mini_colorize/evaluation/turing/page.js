/* The experiment. The state is a seed and the sides that were chosen; the order of the pairs and
   the side of each fake follow from the seed, so neither the page nor what it stores says which
   side is fake. A pair is shown only after its phase was stored: it can be seen once. */

const SHOW_MS = 1000;
const PHASES = ["welcome", "ready", "showing", "asked", "feedback", "break", "done"];

const key = `turing-${page}`;
const sections = [...document.querySelectorAll("section")];
const frames = SIDES.map($);

/* ---- The state, kept through reloads --------------------------------------------------- */

function fresh() {
  const seed = crypto.getRandomValues(new Uint32Array(1))[0];
  return { seed, phase: "welcome", cut: false, started: null, finished: null, answers: [] };
}

/* Whether a stored state can be gone on with. Nothing of it is trusted: anyone can edit it. */
function usable(s) {
  if (!Array.isArray(s.answers) || !PHASES.includes(s.phase)) return false;
  const n = s.answers.length;
  const only = { welcome: n === 0, feedback: n > 0 && n <= practice,
    break: n > 0 && n === practice, done: n === kinds.length };
  const number = (v) => v === null || Number.isFinite(v);
  return s.seed === s.seed >>> 0 && typeof s.cut === "boolean" &&
    [s.started, s.finished].every((v) => v === null || typeof v === "string") &&
    (only[s.phase] ?? n < kinds.length) &&
    s.answers.every((a) => [0, 1].includes(a.side) && typeof a.cut === "boolean" &&
      number(a.ms) && number(a.shown));
}

function stored() {
  for (const read of [() => JSON.parse(localStorage.getItem(key)), () => history.state?.[key]]) {
    try {
      const found = read();
      if (usable(found)) return found;
    } catch { /* refused, or not ours */ }
  }
  return null;
}

/* Without storage the history entry of this tab, which outlives a reload, has to do. */
function save() {
  try {
    localStorage.setItem(key, JSON.stringify(state));
    return true;
  } catch {
    try { history.replaceState({ [key]: state }, ""); } catch { /* memory alone, then */ }
    return false;
  }
}

let state = stored() || fresh();
let trials = draw(state.seed);
let asked = null;  // when the question appeared, unless the page was loaded since
let seen = null;   // how long the pair was on show, ms
let timer = 0;

if (state.phase === "showing") Object.assign(state, { phase: "asked", cut: true });

function go(phase, more = {}) {
  Object.assign(state, { phase, ...more });
  save();
  render();
}

/* A browser that cannot decode the pictures would have every pair interrupted: asked first. */
async function begin() {
  try {
    (await createImageBitmap(jpegs[0])).close();
  } catch {
    $("undecoded").hidden = false;
    return;
  }
  if (state.phase === "welcome") go("ready", { started: new Date().toISOString() });
}

/* ---- One trial ------------------------------------------------------------------------- */

const frame = () => new Promise(requestAnimationFrame);

/* Both pictures are decoded and drawn, still hidden, before the second begins. */
async function show() {
  if (state.phase !== "ready") return;
  go("showing", { cut: false });
  $("pair").scrollIntoView({ block: "nearest" });
  try {
    await paint(trials[state.answers.length]);
    await frame();
    await frame();
  } catch {
    hide(true);
  }
  if (state.phase !== "showing") return wipe();  // the tab was hidden meanwhile
  $("pair").classList.add("shown");
  seen = -performance.now();
  timer = setTimeout(() => hide(false), SHOW_MS);
}

async function paint(trial) {
  const jpeg = await createImageBitmap(jpegs[trial.picture]);
  frames.forEach((button, side) => {
    const canvas = button.firstElementChild;
    canvas.width = canvas.height = size;
    const from = side === trial.fake ? size : 0;
    canvas.getContext("2d", { alpha: false })
      .drawImage(jpeg, from, 0, size, size, 0, 0, size, size);
  });
  jpeg.close();
}

/* The pixels are gone, not only hidden. */
function wipe() {
  $("pair").classList.remove("shown");
  for (const button of frames) button.firstElementChild.width = 0;
}

/* cut: the pair was not on show for its whole second. */
function hide(cut) {
  clearTimeout(timer);
  wipe();
  asked = performance.now();
  seen = seen === null ? 0 : seen + asked;
  go("asked", { cut });
}

function answer(side) {
  if (state.phase !== "asked") return;
  const ms = asked === null ? null : Math.round(performance.now() - asked);
  const shown = seen === null ? null : Math.round(seen);
  state.answers.push({ side, ms, shown, cut: state.cut });
  asked = seen = null;
  if (state.answers.length <= practice) go("feedback");
  else onward();
}

function onward() {
  const n = state.answers.length;
  if (n === kinds.length) go("done", { finished: new Date().toISOString() });
  else go(n === practice && n > 0 && state.phase === "feedback" ? "break" : "ready");
}

/* ---- The screens ----------------------------------------------------------------------- */

const pairs = (n) => `${n} pair${n === 1 ? "" : "s"}`;

function say(text) {
  $("say").textContent = "";
  setTimeout(() => { $("say").textContent = text; }, 50);  // the same text twice is said twice
}

function open(id, focus) {
  for (const section of sections) section.hidden = section.id !== id;
  (focus || $(id).querySelector("h1")).focus({ preventScroll: true });
  if (id !== "trial") scrollTo(0, 0);
}

function render() {
  if (state.phase === "welcome") renderWelcome();
  else if (state.phase === "break") renderBreak();
  else if (state.phase === "done") renderDone();
  else renderTrial();
}

function renderWelcome() {
  const minutes = Math.max(1, Math.round(kinds.length * 4 / 60));
  const first = practice ? `First ${pairs(practice)} for practice, then ` : "There are ";
  const time = `about ${minutes} minute${minutes === 1 ? "" : "s"}`;
  $("length").textContent = `${first}${pairs(kinds.length - practice)}: ${time}.`;
  $("refused").hidden = save();
  open("welcome");
}

function renderBreak() {
  const right = trials.slice(0, practice).filter((t, i) => state.answers[i].side === t.fake);
  $("practised").textContent = `You found ${right.length} of ${practice} fakes`;
  $("rest").textContent = pairs(kinds.length - practice);
  open("break");
}

function renderTrial() {
  const told = state.phase === "feedback";
  const n = state.answers.length - told;
  const inPractice = n < practice;
  const of = inPractice ? practice : kinds.length - practice;
  const number = inPractice ? n + 1 : n + 1 - practice;
  $("where").textContent = `${inPractice ? "Practice, pair" : "Pair"} ${number} of ${of}`;
  $("progress").value = (number - 1 + told) / of;
  const asking = state.phase === "asked";
  frames.forEach((button, side) => {
    const name = SIDES[side], arrow = "←→"[side];
    button.disabled = !asking;
    button.lastElementChild.innerHTML = asking ? `<b aria-hidden="true">${arrow}</b>${name}` : "";
    button.setAttribute("aria-label", asking ? `The ${name} one was fake` : `${name} picture`);
  });
  const next = $("next");
  next.hidden = asking || state.phase === "showing";
  if (told) renderFeedback(n, next);
  else if (asking) {
    $("task").textContent = "Which one was fake?";
    $("hint").textContent = state.cut ? "The pair was interrupted and will not count. Just guess."
      : "Click or tap its side, or press ← or\u00a0→";
  } else {
    $("task").textContent = state.phase === "ready" ? "Ready?" : "Look";
    $("hint").textContent = state.phase === "ready" ? "Shown once, for one second" : "";
    next.textContent = "Show the pair";
  }
  open("trial", next.hidden ? $("task") : next);
}

function renderFeedback(n, next) {
  const right = state.answers[n].side === trials[n].fake;
  const fake = SIDES[trials[n].fake];
  $("task").textContent = right ? "✓ Right" : "✗ Wrong";
  $("hint").textContent = `The ${fake} one was fake.`;
  frames[trials[n].fake].lastElementChild.textContent = "fake";
  frames[1 - trials[n].fake].lastElementChild.textContent = "real";
  next.textContent = "Next";
  say(`${right ? "Right" : "Wrong"}. The ${fake} one was fake.`);
}

/* ---- What people do -------------------------------------------------------------------- */

frames.forEach((button, side) => button.addEventListener("click", () => answer(side)));
$("begin").addEventListener("click", begin);
$("start").addEventListener("click", () => go("ready"));
$("next").addEventListener("click", () => (state.phase === "feedback" ? onward() : show()));
$("save").addEventListener("click", download);
$("here").addEventListener("click", () => location.reload());
$("again").addEventListener("click", () => {
  if (!confirm("Clear these answers? Save them first if they are needed.")) return;
  state = fresh();
  trials = draw(state.seed);
  go("welcome");
});
document.addEventListener("keydown", (event) => {
  const side = ["ArrowLeft", "ArrowRight"].indexOf(event.key);
  if (side < 0 || event.repeat || event.altKey || event.ctrlKey || event.metaKey) return;
  if (state.phase !== "asked" || $("trial").hidden) return;
  event.preventDefault();
  answer(side);
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden && state.phase === "showing") hide(true);
});
addEventListener("storage", (event) => {  // the same page, open twice
  if (event.key !== key || !event.newValue) return;
  if (state.phase === "showing") hide(true);
  open("elsewhere");
});

save();
render();
