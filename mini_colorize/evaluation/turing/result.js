/* The end: the share that was taken for real, the pictures, and the answers to be handed in. */

/* Wilson's interval of 95 % for k of n. */
function wilson(k, n) {
  const z = 1.959964, p = k / n, d = 1 + z * z / n;
  const middle = (p + z * z / (2 * n)) / d;
  const half = z / d * Math.sqrt(p * (1 - p) / n + z * z / (4 * n * n));
  return [Math.max(0, middle - half), Math.min(1, middle + half)];
}

function results() {
  return trials.map((trial, i) => {
    const a = state.answers[i];
    return { ...trial, ...a, fooled: a.side !== trial.fake };
  });
}

function renderDone() {
  const all = results().slice(practice);
  const counted = all.filter((r) => !r.cut && r.kind !== CHECK);
  const checks = all.filter((r) => !r.cut && r.kind === CHECK);
  const fooled = counted.filter((r) => r.fooled), found = counted.filter((r) => !r.fooled);
  const k = fooled.length, n = counted.length, percent = (x) => `${Math.round(100 * x)}\u00a0%`;
  $("scale").hidden = n === 0;
  if (n) {
    const [low, high] = wilson(k, n);
    $("share").textContent = `You took ${percent(k / n)} of the colourings for real`;
    $("meaning").textContent = `${k} of ${n} fooled you. With so few pairs chance plays a part: ` +
      `the 95\u00a0% confidence interval (Wilson) goes from ${percent(low)} to ${percent(high)}.`;
    $("dot").style.left = `${100 * k / n}%`;
    $("band").style.left = `${100 * low}%`;
    $("band").style.width = `${100 * (high - low)}%`;
  } else $("share").textContent = "No pair was seen to its end";
  const notes = ["At 50\u00a0% nobody can tell the fakes from the photos. " +
    "The authors of the method fooled people with 32\u00a0% of theirs."];
  if (checks.length) {
    const caught = checks.filter((r) => !r.fooled).length;
    notes.push(`${pairs(checks.length)} checked your attention: the fake wore the colours of ` +
      `another photo. You found ${caught}.`);
  }
  const cut = all.length - counted.length - checks.length;
  if (cut) notes.push(`${pairs(cut)} ${cut === 1 ? "was" : "were"} interrupted and not counted.`);
  $("notes").replaceChildren(...notes.map((note) => {
    const line = document.createElement("p");
    line.textContent = note;
    return line;
  }));
  $("fooled-title").textContent = `Taken for real: ${k}`;
  $("found-title").textContent = `Found out: ${found.length}`;
  $("text").value = JSON.stringify(report(), null, 1);
  gallery("fooled", fooled);
  gallery("found", found);
  open("done");
}

/* A card for each pair: the photo and its colouring, each with its name. */
async function gallery(id, list) {
  $(id).replaceChildren();
  for (const result of list) {
    const card = document.createElement("div");
    card.className = "card";
    $(id).append(card);
    const jpeg = await createImageBitmap(jpegs[result.picture]);
    ["real", "fake"].forEach((name, half) => {
      const figure = document.createElement("figure"), canvas = document.createElement("canvas");
      const caption = document.createElement("figcaption");
      canvas.width = canvas.height = size;
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `Picture ${result.picture + 1}`);
      canvas.getContext("2d", { alpha: false }).drawImage(jpeg, -half * size, 0);
      caption.textContent = name;
      figure.append(canvas, caption);
      card.append(figure);
    });
    jpeg.close();
  }
}

/* What is handed in. Pictures are numbered from 1 as in the page; `score` reads this. */
function report() {
  const kind = ["practice", "colouring", "check"];
  return {
    format: "mini_colorize turing answers", version: 1, page,
    participant: state.seed.toString(16).padStart(8, "0"),
    started: state.started, finished: state.finished,
    screen: { width: innerWidth, height: innerHeight, ratio: devicePixelRatio },
    trials: results().map((r) => ({
      picture: r.picture + 1, kind: kind[r.kind], fake: SIDES[r.fake], chosen: SIDES[r.side],
      interrupted: Boolean(r.cut), shown_ms: r.shown, answer_ms: r.ms,
    })),
  };
}

function download() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([$("text").value], { type: "application/json" }));
  link.download = `turing-${page}-${state.seed.toString(16).padStart(8, "0")}.json`;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  say("Saved.");
}
