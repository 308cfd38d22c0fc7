/* What the network believes of one place: 313 probabilities over the ab plane, and the one colour
   that is made of them. All of it follows from the logits z, so it moves with T at once:

     p = softmax(z / T),   annealed mean = sum of p bin,   mean: the same at T = 1,   mode: T = 0 */

import { css } from "./color.js";
import { written } from "./controls.js";
import { known } from "./server.js";

const LEFT = -100, RIGHT = 110, TOP = 110, BOTTOM = -120, STEP = 10;  // of the plane as drawn
const number = (x) => (Math.round(x) || 0).toString().replace("-", "−");
const ab = ([a, b]) => `a ${number(a)}, b ${number(b)}`;

export function softmax(logits, temperature) {
  const most = Math.max(...logits);
  const e = temperature === 0 ? logits.map((_, i) => +(i === logits.indexOf(most)))
    : logits.map((z) => Math.exp((z - most) / temperature));
  const sum = e.reduce((total, x) => total + x);
  return e.map((x) => x / sum);
}

export const mean = (p) =>
  [0, 1].map((axis) => p.reduce((sum, x, i) => sum + x * known.bins[i][axis], 0));

/* answer: the server's. Returns { p, likely, mean, annealed, mode }; likely: five indices. */
export function believe(answer, temperature) {
  const p = softmax(answer.logits, temperature);
  const order = answer.logits.map((_, i) => i).sort((i, j) => answer.logits[j] - answer.logits[i]);
  return { p, likely: order.slice(0, 5), mean: mean(softmax(answer.logits, 1)),
    annealed: mean(p), mode: known.bins[order[0]] };
}

/* A block of the page that shows beliefs. use: function, called with the ab that a person chose. */
export class Belief {
  constructor(use) {
    this.element = document.getElementById("belief").content.cloneNode(true).firstElementChild;
    this.find = (selector) => this.element.querySelector(selector);
    this.patches = [...Array(5).fill(".likely"), ...Array(3).fill(".means")].map((list) => {
      const item = document.createElement("li"), button = document.createElement("button");
      button.type = "button";
      button.title = "Use this colour here";
      button.addEventListener("click", () => use(button.ab));
      item.append(button);
      this.find(list).append(item);
      return button;
    });
    this.find("canvas").addEventListener("click", ({ offsetX, offsetY, target }) => {
      use([LEFT + (RIGHT - LEFT) * offsetX / target.clientWidth,
        TOP - (TOP - BOTTOM) * offsetY / target.clientHeight]);
    });
    const { a, b } = this.find("form").elements;
    for (const input of [a, b]) Object.assign(input, { min: -known.maxAb, max: known.maxAb });
    this.find("form").addEventListener("submit", (event) => {
      event.preventDefault();
      use([a.valueAsNumber, b.valueAsNumber]);
    });
  }

