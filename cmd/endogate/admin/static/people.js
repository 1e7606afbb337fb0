// Who may what: users, tokens of programs, and who has signed in. For administrators.
import { Fault, get, send } from "./api.js";
import { ask, h, question, slot } from "./dom.js";
import { thead, time } from "./format.js";

const roles = ["viewer", "clinician", "operator", "administrator"];
const ways = { password: "password", oidc: "the hospital's sign-in", proxy: "the proxy" };
const choice = (id, label, value, onchange) => [h("label", { for: id, class: "hidden" }, label),
  h("select", { id, onchange }, roles.map((r) => h("option", { value: r, selected: r === value }, r)))];

// change does what may have to be proved first: a password that was given long ago is asked for once more.
async function change(method, path, body) {
  try {
    return await send(method, path, body);
  } catch (e) {
    if (!(e instanceof Fault) || e.status !== 428 || e.next.includes("/signin/provider")) throw e;
    const password = await question("Is it you?", "Changes to who may what ask for your password from time to time.", "Password", "password");
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
        e.next.includes("/signin/provider") ? h("a", { class: "button", href: "/signin/provider?again=1" }, "Sign in again") : null));
    }
    again();
  };
  const at = (name) => `/api/v1/users/${encodeURIComponent(name)}`;
  const shown = (name, r) => ["Give ", h("strong", null, name), " this link; it sets a password, once, until ", time(r.until), ":", h("code", { class: "wrap select" }, `${location.origin}${r.path}`)];

  const newUser = h("form", { class: "row", onsubmit: (e) => {
    e.preventDefault();
    const f = new FormData(e.target), name = f.get("name").trim().toLowerCase();
    act(() => change("POST", "/api/v1/users", { name, role: f.get("role") }), (r) => { e.target.reset(); return shown(name, r); });
  } }, h("label", { for: "new-name" }, "Name"), h("input", { id: "new-name", name: "name", required: true, maxlength: 64, autocomplete: "off", autocapitalize: "none", spellcheck: "false" }),
  h("label", { for: "new-role" }, "Role"), h("select", { id: "new-role", name: "role" }, roles.map((r) => h("option", { value: r }, r))), h("button", { class: "button primary" }, "Add user"));

  const newToken = h("form", { class: "row", onsubmit: (e) => {
    e.preventDefault();
    const f = new FormData(e.target);
    act(() => change("POST", "/api/v1/tokens", { name: f.get("name").trim(), role: f.get("role"), expires: `${24 * f.get("days")}h` }),
      (r) => { e.target.reset(); return ["The token is shown once: ", h("code", { class: "wrap select" }, r.token)]; });
  } }, h("label", { for: "token-name" }, "What for"), h("input", { id: "token-name", name: "name", required: true, maxlength: 64, autocomplete: "off", autocapitalize: "none", spellcheck: "false" }),
  h("label", { for: "token-role" }, "Role"), h("select", { id: "token-role", name: "role" }, roles.map((r) => h("option", { value: r }, r))),
  h("label", { for: "token-days" }, "Days"), h("input", { id: "token-days", name: "days", type: "number", min: 1, max: 3650, value: 90, required: true }), h("button", { class: "button primary" }, "Make token"));

  const userRow = (u, me) => h("tr", null, h("th", { scope: "row", "data-label": "Name" }, u.name),
    h("td", { "data-label": "Role" }, u.name === me ? u.role : choice(`role-${u.name}`, `Role of ${u.name}`, u.role, (e) => act(() => change("PATCH", at(u.name), { role: e.target.value }), () => `${u.name} is a ${e.target.value} now, and signs in again.`))),
    h("td", { "data-label": "State" }, u.disabled ? h("span", { class: "bad" }, "disabled") : u.ready ? "signs in" : u.setup_until ? ["has a link until ", time(u.setup_until)] : "has no password"),
    h("td", { "data-label": "Since" }, time(u.created)),
    h("td", { class: "acts" }, h("button", { class: "button", id: `link-${u.name}`, onclick: () => act(() => change("POST", `${at(u.name)}/link`), (r) => shown(u.name, r)) }, "New link"),
      u.name === me ? null : h("button", { class: "button", id: `disable-${u.name}`, onclick: () => act(() => change("PATCH", at(u.name), { disabled: !u.disabled }), () => `${u.name} can${u.disabled ? "" : " no longer"} sign in.`) }, u.disabled ? "Enable" : "Disable"),
      u.name === me ? null : h("button", { class: "button danger", id: `remove-${u.name}`, onclick: async () => {
        if (await ask(`Remove ${u.name}?`, "The name may be given to somebody else then. To keep it, disable the user.", "Remove")) act(() => change("DELETE", at(u.name)), () => `${u.name} is removed.`);
      } }, "Remove")));
  const tokenRow = (t) => h("tr", null, h("th", { scope: "row", "data-label": "What for" }, t.name), h("td", { "data-label": "Role" }, t.role), h("td", { "data-label": "Only" }, t.scope.join(", ") || "–"),
    h("td", { "data-label": "Until" }, time(t.expires), new Date(t.expires) < new Date() ? h("span", { class: "bad" }, " expired") : null),
    h("td", null, h("button", { class: "button danger", id: `revoke-${t.id}`, onclick: async () => {
      if (await ask(`Revoke ${t.name}?`, "The program that has it is refused at once.", "Revoke")) act(() => change("DELETE", `/api/v1/tokens/${encodeURIComponent(t.id)}`), () => `${t.name} is revoked.`);
    } }, "Revoke")));
  const sessionRow = (s) => h("tr", null, h("th", { scope: "row", "data-label": "Name" }, s.name), h("td", { "data-label": "Role" }, s.role), h("td", { "data-label": "By" }, ways[s.method] || s.method),
    h("td", { "data-label": "From" }, h("code", null, s.from || "–")), h("td", { "data-label": "Since" }, time(s.since)), h("td", { "data-label": "Ends" }, time(s.ends)),
    h("td", null, s.own ? h("span", { class: "muted" }, "this one") : h("button", { class: "button danger", id: `end-${s.id}`, onclick: () => act(() => change("DELETE", `/api/v1/sessions/${encodeURIComponent(s.id)}`), () => `The session of ${s.name} has ended.`) }, "End")));
  const list = (head, rows, none) => rows.length ? h("table", { class: "list" }, head, h("tbody", null, rows)) : h("p", { class: "muted" }, none);

  return {
    title: () => "People", interval: () => 10000,
    el: h("div", null, h("div", { class: "head" }, h("h1", null, "People"), h("p", { class: "muted" }, "Who may sign in, which programs may ask, and who is here now. What is changed here is in the audit trail.")), said,
      h("section", { class: "card" }, h("h2", null, "Users"), users.el, newUser), h("section", { class: "card" }, h("h2", null, "Tokens"), tokens.el, newToken), h("section", { class: "card" }, h("h2", null, "Signed in now"), sessions.el)),
    async read(signal, now) {
      again = now;
      const [me, u, t, s] = await Promise.all([get("/api/v1/me", signal), get("/api/v1/users", signal), get("/api/v1/tokens", signal), get("/api/v1/sessions", signal)]);
      users.show([u, me.name], () => list(thead("Name", "Role", "State", "Since", ""), u.users.map((one) => userRow(one, me.name)), "There are no users here."));
      tokens.show(t, () => list(thead("What for", "Role", "Only", "Until", ""), t.tokens.map(tokenRow), "There are no tokens."));
      sessions.show(s, () => list(thead("Name", "Role", "By", "From", "Since", "Ends", ""), s.sessions.map(sessionRow), "Nobody has signed in."));
    },
  };
}
