// A report draft and what somebody changes in it: its newest version, the edits that are not saved yet, and what becomes of them. They
// are saved as the next version, or held against another one that came between. Until then they are kept in this tab of the browser: a
// reload, a lost connection, or a sign-in that has ended loses none.
import { Fault, change, get } from "./api.js";

export const historyPage = 1000; // versions that the gateway gives at a time, at most
export const versionOf = (d) => `${d.number}.${d.version}`;
const places = (name) => `endogate-draft/${name}/`;
const stored = (name) => Object.keys(sessionStorage).filter((k) => k.startsWith(places(name)));
// unsaved says whether somebody has written in any draft what is kept in this tab alone; forgotten leaves that away.
export const unsaved = (name) => stored(name).length > 0;
export const forgotten = (name) => stored(name).forEach((k) => sessionStorage.removeItem(k));
const editable = (d) => d.standing === "draft" || d.standing === "amending";

// openDesk returns the desk for a study; me is who asks (/api/v1/me), named resolves to who a person without sign-in says to be, and
// changed is called whenever something is to be drawn anew.
export function openDesk(uid, me, named, changed) {
  const path = `/api/v1/studies/${encodeURIComponent(uid)}/draft`, place = places(me.name) + uid;
  const kept = JSON.parse(sessionStorage.getItem(place) || "null");
  let edits = kept?.edits || [], sending = [], saving = null;
  const desk = {
    doc: null, // the newest version
    base: null, // the version that the edits were made in
    clash: false, // the newest version is not the one that the edits were made in
    newer: "", // the newest version, where that is said to somebody who still writes
    lost: false, // the gateway did not answer
    fault: null, // why the edits were not saved
    get edits() { return [...sending, ...edits]; },
    get saving() { return !!saving; },
    get unsaved() { return sending.length + edits.length > 0; },
    get editable() { return !!desk.doc && !desk.clash && editable(desk.doc) && me.rights.includes("report"); },
    version: (number, version, signal) => get(`${path}?${new URLSearchParams({ number, version })}`, signal),
    history: (offset, signal) => get(`${path}/history?limit=${historyPage}&offset=${offset}`, signal),
    pdf: (d) => `${path}.pdf?${new URLSearchParams({ number: d.number, version: d.version })}`,

    async read(signal) {
      const had = desk.lost;
      try {
        const newest = await get(path, signal);
        desk.lost = false;
        if (saving) return; // what comes of it is newer
        if (desk.unsaved && desk.base && !desk.clash) desk.newer = versionOf(newest) === versionOf(desk.base) ? "" : versionOf(newest); // who writes meets it when saving
        else await meet(newest, signal);
        changed();
      } catch (e) {
        if (e.status === 0 && desk.unsaved) desk.lost = true;
        changed();
        throw e;
      }
      if (had) await desk.save();
    },
    // edit takes edits over and saves them, with all that was not saved before; the error is of an edit that cannot be made.
    edit(...made) {
      desk.write(...made);
      return desk.save();
    },
    // write takes over what is still being written.
    write(...made) {
      made.forEach(add);
      keep();
      changed();
    },
    // forget leaves away what was not saved and is like that.
    forget(like) {
      edits = edits.filter((e) => !like(e));
      if (!desk.unsaved) settle();
      keep();
      changed();
    },
    async save() {
      if (saving) { // one after another: each is about the version that the one before has made
        await saving.catch(() => {});
        return edits.length ? desk.save() : undefined;
      }
      if (!edits.length || desk.clash || !desk.doc) return changed();
      saving = send();
      try { await saving; } finally { saving = null; keep(); changed(); }
    },
    // merged saves what a person has made of two versions as the version after the newest.
    merged(list) {
      edits = list;
      settle();
      keep();
      return desk.save();
    },
    // reopen amends what was signed or withdrawn amid the edits, and brings them into that.
    async reopen(reason, list) {
      const whole = await by({ reason });
      if (!whole) return;
      try {
        desk.doc = await change("POST", `${path}/amend`, versionOf(desk.doc), whole);
        await desk.merged(list);
      } catch (e) {
        if (!(e instanceof Fault)) throw e;
        desk.fault = e;
        await meet(await get(path));
      }
    },
    // settled saves all edits, and says whether all are in the newest version: what is asked about a version as a whole is about what can be read of it.
    async settled() {
      await desk.save();
      return !desk.unsaved;
    },
    // undo makes a version that is as an earlier one was.
    undo: (version) => act("PATCH", path, version ? { edits: [{ op: "undo", version }] } : { edits: [{ op: "undo" }] }),
    // Who signs, amends or withdraws does it to the version that they were asked about, whatever has come since.
    sign: (version) => act("POST", `${path}/sign`, {}, version),
    amend: (version, reason) => act("POST", `${path}/amend`, { reason }, version),
    withdraw: (version, reason) => act("POST", `${path}/withdraw`, { reason }, version),
  };
  return desk;

  function settle() {
    Object.assign(desk, { base: desk.doc, clash: false, newer: "", fault: null });
  }

  function keep() {
    if (!desk.unsaved) return sessionStorage.removeItem(place);
    const { number, version } = desk.base || kept;
    sessionStorage.setItem(place, JSON.stringify({ number, version, edits: desk.edits }));
  }

  // add puts an edit behind the others, in the place of one that it makes needless.
  function add(e) {
    const same = (o) => o.op === e.op && (e.op === "section" ? o.section === e.section : e.op === "order");
    const last = edits.at(-1);
    if (e.op === "section" || e.op === "order" && last?.op === "order") edits = edits.filter((o) => !same(o));
    else if (/^(accept|reject)$/.test(e.op) && /^(accept|reject)$/.test(last?.op) && last.finding === e.finding) edits = edits.slice(0, -1);
    else if (e.op === "change") {
      const before = edits.findLast((o) => o.finding === e.finding && o.op !== "choose");
      if (before?.op === "change") {
        edits = edits.filter((o) => o !== before);
        e = { ...before, ...e };
      }
    }
    edits = [...edits, e];
  }

  // meet takes over the newest version; where edits were made in another one, both are there to be shown.
  async function meet(newest, signal) {
    if (desk.unsaved && !desk.base) {
      const had = kept.number === newest.number && kept.version === newest.version ? newest : await desk.version(kept.number, kept.version, signal);
      desk.base = had;
    }
    if (desk.doc && desk.doc.number === newest.number && desk.doc.version > newest.version) return; // an answer that was overtaken
    desk.doc = newest;
    desk.newer = "";
    if (!desk.unsaved) desk.base = newest;
    desk.clash = desk.unsaved && (versionOf(desk.base) !== versionOf(newest) || !editable(newest));
    changed();
  }

  async function by(body) {
    if (me.signed_in) return body;
    const author = await named();
    return author ? { ...body, author } : null;
  }

  async function send() {
    sending = edits;
    edits = [];
    changed();
    const back = (made) => {
      const later = edits;
      edits = made;
      sending = [];
      later.forEach(add);
    };
    try {
      const whole = await by({ edits: sending });
      if (!whole) return back(sending);
      desk.doc = await change("PATCH", path, versionOf(desk.doc), whole);
      sending = [];
      settle();
      desk.lost = false;
    } catch (e) {
      if (!(e instanceof Fault)) throw e;
      const bad = e.status === 422 ? Number(/^edit (\d+) /.exec(e.plain.why)?.[1]) : 0;
      back(sending.filter((s, i) => i !== bad - 1 || /^(section|change)$/.test(s.op))); // one that cannot be made would keep all from being made, but what somebody wrote is theirs to mend
      desk.lost = e.status === 0;
      desk.fault = desk.lost ? null : e;
      if (e.status === 412 || e.status === 409) await meet(await get(path));
    }
  }

  // act does what is about a version as a whole, once all edits are in it. It resolves to whether it was done.
  async function act(method, to, body, version) {
    if (!await desk.settled()) return false; // and it is said why
    const whole = await by(body);
    if (!whole) return false;
    try {
      desk.doc = await change(method, to, version || versionOf(desk.doc), whole);
      settle();
      return true;
    } catch (e) {
      if (!(e instanceof Fault)) throw e;
      desk.fault = e;
      if (e.status === 412 || e.status === 409) await meet(await get(path));
      return false;
    } finally {
      changed();
    }
  }
}