  /* chosen: the ab that a person chose here, or null. */
  show(name, answer, temperature, chosen) {
    this.find("h2").textContent = `What “${name}” believed here`;
    this.find(".place").textContent = `L ${number(answer.L)}; place ${answer.column + 1}, ` +
      `${answer.row + 1} of ${answer.width} × ${answer.height}` +
      (chosen ? `. You chose ${ab(chosen)}.` : "");
    for (const part of [".plane", ".numbers h3", ".likely"]) {
      this.find(part).hidden = !answer.logits;
    }
    const fill = (i, color, text, share) => {
      const button = this.patches[i], swatch = document.createElement("i");
      swatch.className = "patch";
      swatch.style.background = css([answer.L, ...color]);
      button.replaceChildren(swatch, ...[text, ab(color)].map((textContent) =>
        Object.assign(document.createElement("span"), { textContent })));
      button.ab = color;
      if (share !== undefined) button.style.setProperty("--share", share);
    };
    for (const { parentElement } of this.patches.slice(6)) parentElement.hidden = !answer.logits;
    const offer = (color) => {
      const { a, b } = this.find("form").elements;
      if (this.find("form").contains(document.activeElement)) return;
      [a.value, b.value] = (chosen || color).map((x) => Math.round(x) || 0);
    };
    if (!answer.logits) {
      offer(answer.ab);
      fill(5, answer.ab, "the network’s");
      this.find(".place").append(`${chosen ? "" : "."} A regression network knows one colour: ${ab(answer.ab)}.`);
      return this.find(".place").textContent;
    }
    const belief = believe(answer, temperature);
    offer(belief.annealed);
    const colors = [
      ...belief.likely.map((i) => [known.bins[i], `${(100 * belief.p[i]).toFixed(1)} %`, belief.p[i]]),
      [belief.mean, "○ mean, T = 1"], [belief.annealed, "● annealed mean"],
      [belief.mode, "◇ mode, T = 0"]];
    for (const [i, color] of colors.entries()) fill(i, ...color);
    this.find(".at").textContent = `at T = ${written(temperature)}`;
    const best = belief.likely[0];
    const words = `L ${number(answer.L)}. Likeliest: ${(100 * belief.p[best]).toFixed(0)} %, ` +
      `${ab(known.bins[best])}. Annealed mean: ${ab(belief.annealed)}.` +
      (chosen ? ` You chose ${ab(chosen)}.` : "");
    this.find("canvas").setAttribute("aria-label", `313 colours over the ab plane. ${words}`);
    this.draw(answer.L, belief, chosen);
    return words;
  }

  /* The larger a square, the likelier its colour; the pale ones show where the 313 bins lie. */
  draw(lightness, belief, chosen) {
    const canvas = this.find("canvas"), style = getComputedStyle(canvas);
    const ratio = window.devicePixelRatio || 1, scale = 2 * ratio;
    canvas.width = (RIGHT - LEFT) * scale;
    canvas.height = (TOP - BOTTOM) * scale;
    const pen = canvas.getContext("2d");
    const x = (a) => (a - LEFT) * scale, y = (b) => (TOP - b) * scale;
    const ink = style.color, paper = style.backgroundColor, most = Math.max(...belief.p);
    pen.strokeStyle = ink;
    known.bins.forEach(([a, b], i) => {
      const color = css([lightness, a, b]);
      const square = (side) =>
        pen.rect(x(a - side / 2), y(b + side / 2), side * scale, side * scale);
      pen.fillStyle = color;
      pen.globalAlpha = 0.22;
      pen.beginPath(); square(STEP); pen.fill();
      const side = STEP * Math.sqrt(belief.p[i] / most);
      if (side < 0.7) return;
      pen.globalAlpha = 1;
      pen.lineWidth = 0.75 * ratio;
      pen.beginPath(); square(side); pen.fill(); pen.stroke();
    });
    pen.globalAlpha = 0.5;
    pen.lineWidth = ratio;
    pen.beginPath();
    pen.moveTo(x(LEFT), y(0)); pen.lineTo(x(RIGHT), y(0));
    pen.moveTo(x(0), y(TOP)); pen.lineTo(x(0), y(BOTTOM));
    pen.stroke();
    pen.globalAlpha = 1;
    const outline = (shape, fill) => {
      for (const [color, width] of [[paper, 5], [ink, 2]]) {
        pen.strokeStyle = color; pen.lineWidth = width * ratio;
        pen.beginPath(); shape(); pen.stroke();
      }
      if (fill) { pen.fillStyle = ink; pen.fill(); }
    };
    const circle = ([a, b], r) => () => pen.arc(x(a), y(b), r * ratio, 0, 2 * Math.PI);
    const [a, b] = belief.mode, r = 9 * ratio;
    outline(() => { pen.moveTo(x(a) - r, y(b)); pen.lineTo(x(a), y(b) - r);
      pen.lineTo(x(a) + r, y(b)); pen.lineTo(x(a), y(b) + r); pen.closePath(); });
    outline(circle(belief.mean, 6));
    outline(circle(belief.annealed, 4), true);
    if (!chosen) return;
    outline(circle(chosen, 8));
    pen.fillStyle = css([lightness, ...chosen]);
    pen.fill();
  }
}
