// What is done to a report as a whole: each is asked about in a dialog that names what it does.
import { asking, h } from "./dom.js";
import { t } from "./words.js";
import { todo, versionOf } from "./desk.js";

// confirmed shows a question and resolves to whether it was confirmed; of one that wants a reason, to the reason.
export function confirmed({ title, said, yes, danger, reason }) {
  if (asking()) return Promise.resolve(false);
  return new Promise((resolve) => {
    const field = reason ? h("input", { id: "act-reason", required: true, maxlength: 250, autocomplete: "off" }) : null;
    const dialog = h("dialog", { class: "dialog act", "aria-labelledby": "act-title" },
      h("form", { method: "dialog" }, h("h2", { id: "act-title" }, title), h("ul", null, said.filter(Boolean).map((s) => h("li", null, s))),
        field ? [h("label", { for: "act-reason" }, t("report.reason")), field] : null,
        h("div", { class: "row end" },
          h("button", { class: "button", type: "button", id: "act-no", onclick: () => dialog.close("") }, t("frame.cancel")),
          h("button", { class: `button ${danger ? "danger" : "primary"}`, id: "act-yes", value: "yes" }, yes))));
    dialog.addEventListener("close", () => { dialog.remove(); const done = dialog.returnValue === "yes"; resolve(reason ? done && field.value.trim() : done); });
    document.body.append(dialog);
    dialog.showModal();
    (field || dialog.querySelector("#act-yes")).focus();
  });
}

// open counts what a person has not done yet in d.
export const open = (d) => ({
  findings: d.findings.filter((f) => f.decision === "proposed" && !f.retracted).length,
  sections: d.sections.filter((s) => s.text.includes(todo)).length,
});

export async function sign(desk, me) {
  if (!await desk.settled()) return;
  const left = open(desk.doc), version = versionOf(desk.doc);
  const yes = await confirmed({
    title: t("report.sign.title", { version }), yes: t("report.sign"), said: [
      t("report.sign.makes"), desk.doc.standing === "amending" ? t("report.sign.sends-again") : t("report.sign.sends"),
      left.findings ? t("report.sign.undecided", { n: left.findings }) : t("report.sign.decided"),
      left.sections ? t("report.sign.open", { n: left.sections }) : null,
      me.signed_in ? t("report.sign.as", { name: me.name }) : t("report.sign.unknown"),
    ],
  });
  if (yes) await desk.sign(version);
}

// opens says what an amendment of d begins.
export const opens = (d) => d.standing === "withdrawn" ? t("report.amend.anew", { version: versionOf(d) }) : t("report.amend.opens", { version: versionOf(d) });

export async function amend(desk) {
  if (!await desk.settled()) return;
  const version = versionOf(desk.doc);
  const reason = await confirmed({
    title: t("report.amend.title", { version }), yes: t("report.amend"), reason: true,
    said: [opens(desk.doc), t("report.amend.until")],
  });
  if (reason) await desk.amend(version, reason);
}

export async function withdraw(desk) {
  if (!await desk.settled()) return;
  const version = versionOf(desk.doc);
  const reason = await confirmed({
    title: t("report.withdraw.title", { version }), yes: t("report.withdraw"), danger: true, reason: true,
    said: [t("report.withdraw.makes"), desk.doc.standing === "draft" ? t("report.withdraw.draft") : t("report.withdraw.sends"), t("report.withdraw.after")],
  });
  if (reason) await desk.withdraw(version, reason);
}
