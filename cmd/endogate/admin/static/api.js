// Talking to the gateway: one function for reading, one for doing.
import { said, t } from "./words.js";

export class Fault extends Error {
  constructor(status, body) {
    const e = (body && body.error) || { what: t("frame.no-answer"), why: "", next: t("frame.again-by-itself") };
    super(e.what);
    const [what, why, next] = [e.what, e.why, e.next].map(said);
    Object.assign(this, { status, what, why, next, plain: e }); // plain: as the gateway said it
  }
}

// acting says whom the page was drawn for. Where another one has signed in since, in another tab, the gateway does nothing that this page asks.
let person;
export const acting = (name) => { person = encodeURIComponent(name); };

// signInAgain goes to the sign-in, as one has ended, and from there back to what is shown. What is not saved is kept, so nobody is asked.
export let leaving = false;
function signInAgain() {
  leaving = true;
  location.assign(`/signin?ended${location.hash}`);
}

async function request(method, path, signal, said, cache = "no-store", match = "") {
  const headers = { Accept: "application/json" };
  if (match) headers["If-Match"] = match;
  if (method !== "GET") headers["X-Endogate-Action"] = "1";
  if (method !== "GET" && person !== undefined) headers["X-Endogate-Person"] = person;
  const sent = said === undefined || said instanceof Blob ? said : JSON.stringify(said);
  if (typeof sent === "string") headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: sent, signal, cache, redirect: "error" });
  } catch (e) {
    if (e.name === "AbortError") throw e;
    throw new Fault(0);
  }
  if (answer.status === 401) signInAgain();
  const body = await answer.json().catch(() => null);
  if (!answer.ok) throw new Fault(answer.status, body);
  return body;
}

export const get = (path, signal) => request("GET", path, signal);
// keep is get of what the gateway lets this browser keep for a while.
export const keep = (path, signal) => request("GET", path, signal, undefined, "default");
export const post = (path) => request("POST", path);
export const send = (method, path, body) => request(method, path, undefined, body);
// change is send of what is about one version, which the gateway refuses (412) where another one is there by now.
export const change = (method, path, version, body) => request(method, path, undefined, body, undefined, `"${version}"`);

// tryPicture and tryExplanation ask about a file that is no part of a record; the gateway keeps nothing of it.
export async function tryPicture(file) {
  const answer = await fetch("/api/v1/try/frame.png", { method: "POST", headers: { "X-Endogate-Action": "1" }, body: file, cache: "no-store", redirect: "error" }).catch(() => { throw new Fault(0); });
  if (answer.status === 401) signInAgain();
  if (!answer.ok) throw new Fault(answer.status, await answer.json().catch(() => null));
  return createImageBitmap(await answer.blob());
}
// tryRoute asks what would become of a file that is sent; the gateway keeps nothing of it.
export const tryRoute = (file, calling) => request("POST", `/api/v1/try/route${calling ? `?${new URLSearchParams({ calling_ae: calling })}` : ""}`, undefined, file);
export const tryExplanation = (file, query, signal) => request("POST", `/api/v1/try/explanation.json?${query}`, signal, file);

// poll calls read every few seconds while the page is visible, more slowly while it fails, until stop is called.
export function poll(read, interval) {
  const abort = new AbortController();
  let timer, failures = 0, running = false;
  const tick = async () => {
    clearTimeout(timer);
    if (abort.signal.aborted || running) return;
    if (!document.hidden) {
      running = true;
      try {
        await read(abort.signal);
        failures = 0;
      } catch (e) {
        if (e.name !== "AbortError" && !abort.signal.aborted) failures++;
      }
      running = false;
    }
    clearTimeout(timer);
    if (!abort.signal.aborted) timer = setTimeout(tick, Math.min(interval() * 2 ** Math.min(failures, 4), 60000));
  };
  document.addEventListener("visibilitychange", tick, { signal: abort.signal });
  tick();
  return { now: tick, stop() { abort.abort(); clearTimeout(timer); } };
}
