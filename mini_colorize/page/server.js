/* Asking the server. A photo that it does not have any more is sent again by itself: the page has
   the files, the server keeps the last ones. */

export const known = JSON.parse(document.documentElement.dataset.settings);

/* A sentence for a person. */
export class Refused extends Error {}

const said = (parameters) => new URLSearchParams(parameters).toString();
export const wasAborted = (error) => error.name === "AbortError";

async function ask(path, parameters, options = {}) {
  let response;
  try {
    response = await fetch(`${path}?${said(parameters)}`,
      { ...options, headers: { "X-Token": known.token } });
  } catch (error) {
    if (wasAborted(error)) throw error;
    throw new Refused("no answer; is the program that opened this page still running?");
  }
  if (response.ok) return response;
  let told = {};
  try { told = await response.json(); } catch { /* not ours: the server's own limit */ }
  throw Object.assign(new Refused(told.error || `refused (${response.status})`),
    { gone: told.gone });
}

/* A photo: { file, name, key, width, height, notes } once it is sent. */
export async function send(photo, signal) {
  if (photo.file.size > known.maxBytes) {
    throw new Refused(`too large: over ${known.maxBytes / 2 ** 20} MiB`);
  }
  let body;
  try {
    body = await photo.file.arrayBuffer();
  } catch {
    throw new Refused("it cannot be read; is it a folder?");
  }
  const answer = await ask("photos", { name: photo.name }, { method: "POST", body, signal });
  Object.assign(photo, await answer.json());
}

async function about(photo, what, parameters, signal) {
  try {
    return await ask(`${what}/${photo.key}`, parameters, { signal });
  } catch (error) {
    if (!error.gone) throw error;
    await send(photo, signal);
    return ask(`${what}/${photo.key}`, parameters, { signal });
  }
}

export async function blobOf(photo, what, parameters, signal) {
  return (await about(photo, what, parameters, signal)).blob();
}

export async function beliefOf(photo, parameters, signal) {
  return (await about(photo, "beliefs", parameters, signal)).json();
}
