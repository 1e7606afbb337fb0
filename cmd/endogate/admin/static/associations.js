// What peers ask of the gateway, association by association, while it happens.
import { get } from "./api.js";
import { h, slot } from "./dom.js";
import { bytes, chip, decimal, peerStatus, shortUID, thead, time } from "./format.js";
import { named, t } from "./words.js";
import { fact, within } from "./operations.js";

const ends = (a) => !a.ended ? chip({ stands: ["info", "◔", t("associations.stands")] }, "stands")
  : chip({ [a.ended]: a.ended === "released" ? ["good", "✓", named("ended", a.ended)] : ["bad", "!", named("ended", a.ended)] }, a.ended);

export function associationsView({ rest }) {
  return rest?.[0] ? one(rest[0]) : list();
}

function list() {
  const rows = slot("div");
  return {
    title: () => t("operations.associations"), interval: () => 2000,
    el: h("div", null, within("associations", h("p", { class: "muted" }, t("associations.about"))), rows.el),
    async read(signal) {
      const { associations } = await get("/api/v1/associations", signal);
      rows.show(associations, () => associations.length ? h("table", { class: "list" }, thead(t("associations.peer"), t("associations.began"), t("associations.end"), `#${t("associations.requests")}`, `#${t("associations.failed")}`, `#${t("associations.size")}`),
        h("tbody", null, associations.map((a) => h("tr", { class: "link" }, h("th", { scope: "row", "data-label": t("associations.peer") }, h("a", { class: "cover", href: `#/associations/${a.id}` }, h("code", null, a.calling_ae)),
          h("div", { class: "muted" }, a.remote, a.tls ? " · TLS" : null)), h("td", { "data-label": t("associations.began") }, time(a.began_at)),
          h("td", { "data-label": t("associations.end") }, ends(a), a.reason ? h("div", { class: "muted wrap" }, a.reason) : null), h("td", { class: "num", "data-label": t("associations.requests") }, a.requests),
          h("td", { class: `num ${a.failed ? "bad" : ""}`, "data-label": t("associations.failed") }, a.failed), h("td", { class: "num", "data-label": t("associations.size") }, bytes(a.bytes))))))
        : h("div", { class: "empty" }, h("h2", null, t("associations.none")), h("p", null, t("associations.none-about"))));
    },
  };
}

// one is an association: what is new of it is asked for, and added below.
function one(id) {
  const head = slot("section", { class: "card" }), contexts = slot("section", { class: "card" });
  const steps = h("tbody", { id: "steps", "aria-live": "off" });
  let behind = 0, ended = false;
  return {
    title: () => t("associations.one", { id }), interval: () => ended ? 60000 : 1000,
    el: h("div", null, within("associations"), head.el, contexts.el, h("section", { class: "card" }, h("h2", null, t("associations.log")),
      h("table", { class: "list small" }, thead("#", t("associations.at"), t("associations.what"), t("associations.object"), t("associations.answer"), `#${t("associations.size")}`, `#${t("associations.took")}`), steps))),
    async read(signal) {
      const a = await get(`/api/v1/associations/${encodeURIComponent(id)}?behind=${behind}`, signal);
      ended = a.ended !== "";
      head.show([a.ended, a.requests, a.failed], () => [h("div", { class: "row between" }, h("h2", null, h("code", null, a.calling_ae)), ends(a)), a.reason ? h("p", { class: "wrap" }, a.reason) : null,
        h("dl", { class: "facts" }, fact(t("associations.called"), h("code", null, a.called_ae)), fact(t("associations.from"), h("code", null, a.remote)), fact("TLS", a.tls ? t("associations.yes") : t("associations.no")),
          fact(t("associations.began"), time(a.began_at)), fact(t("associations.ended"), time(a.ended_at)), fact(t("associations.requests"), a.requests), fact(t("associations.failed"), a.failed))]);
      contexts.show(a.contexts, () => [h("h2", null, t("associations.negotiated")), h("table", { class: "list small" }, thead("#ID", t("peers.sop-class"), t("associations.syntax"), t("associations.result")),
        h("tbody", null, a.contexts.map((c) => h("tr", null, h("td", { class: "num" }, c.id), h("th", { scope: "row" }, c.sop_class), h("td", null, c.transfer_syntax || "–"), h("td", { class: c.transfer_syntax ? "good" : "bad" }, c.result)))))]);
      for (const s of a.steps) {
        behind = s.number;
        steps.append(h("tr", null, h("td", { class: "num" }, s.number), h("td", null, time(s.at)), h("td", null, s.command), h("td", null, h("div", null, s.sop_class), s.sop_instance_uid ? shortUID(s.sop_instance_uid) : null),
          h("td", { class: s.status === "0000" ? "good" : "bad" }, peerStatus(s.status)), h("td", { class: "num" }, bytes(s.bytes)), h("td", { class: "num" }, t("associations.ms", { ms: decimal(s.milliseconds, 1) }))));
      }
    },
  };
}
