// Long work: how far it is, a way to end it, and what came of it.
import { get, poll, post } from "./api.js";
import { h } from "./dom.js";
import { named, t } from "./words.js";

// progress shows a task in out until it has ended, and then what build makes of its result. It returns what ends the looking on, not the task.
export function progress(task, out, build) {
  const bar = h("progress", { "aria-label": t("tasks.progress") }), text = h("span", { role: "status", "aria-live": "polite" });
  const cancel = h("button", { class: "button", id: "cancel-task", onclick: async () => { cancel.disabled = true; await post(`/api/v1/tasks/${task.id}/cancel`); looking.now(); } }, t("tasks.cancel"));
  out.replaceChildren(h("div", { class: "row" }, bar, text, cancel));
  const looking = poll(async (signal) => {
    const now = await get(`/api/v1/tasks/${task.id}`, signal);
    if (now.of) { bar.max = now.of; bar.value = now.done; }
    text.textContent = now.of ? t("tasks.done-of", { done: now.done, of: now.of }) : t("tasks.begins");
    if (now.state === "running") return;
    looking.stop();
    out.replaceChildren(...[h("p", { role: "status", class: now.state === "done" ? "good" : "bad" }, named("tasks", now.state), now.reason ? ` ${now.reason}` : ""), now.result ? build(now.result) : null].flat(Infinity).filter(Boolean));
    document.dispatchEvent(new Event("acted"));
  }, () => 500);
  return looking.stop;
}
