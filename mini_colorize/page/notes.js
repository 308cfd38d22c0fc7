/* What the page says beside its pictures. */

import { Refused } from "./server.js";

const $ = (id) => document.getElementById(id);

/* To a screen reader. */
export function say(text) {
  $("say").textContent = text;
}

/* Of a photo, by its name. */
export function complain(name, error) {
  if (!(error instanceof Refused)) console.error(error);
  const item = document.createElement("li");
  const why = error instanceof Refused ? error.message : "something went wrong";
  item.textContent = `${name}: ${why}`;
  $("problems").append(item);
  $("problems").hidden = false;
}

export function progress(text, done, of) {
  $("progress").hidden = done === of;
  $("doing").textContent = text;
  $("bar").value = done / of;
}

export function forgive() {
  $("problems").hidden = true;
  $("problems").replaceChildren();
}
