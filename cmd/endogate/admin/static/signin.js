// Who signs in comes to the view that they had, also in another language.
for (const form of document.forms) form.action += location.hash;
for (const a of document.querySelectorAll(".languages a")) a.hash = location.hash;
