// The peers results go to: how each fares, whether it answers, and what it accepts.
import { Fault, get, post } from "./api.js";
import { h, slot } from "./dom.js";
import { decimal, peerStatus, thead, time } from "./format.js";
import { expires, fact, up } from "./operations.js";
import { deliveries } from "./studies.js";
import { t } from "./words.js";

export function destinationsView() {
  const grid = slot("div", { class: "grid" }), matrix = h("div", { id: "matrix", "aria-live": "polite" });
  const answers = new Map(); // what was last said of each, kept over redraws

  // asked has a button ask, and keeps what is said.
  const asked = (name, button, out, what) => async () => {
    button.disabled = true;
    out.className = "muted";
    out.textContent = t("peers.asking");
    try {
      answers.set(name, await what());
    } catch (e) {
      if (!(e instanceof Fault)) throw e;
      answers.set(name, ["bad", `! ${e.what}: ${e.why}`]);
    }
    say(name, out);
    button.disabled = false;
  };
  function say(name, out) {
    const [tone, text] = answers.get(name) || ["muted", ""];
    out.className = `wrap ${tone}`;
    out.textContent = text;
  }
  const path = (name) => `/api/v1/destinations/${encodeURIComponent(name)}`;
  async function echo(name) {
    const r = await post(`${path(name)}/echo`);
    return r.ok ? ["good", `✓ ${t("peers.answered", { ms: decimal(r.milliseconds, 1), status: peerStatus(r.status) })}`] : ["bad", `! ${[peerStatus(r.status), r.reason].filter(Boolean).join(": ")}`];
  }
  async function retry(name) {
    return ["good", `✓ ${t("peers.put-back", { n: (await post(`${path(name)}/retry`)).retried })}`];
  }
  async function accepts(name) {
    const m = await post(`${path(name)}/accepts`);
    matrix.replaceChildren(...(m.ok ? [accepted(name, m)] : []));
    if (!m.ok) return ["bad", `! ${m.reason}`];
    matrix.scrollIntoView({ block: "nearest" });
    return ["good", `✓ ${t("peers.accepts-asked", { ms: decimal(m.milliseconds, 1) })}`];
  }

  return {
    title: () => t("peers.title"), interval: () => 5000,
    el: h("div", null, h("div", { class: "head" }, h("h1", null, t("peers.title")), h("p", { class: "muted" }, t("peers.about"))), grid.el, matrix),
    async read(signal) {
      const { destinations } = await get("/api/v1/destinations", signal);
      grid.show(destinations, () => destinations.length ? destinations.map((d) => {
        const out = h("p", { role: "status", "aria-live": "polite" });
        const button = (id, text, what) => {
          const b = h("button", { class: "button", id: `${id}-${d.name}` }, text);
          b.addEventListener("click", asked(d.name, b, out, () => what(d.name)));
          return b;
        };
        say(d.name, out);
        return h("section", { class: "card" }, h("div", { class: "row between" }, h("h2", null, d.name), up(d)),
          h("dl", { class: "facts" }, d.ae_title ? fact(t("peers.ae-title"), h("code", null, d.ae_title)) : null, fact(t("peers.address"), h("code", null, d.address)), fact(t("peers.kind"), d.kind),
            fact(t("peers.last-confirmed"), time(d.last_at)), d.expires_at ? fact(t("operations.certificate"), expires(d.expires_at)) : null),
          deliveries(d.counts),
          d.last_error ? h("div", { class: "notice warn wrap" }, h("strong", null, t("peers.waiting")), " ", d.last_error, d.next_at ? [" ", t("peers.next-try"), " ", time(d.next_at)] : null) : null,
          h("div", { class: "row" }, button("echo", d.kind === "dicom" ? t("peers.echo") : t("peers.connect"), echo), d.kind === "dicom" ? button("accepts", t("peers.accepts"), accepts) : null,
            d.retriable_count ? button("retry", t("peers.send-again", { n: d.retriable_count }), retry) : null,
            h("a", { class: "button quiet", href: `#/outbox?${new URLSearchParams({ destination: d.name, state: "pending" })}` }, t("peers.in-queue", { n: d.counts.pending }))), out);
      }) : h("div", { class: "empty" }, h("h2", null, t("peers.none")), h("p", null, t("peers.none-about"))));
    },
  };
}

// accepted is what a peer accepts: a row for each SOP class, a column for each transfer syntax that any of them was proposed in.
function accepted(name, m) {
  const columns = [...new Map(m.classes.flatMap((c) => c.syntaxes.map((s) => [s.transfer_syntax_uid, s.name]))).entries()];
  const cell = (s) => !s ? h("td", { class: "muted" }, h("span", { class: "hidden" }, t("peers.not-proposed")))
    : h("td", { class: s.accepted ? "good" : "bad", title: s.result }, h("span", { "aria-hidden": "true" }, s.accepted ? "✓" : "×"), h("span", { class: "hidden" }, s.result));
  const row = (c) => h("tr", null, h("th", { scope: "row" }, c.name, h("div", { class: "muted" }, c.made_here ? t("peers.made-here") : t("peers.forwarded"))), columns.map(([uid]) => cell(c.syntaxes.find((s) => s.transfer_syntax_uid === uid))));
  return h("section", { class: "card" }, h("h2", null, t("peers.matrix", { name })), h("p", { class: "muted" }, t("peers.matrix-about")),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": t("peers.matrix", { name }) }, h("table", { class: "matrix" },
      h("thead", null, h("tr", null, h("th", { scope: "col" }, t("peers.sop-class")), columns.map(([uid, text]) => h("th", { scope: "col", title: uid }, h("span", null, text))))),
      h("tbody", null, m.classes.map(row)))));
}
