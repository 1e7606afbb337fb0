// Who somebody without a sign-in says to be: asked once, kept by this tab while that person goes on, and asked again after a pause.
import { question } from "./dom.js";
import { t } from "./words.js";

const place = "endogate-author", until = `${place}-until`;
const pause = 10 * 60_000; // ms without anything done under the name, after which somebody else may sit there

export function forgetAuthor() {
  sessionStorage.removeItem(place);
  sessionStorage.removeItem(until);
}
// knownAuthor is the name as it was given, empty where none was or after a pause.
export function knownAuthor() {
  if (Date.now() > Number(sessionStorage.getItem(until) || Infinity)) forgetAuthor();
  return sessionStorage.getItem(place) || "";
}
// author is the name under which something is done now; empty where none was given.
export async function author(title = t("report.who"), said = t("report.who-said")) {
  const name = knownAuthor() || (await question(title, said, t("report.name"), "text")).trim();
  if (!name) return "";
  sessionStorage.setItem(place, name);
  sessionStorage.setItem(until, Date.now() + pause);
  return name;
}
