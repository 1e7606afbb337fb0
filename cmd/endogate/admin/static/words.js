// What the page says, in the language of its document: texts of the gateway's catalogue (languages/*.json), with plurals and numbers as
// that language has them.
const language = document.documentElement.lang;
const catalogue = await (await fetch(`/assets/catalogue.${language}.json`)).json();

// locale is the language as this browser has it set: en-GB writes other dates than en-US.
export const locale = navigator.languages.find((l) => l.split("-")[0] === language) || language;
const forms = new Intl.PluralRules(language), numbers = new Intl.NumberFormat(locale);

function text(key, values) {
  const said = catalogue[key];
  if (said === undefined) throw new Error(`no text: ${language}.${key}`);
  return typeof said === "string" ? said : said[forms.select(values.n)];
}

// apart keeps a text that runs from right to left, as names in Hebrew or Arabic do, from pulling what stands beside it along.
const rightToLeft = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]|\ud802|\ud803|\ud83a|\ud83b/;
export const apart = (text) => typeof text === "string" && rightToLeft.test(text) ? `\u2068${text}\u2069` : text;

// parts is what key says, {name} filled in from values, as a list: a value may be an element.
export function parts(key, values = {}) {
  return text(key, values).split(/\{([a-z]+)\}/).map((part, i) => i % 2 === 0 ? part : typeof values[part] === "number" ? numbers.format(values[part]) : apart(values[part]));
}

// t is what key says, {name} filled in from values; where it has plural forms, values.n chooses.
export const t = (key, values) => parts(key, values).join("");

// named is what a word of the gateway's is called: the text of kind.word, or the word itself where there is none.
export const named = (kind, word) => catalogue[`${kind}.${word}`] ?? word;

// said is what the gateway said, in the language of the page: the whole, or else what stands before and behind a colon. What it says of
// somebody's file, model or peer stays as it is.
export function said(text) {
  const at = text.indexOf(": ");
  return catalogue[`said.${text}`] ?? (at < 0 ? text : `${named("said", text.slice(0, at))}: ${said(text.slice(at + 2))}`);
}
