/* Saving: the server makes the files, the page puts them together. */

import { asked } from "./hints.js";
import { complain, progress, say } from "./notes.js";
import { blobOf } from "./server.js";
import { zip } from "./zip.js";

function download(blob, name) {
  say(`${name} is saved.`);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/* The start of a new file's name, such as every system takes: no folder, nothing that Windows
   forbids or keeps for devices, nothing that turns the writing around. */
export function stem(name) {
  const last = name.split(/[/\\]/).pop()
    .replace(/[\p{Cc}\u202a-\u202e\u2066-\u2069<>:"|?*]/gu, "_");
  return (last.replace(/\.[^.]*$/, "") || last || "photo")
    .replace(/^(con|prn|aux|nul|com\d|lpt\d)(?=$|\.)/i, "_$&");
}

/* settings: of the request, with the format; to which come the colours chosen for a photo. */
export async function saveOne(photo, settings) {
  progress(`Saving ${photo.name}`, 0, 1);
  try {
    const blob = await blobOf(photo, "files", { ...settings, ...asked(photo) });
    download(blob, `${stem(photo.name)}.color.${settings.format}`);
  } catch (error) {
    complain(photo.name, error);
  }
  progress("", 1, 1);
}

export async function saveAll(photos, settings) {
  const files = [], names = new Set();
  for (const [i, photo] of photos.entries()) {
    progress(`Saving photo ${i + 1} of ${photos.length}`, i, photos.length);
    const start = stem(photo.name);
    let name = `${start}.color.${settings.format}`;
    for (let n = 2; names.has(name.toLowerCase()); n++) {
      name = `${start}-${n}.color.${settings.format}`;
    }
    names.add(name.toLowerCase());
    try {
      const blob = await blobOf(photo, "files", { ...settings, ...asked(photo) });
      files.push({ name, blob });
    } catch (error) {
      complain(photo.name, error);
    }
  }
  if (files.length) download(await zip(files), "coloured.zip");
  progress("", 1, 1);
}
