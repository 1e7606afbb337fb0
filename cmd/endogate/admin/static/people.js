// Who may what: users, tokens of programs, and who has signed in. For administrators.
import { Fault, get, send } from "./api.js";
import { ask, h, question, slot } from "./dom.js";
import { thead, time } from "./format.js";
import { named, parts, t } from "./words.js";

const roles = ["viewer", "clinician", "operator", "administrator"];
const choice = (id, label, value, onchange) => [h("label", { for: id, class: "hidden" }, label),
  h("select", { id, onchange }, roles.map((r) => h("option", { value: r, selected: r === value }, named("role", r))))];

// change does what may have to be proved first: a password that was given long ago is asked for once more.
async function change(method, path, body) {
  try {
    return await send(method, path, body);
  } catch (e) {
    if (!(e instanceof Fault) || e.status !== 428 || e.plain.next.includes("/signin/provider")) throw e;
    const password = await question(t("people.is-it-you"), t("people.prove"), t("signin.password"), "password");
    if (!password) throw e;
    await send("POST", "/api/v1/prove", { password });
    return send(method, path, body);
  }
}

export function peopleView() {
  const users = slot("div"), tokens = slot("div"), sessions = slot("div"), said = h("div", { role: "status", "aria-live": "polite" });
  let again = () => {};
  // act does something, says what came of it and reads the lists anew.
  const act = async (doing, done) => {
    try {
      const r = await doing();
      said.replaceChildren(h("div", { class: "notice" }, done(r)));
    } catch (e) {
      if (!(e instanceof Fault)) throw e;
      said.replaceChildren(h("div", { class: "notice bad" }, h("strong", null, e.what), ": ", e.why, h("div", { class: "muted" }, e.next),
        e.plain.next.includes("/signin/provider") ? h("a", { class: "button", href: "/signin/provider?again=1" }, t("people.again")) : null));
    }
    again();
  };
  const at = (name) => `/api/v1/users/${encodeURIComponent(name)}`;
  const shown = (name, r) => [...parts("people.link", { name: h("strong", null, name), until: time(r.until) }), h("code", { class: "wrap select" }, `${location.origin}${r.path}`)];

  const newUser = h("form", { class: "row", onsubmit: (e) => {
    e.preventDefault();
    const f = new FormData(e.target), name = f.get("name").trim().toLowerCase();
    act(() => change("POST", "/api/v1/users", { name, role: f.get("role") }), (r) => { e.target.reset(); return shown(name, r); });
  } }, h("label", { for: "new-name" }, t("people.name")), h("input", { id: "new-name", name: "name", required: true, maxlength: 64, autocomplete: "off", autocapitalize: "none", spellcheck: "false" }),
  h("label", { for: "new-role" }, t("people.role")), h("select", { id: "new-role", name: "role" }, roles.map((r) => h("option", { value: r }, named("role", r)))), h("button", { class: "button primary" }, t("people.add")));

  const newToken = h("form", { class: "row", onsubmit: (e) => {
    e.preventDefault();
    const f = new FormData(e.target);
    act(() => change("POST", "/api/v1/tokens", { name: f.get("name").trim(), role: f.get("role"), expires: `${24 * f.get("days")}h` }),
      (r) => { e.target.reset(); return [t("people.token-once"), " ", h("code", { class: "wrap select" }, r.token)]; });
  } }, h("label", { for: "token-name" }, t("people.what-for")), h("input", { id: "token-name", name: "name", required: true, maxlength: 64, autocomplete: "off", autocapitalize: "none", spellcheck: "false" }),
  h("label", { for: "token-role" }, t("people.role")), h("select", { id: "token-role", name: "role" }, roles.map((r) => h("option", { value: r }, named("role", r)))),
  h("label", { for: "token-days" }, t("people.days")), h("input", { id: "token-days", name: "days", type: "number", min: 1, max: 3650, value: 90, required: true }), h("button", { class: "button primary" }, t("people.make-token")));

  const userRow = (u, me) => h("tr", null, h("th", { scope: "row", "data-label": t("people.name") }, u.name),
    h("td", { "data-label": t("people.role") }, u.name === me ? named("role", u.role) : choice(`role-${u.name}`, t("people.role-of", { name: u.name }), u.role, (e) => act(() => change("PATCH", at(u.name), { role: e.target.value }), () => t("people.now-is", { name: u.name, role: named("role", e.target.value) })))),
    h("td", { "data-label": t("people.state") }, u.disabled ? h("span", { class: "bad" }, t("people.disabled")) : u.ready ? t("people.signs-in") : u.setup_until ? parts("people.has-link", { until: time(u.setup_until) }) : t("people.no-password")),
    h("td", { "data-label": t("people.since") }, time(u.created)),
    h("td", { class: "acts" }, h("button", { class: "button", id: `link-${u.name}`, onclick: () => act(() => change("POST", `${at(u.name)}/link`), (r) => shown(u.name, r)) }, t("people.new-link")),
      u.name === me ? null : h("button", { class: "button", id: `disable-${u.name}`, onclick: () => act(() => change("PATCH", at(u.name), { disabled: !u.disabled }), () => u.disabled ? t("people.can", { name: u.name }) : t("people.cannot", { name: u.name })) }, u.disabled ? t("people.enable") : t("people.disable")),
      u.name === me ? null : h("button", { class: "button danger", id: `remove-${u.name}`, onclick: async () => {
        if (await ask(t("people.remove-whom", { name: u.name }), t("people.remove-why"), t("people.remove"))) act(() => change("DELETE", at(u.name)), () => t("people.removed", { name: u.name }));
      } }, t("people.remove"))));
  const tokenRow = (k) => h("tr", null, h("th", { scope: "row", "data-label": t("people.what-for") }, k.name), h("td", { "data-label": t("people.role") }, named("role", k.role)), h("td", { "data-label": t("people.only") }, k.scope.join(", ") || "–"),
    h("td", { "data-label": t("people.until") }, time(k.expires), new Date(k.expires) < new Date() ? h("span", { class: "bad" }, " ", t("people.expired")) : null),
    h("td", null, h("button", { class: "button danger", id: `revoke-${k.id}`, onclick: async () => {
      if (await ask(t("people.revoke-which", { name: k.name }), t("people.revoke-why"), t("people.revoke"))) act(() => change("DELETE", `/api/v1/tokens/${encodeURIComponent(k.id)}`), () => t("people.revoked", { name: k.name }));
    } }, t("people.revoke"))));
  const sessionRow = (s) => h("tr", null, h("th", { scope: "row", "data-label": t("people.name") }, s.name), h("td", { "data-label": t("people.role") }, named("role", s.role)), h("td", { "data-label": t("people.by") }, named("way", s.method)),
    h("td", { "data-label": t("people.from") }, h("code", null, s.from || "–")), h("td", { "data-label": t("people.since") }, time(s.since)), h("td", { "data-label": t("people.ends") }, time(s.ends)),
    h("td", null, s.own ? h("span", { class: "muted" }, t("people.this-one")) : h("button", { class: "button danger", id: `end-${s.id}`, onclick: () => act(() => change("DELETE", `/api/v1/sessions/${encodeURIComponent(s.id)}`), () => t("people.ended", { name: s.name })) }, t("people.end"))));
  const list = (head, rows, none) => rows.length ? h("table", { class: "list" }, head, h("tbody", null, rows)) : h("p", { class: "muted" }, none);

  return {
    title: () => t("nav.people"), interval: () => 10000,
    el: h("div", null, h("div", { class: "head" }, h("h1", null, t("nav.people")), h("p", { class: "muted" }, t("people.what"))), said,
      h("section", { class: "card" }, h("h2", null, t("people.users")), users.el, newUser), h("section", { class: "card" }, h("h2", null, t("people.tokens")), tokens.el, newToken), h("section", { class: "card" }, h("h2", null, t("people.signed-in")), sessions.el)),
    async read(signal, now) {
      again = now;
      const [me, u, k, s] = await Promise.all([get("/api/v1/me", signal), get("/api/v1/users", signal), get("/api/v1/tokens", signal), get("/api/v1/sessions", signal)]);
      users.show([u, me.name], () => list(thead(t("people.name"), t("people.role"), t("people.state"), t("people.since"), ""), u.users.map((one) => userRow(one, me.name)), t("people.no-users")));
      tokens.show(k, () => list(thead(t("people.what-for"), t("people.role"), t("people.only"), t("people.until"), ""), k.tokens.map(tokenRow), t("people.no-tokens")));
      sessions.show(s, () => list(thead(t("people.name"), t("people.role"), t("people.by"), t("people.from"), t("people.since"), t("people.ends"), ""), s.sessions.map(sessionRow), t("people.nobody")));
    },
  };
}
