// The models: which there are, loaded or not, in which version, and how two of them see the same frames.
import { Fault, get, post } from "./api.js";
import { ask, h, slot } from "./dom.js";
import { absolute, chip, code, percent, roles, shortUID, thead, words } from "./format.js";
import { named, t } from "./words.js";
import { fact, within } from "./operations.js";
import { progress } from "./tasks.js";

export function modelsView() {
  const cards = slot("div"), compare = slot("div"), out = h("div", { id: "comparison" });
  const said = h("p", { role: "status", "aria-live": "polite" }), putting = h("div", { id: "putting" });
  let stop = () => {}, versions = null; // of the model whose versions are shown
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
  async function begin(path, where, build) {
    stop();
    try {
      stop = progress(await post(path), where, build);
    } catch (e) {
      if (!(e instanceof Fault)) throw e;
      where.replaceChildren(h("div", { class: "notice bad" }, `${e.what}: ${e.why}. ${e.next}`));
    }
  }
  async function look(name, button, again) {
    button.disabled = true;
    try {
      versions = { name, all: (await get(`/api/v1/models/${encodeURIComponent(name)}/versions`)).versions };
    } catch (e) {
      if (!(e instanceof Fault)) throw e;
      putting.replaceChildren(h("div", { class: "notice bad" }, `${e.what}: ${e.why}. ${e.next}`));
    }
    button.disabled = false;
    again();
  }
  // put says first what would be in force, in the place of what.
  async function put(name, v, again) {
    const is = versions.all.find((o) => o.in_force), yes = v.configured ? t("models.as-configured") : t("models.put");
    if (!await ask(t("models.put-title", { name, version: v.version }), t("models.put-said", { version: v.version, was: is.version }), yes)) return;
    await begin(`/api/v1/models/${encodeURIComponent(name)}/rollback?${new URLSearchParams({ version: v.version, digest: v.digest })}`, putting, (r) => {
      look(name, { disabled: false }, again);
      return h("p", null, t("models.is-put", { name, version: r.version }));
    });
  }
  return {
    title: () => t("operations.models"), interval: () => 10000, stop: () => stop(),
    el: h("div", null, within("models", h("p", { class: "muted" }, t("models.about"))), said, putting, cards.el, compare.el, out),
    async read(signal, now) {
      const [{ models }, me] = await Promise.all([get("/api/v1/models", signal), get("/api/v1/me", signal)]), administers = me.rights.includes("administer");
      cards.show([models, versions, administers], () => models.length ? models.map((m) => card(m, versions?.name === m.name && versions.all, { warm: (button) => warm(m.name, button, now), look: (button) => versions?.name === m.name ? (versions = null, now()) : look(m.name, button, now), put: administers && ((v) => put(m.name, v, now)) })) : h("div", { class: "empty" }, h("h2", null, t("models.none"))));
      compare.show(models.map((m) => m.name), () => models.length > 1 ? comparing(models, (form) => begin(`/api/v1/compare?${new URLSearchParams(new FormData(form))}`, out, compared)) : h("p", { class: "muted" }, t("models.compare-two")));
    },
  };
}

function card(m, versions, does) {
  const button = h("button", { class: "button", id: `warm-${m.name}`, onclick: () => does.warm(button) }, t("models.warm"));
  const others = h("button", { class: "button", id: `versions-${m.name}`, "aria-expanded": versions ? "true" : "false", onclick: () => does.look(others) }, t("models.versions"));
  return h("section", { class: "card" }, h("div", { class: "row between" }, h("h2", null, `${m.name} ${m.version}`),
    h("span", { class: "row tight" }, m.served ? chip({ served: ["good", "✓", t("models.served")] }, "served") : chip({ un: ["bad", "!", t("models.unserved")] }, "un"),
      m.loaded ? chip({ warm: ["good", "●", t("models.is-warm", { n: m.loaded })] }, "warm") : chip({ cold: ["plain", "○", t("models.is-cold")] }, "cold"), m.kind === "video" ? null : button, others)),
  m.chosen ? h("p", { class: "notice" }, t("models.chosen", { over: m.chosen.over, at: absolute(m.chosen.at), by: m.chosen.by })) : null,
  versions ? table(versions, does.put) : null,
  h("p", null, m.intended_use),
  h("dl", { class: "facts" }, fact(t("models.made-by"), m.manufacturer), fact(t("models.kind"), m.kind), fact(t("models.input"), `${m.columns} × ${m.rows}`), fact(t("models.explanation"), `${m.method}, ${m.layer}`),
    fact("SHA-256", shortUID(m.digest))),
  h("table", { class: "list small" }, thead(t("models.class"), t("models.role"), `#${t("models.threshold")}`, t("models.finding"), t("models.site")),
    h("tbody", null, m.classes.map((c) => h("tr", null, h("th", { scope: "row", "data-label": t("models.class") }, words(c.name)), h("td", { "data-label": t("models.role") }, roles[c.role] || c.role),
      h("td", { class: "num", "data-label": t("models.threshold") }, percent(c.threshold)), h("td", { "data-label": t("models.finding") }, code(c.finding)), h("td", { "data-label": t("models.site") }, code(c.site)))))));
}

const table = (versions, put) => h("table", { class: "list small", id: "versions" }, thead(t("models.version"), t("models.since"), t("models.folder"), ""),
  h("tbody", null, versions.map((v, i) => h("tr", null, h("th", { scope: "row", "data-label": t("models.version") }, v.version, h("div", { class: "muted" }, shortUID(v.digest))),
    h("td", { "data-label": t("models.since") }, v.in_force ? chip({ is: ["good", "✓", t("models.in-force")] }, "is") : null, v.configured ? chip({ conf: ["plain", "·", t("models.configured")] }, "conf") : null,
      h("div", null, v.since ? t("models.since-by", { at: absolute(v.since), by: v.by }) : t("models.never"))),
    h("td", { class: "wrap", "data-label": t("models.folder") }, h("code", null, v.folder), v.reason ? h("div", { class: "bad wrap" }, v.reason) : null),
    h("td", null, !put || v.in_force || v.reason ? null : h("button", { class: "button", id: `put-${i}`, "aria-label": `${v.configured ? t("models.as-configured") : t("models.put")}: ${v.version}`, onclick: () => put(v) }, v.configured ? t("models.as-configured") : t("models.put")))))));

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
