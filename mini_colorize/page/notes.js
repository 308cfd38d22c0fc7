/* What the page says beside its pictures. */

import { Refused } from "./server.js";

const $ = (id) => document.getElementById(id);

/* To a screen reader. */
export function say(text) {
  $("say").textContent = text;
}

/* A name, which may hold anything, even what turns the writing around; and what is said of it. */
export function named(name, text) {
  return [Object.assign(document.createElement("bdi"), { textContent: name }), text];
}

/* Of a photo, by its name; the same only once. passing: it ends when pictures arrive again. */
export function complain(name, error, passing = false) {
  if (!(error instanceof Refused)) console.error(error);
  const item = document.createElement("li");
  const why = error instanceof Refused ? error.message : "something went wrong";
  item.append(...named(name, `: ${why}`));
  item.className = passing ? "passing" : "";
  if ([...$("problems").children].some((other) => other.isEqualNode(item))) return;
  $("problems").append(item);
  $("problems").hidden = false;
}

export function progress(text, done, of) {
  $("progress").hidden = done === of;
  $("doing").textContent = text;
  $("bar").value = done / of;
}

export function forgive(which = "li") {
  for (const item of $("problems").querySelectorAll(which)) item.remove();
  $("problems").hidden = !$("problems").children.length;
}
