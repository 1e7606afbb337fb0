// The models: which there are, loaded or not, and how two of them see the same frames.
import { Fault, get, post } from "./api.js";
import { h, slot } from "./dom.js";
import { chip, code, percent, roles, shortUID, thead, words } from "./format.js";
import { named, t } from "./words.js";
import { fact, within } from "./operations.js";
import { progress } from "./tasks.js";

export function modelsView() {
  const cards = slot("div"), compare = slot("div"), out = h("div", { id: "comparison" });
  const said = h("p", { role: "status", "aria-live": "polite" });
  let stop = () => {};
  async function warm(name, button, again) {
    button.disabled = true;
    said.className = "muted";
    said.textContent = t("models.loading", { name });
    try {
      const r = await post(`/api/v1/models/${encodeURIComponent(name)}/warm`);
      said.className = "good";
      said.textContent = `✓ ${t("models.warmed", { name, n: r.loaded, ms: Math.round(r.milliseconds) })}`;
    } catch (e) {
      if (!(e instanceof Fault)) throw e;
      said.className = "bad";
      said.textContent = `! ${e.what}: ${e.why}`;
    }
    button.disabled = false;
    again();
  }
  async function begin(form) {
    stop();
    const query = new URLSearchParams(new FormData(form));
    try {
      stop = progress(await post(`/api/v1/compare?${query}`), out, compared);
    } catch (e) {
      if (!(e instanceof Fault)) throw e;
      out.replaceChildren(h("div", { class: "notice bad" }, `${e.what}: ${e.why}. ${e.next}`));
    }
  }
  return {
    title: () => t("operations.models"), interval: () => 10000, stop: () => stop(),
    el: h("div", null, within("models", h("p", { class: "muted" }, t("models.about"))), said, cards.el, compare.el, out),
    async read(signal, now) {
      const { models } = await get("/api/v1/models", signal);
      cards.show(models, () => models.length ? models.map((m) => card(m, (button) => warm(m.name, button, now))) : h("div", { class: "empty" }, h("h2", null, t("models.none"))));
      compare.show(models.map((m) => m.name), () => models.length > 1 ? comparing(models, begin) : h("p", { class: "muted" }, t("models.compare-two")));
    },
  };
}

function card(m, warm) {
  const button = h("button", { class: "button", id: `warm-${m.name}`, onclick: () => warm(button) }, t("models.warm"));
  return h("section", { class: "card" }, h("div", { class: "row between" }, h("h2", null, `${m.name} ${m.version}`),
    h("span", { class: "row tight" }, m.served ? chip({ served: ["good", "✓", t("models.served")] }, "served") : chip({ un: ["bad", "!", t("models.unserved")] }, "un"),
      m.loaded ? chip({ warm: ["good", "●", t("models.is-warm", { n: m.loaded })] }, "warm") : chip({ cold: ["plain", "○", t("models.is-cold")] }, "cold"), m.kind === "video" ? null : button)),
  h("p", null, m.intended_use),
  h("dl", { class: "facts" }, fact(t("models.made-by"), m.manufacturer), fact(t("models.kind"), m.kind), fact(t("models.input"), `${m.columns} × ${m.rows}`), fact(t("models.explanation"), `${m.method}, ${m.layer}`),
    fact("SHA-256", shortUID(m.digest))),
  h("table", { class: "list small" }, thead(t("models.class"), t("models.role"), `#${t("models.threshold")}`, t("models.finding"), t("models.site")),
    h("tbody", null, m.classes.map((c) => h("tr", null, h("th", { scope: "row", "data-label": t("models.class") }, words(c.name)), h("td", { "data-label": t("models.role") }, roles[c.role] || c.role),
      h("td", { class: "num", "data-label": t("models.threshold") }, percent(c.threshold)), h("td", { "data-label": t("models.finding") }, code(c.finding)), h("td", { "data-label": t("models.site") }, code(c.site)))))));
}

function comparing(models, begin) {
  const choose = (name, at) => h("label", null, h("span", null, named("models", name)), h("select", { name, id: `compare-${name}` }, models.map((m, i) => h("option", { value: m.name, selected: i === at }, `${m.name} ${m.version}`))));
  const form = h("form", { class: "filters", onsubmit: (e) => { e.preventDefault(); begin(form); } }, choose("a", 0), choose("b", 1),
    h("label", null, h("span", null, t("models.frames")), h("input", { name: "frames", id: "compare-frames", type: "number", min: 1, max: 5000, value: 100 })), h("button", { class: "button primary", id: "compare" }, t("models.compare")));
  return h("section", { class: "card" }, h("h2", null, t("models.compare-title")), h("p", { class: "muted" }, t("models.compare-about")), form);
}

function compared(r) {
  return [h("p", null, t("models.compared", { n: r.frames, skipped: r.skipped })), h("table", { class: "list small", id: "compared" },
    thead(t("models.class"), `#${t("models.both")}`, `#${t("models.only", { name: r.a })}`, `#${t("models.only", { name: r.b })}`, `#${t("models.neither")}`),
    h("tbody", null, r.classes.map((c) => h("tr", null, h("th", { scope: "row" }, words(c.class)), [c.both, c.only_a, c.only_b, c.neither].map((n) => h("td", { class: "num" }, n)))))),
  r.differences.length ? [h("h3", null, t("models.differences")), h("ul", null, r.differences.map((d) => h("li", null, h("a", { href: `#/frame/${[d.study_instance_uid, d.sop_instance_uid, d.frame].map(encodeURIComponent).join("/")}` }, t("models.frame", { n: d.frame })), " ", shortUID(d.sop_instance_uid), " ",
    Object.keys(d.a).map((c) => `${words(c)}: ${percent(d.a[c])} / ${percent(d.b[c])}`).join(", "))))] : null];
}
