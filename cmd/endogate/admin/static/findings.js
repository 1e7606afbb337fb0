// What the models saw in the selected frame: probabilities against thresholds, codes, and whose word it is.
import { h } from "./dom.js";
import { absolute, code, percent, roles, worded } from "./format.js";
import { t } from "./words.js";
import { lookInto } from "./viewer.js";

export function findings(frame, models, viewer) {
  if (!frame) return h("p", { class: "muted" }, t("findings.no-frame"));
  if (!frame.analyses.length) return [h("h2", null, t("study.results")), h("p", { class: "muted wrap" }, t("findings.not-analysed", { why: frame.notAnalysed || t("findings.no-model") }))];
  const remarks = frame.remarks ? h("p", { class: "muted wrap" }, t("findings.remarks", { remarks: frame.remarks })) : null;
  return [...frame.analyses.map((a) => analysis(a, frame, models.find((m) => m.name === a.model), viewer)), remarks];
}

function analysis(a, frame, model, viewer) {
  const why = (s) => frame.source && !frame.conflict && model?.classes.some((c) => c.name === s.name) ? lookInto(frame, { model: model.name, class: s.name }) : "";
  return h("section", null,
    h("h2", null, t("findings.results", { model: a.madeBy?.name ? `${a.madeBy.name} ${a.madeBy.version}` : a.model })),
    a.state === "open" ? h("p", { class: "muted" }, a.attempts ? t("findings.attempt", { n: a.attempts }) : t("findings.waits")) : null,
    a.state === "parked" ? h("div", { class: "notice bad wrap" }, h("strong", null, t("findings.not")), " ", a.reason, " ", h("a", { href: "#/parked" }, t("findings.parked"))) : null,
    a.state === "skipped" || a.state === "discarded" ? h("p", { class: "muted wrap" }, t("findings.not-analysed", { why: a.reason || a.state })) : null,
    a.state === "done" && a.reason ? h("div", { class: "notice bad wrap" }, h("strong", null, t("findings.not-all")), " ", a.reason) : null,
    a.retracted ? h("div", { class: "notice bad wrap" }, h("strong", null, t("findings.retracted")), " ", a.retracted) : null,
    h("ul", { class: "bars" }, scores(a, model).map((s) => bar(s, viewer, why(s)))),
    a.notes.map((note) => h("p", { class: "muted wrap" }, note)),
    identity(a, model));
}

// scores joins what was measured with what the model's manifest says about each class.
function scores(a, model) {
  const byName = new Map(Object.entries(a.scores).map(([name, p]) => [name, { name, probability: p }]));
  const best = [...a.findings].sort((x, y) => x.probability - y.probability); // of a class with several boxes the most probable one, which comes last
  for (const f of best) byName.set(f.class, { name: f.class, probability: f.probability, threshold: f.threshold, role: f.role, site: f.site, found: f });
  for (const c of model?.classes || []) {
    const s = byName.get(c.name);
    if (s) { s.threshold ??= c.threshold; s.role ??= c.role; s.site ??= c.site; }
  }
  return [...byName.values()].sort((x, y) => y.probability - x.probability);
}

function bar(s, viewer, why) {
  const over = Boolean(s.found);
  const name = worded({ class: s.name, role: s.role, site: s.site });
  const text = `${name} ${percent(s.probability)}${s.threshold === undefined ? "" : `, ${t("findings.threshold", { threshold: percent(s.threshold) })}`}`;
  return h("li", { class: `bar-row ${over ? "over" : ""} ${s.role || ""}` },
    h("div", { class: "row between" }, h("span", null, over ? h("strong", null, name) : name, over ? h("span", { class: "tag " + s.role }, roles[s.role] || s.role) : null),
      h("span", { class: "value" }, why ? h("a", { class: "why", href: why, "aria-label": t("findings.why-this", { name }) }, t("findings.why")) : null, percent(s.probability))),
    h("div", { class: "bar-track", role: "meter", "aria-label": text, "aria-valuemin": 0, "aria-valuemax": 1, "aria-valuenow": s.probability.toFixed(4) },
      h("div", { class: "bar-fill", style: { width: `${100 * Math.min(1, Math.max(0, s.probability))}%` } }),
      s.threshold === undefined ? null : h("div", { class: "mark", style: { left: `${100 * s.threshold}%` }, title: t("findings.threshold", { threshold: percent(s.threshold) }) })),
    over ? h("div", { class: "muted wrap" }, (["landmark", "normal"].includes(s.role) ? [code(s.found.site)] : [code(s.found.finding), code(s.found.site)]).filter(Boolean).join(" · ")) : null,
    over && s.found.heatmap && s.found.heatmap !== viewer.shownHeatmap() ? h("button", { class: "button small", onclick: () => viewer.showHeatmap(s.found.heatmap) }, t("findings.show")) : null);
}

// identity names the model that gave the results, which may be an earlier version of the one that is loaded.
function identity(a, model) {
  const by = a.madeBy?.name ? a.madeBy : model;
  const loaded = model && by.version === model.version && by.digest === model.digest;
  const fact = (name, value) => value ? h("div", null, h("dt", null, name), h("dd", null, value)) : null;
  return h("dl", { class: "identity" },
    fact(t("study.model"), `${by ? `${by.name} ${by.version}` : a.model}${loaded ? "" : ` ${t("findings.not-loaded")}`}`), fact(t("findings.made-by"), by?.manufacturer),
    fact(t("findings.explanation"), loaded && `${t("findings.layer", { method: model.method, layer: model.layer })}${model.fallback ? `. ${model.fallback}` : ""}`), fact(t("findings.computed"), absolute(a.inferredAt)),
    fact(t("findings.use"), loaded && model.intended_use), fact(t("findings.digest"), by && h("code", { class: "uid", title: by.digest }, by.digest.slice(0, 16), "…")));
}