// projected is a document as it will be once edits are saved; what each touches is marked.
export function projected(doc, edits) {
  const d = structuredClone(doc);
  const is = (e) => (k) => (k.finding || "") === (e.finding || "") && k.frame.instance.sop_instance_uid === e.instance && k.frame.span.first === (e.frame || 1);
  for (const e of edits) {
    const f = e.finding && d.findings.find((x) => x.id === e.finding), s = e.section && d.sections.find((x) => x.name === e.section);
    if (f) f.unsaved = true;
    if (s) Object.assign(s, { text: e.text || todo, unsaved: true });
    if (f && e.op === "accept") Object.assign(f, { decision: "accepted", code: f.proposal || f.code, site: f.site_proposal || f.site });
    if (f && e.op === "reject") f.decision = "rejected";
    if (f && e.op === "remove") d.findings = d.findings.filter((x) => x !== f);
    if (f && e.op === "change") {
      const { op, finding, ...fields } = e;
      Object.assign(f, fields, { decision: fields.code || fields.site || f.decision === "changed" ? "changed" : "accepted" });
    }
    if (e.op === "add") d.findings.push({ id: `new ${d.findings.length}`, role: "finding", decision: "accepted", by: {}, frames: [], why: "", site: {}, unsaved: true, ...e });
    if (e.op === "drop") d.key_images = d.key_images.filter((k) => !is(e)(k));
    if (e.op === "choose") {
      if (f) d.key_images = d.key_images.filter((k) => k.finding !== e.finding || !k.by.system || is(e)(k));
      const image = d.examination.instances.find((i) => i.instance.sop_instance_uid === e.instance);
      if (!d.key_images.some(is(e))) d.key_images.push({ finding: e.finding || "", frame: { instance: { sop_instance_uid: e.instance }, instance_number: image?.instance_number, span: { first: e.frame || 1 } }, by: {}, caption: "", why: "", unsaved: true });
    }
    if (e.op === "order") d.key_images = e.images.map((r) => d.key_images.find(is(r))).filter(Boolean);
  }
  return d;
}

export const todo = "[to be completed]"; // where a person has to write, in the texts of a draft whatever its language
// What draft.Finding's Stands says: rejected by nobody, and not retracted before a person decided about it.
export const stands = (f) => f.decision !== "rejected" && !(f.retracted && f.decision === "proposed");
