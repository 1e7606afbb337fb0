// Holds Kubernetes objects, an array of them in JSON on the standard input, against the schemas of the npm packages
// kubernetes-models and @kubernetes-models/keda in the folder named: types, enumerations, what is required, and keys
// that no schema knows. Prints a line for each fault.
import { readFileSync, existsSync } from 'node:fs';
import { register } from 'node:module';
import { pathToFileURL } from 'node:url';

// Of the package with their formats only quantities matter here; in place of the rest, and of what it needs, stands this.
const formats = `const any = Object.assign(() => true, { test: () => true });
const quantity = /^[+-]?(\\d+|\\d+\\.\\d*|\\.\\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\\d+)?$/;
export const formats = new Proxy({}, { get: (_, name) => ({ validate: name === 'quantity' ? quantity : any }) });`;
register('data:text/javascript,' + encodeURIComponent(`export async function resolve(name, context, next) {
  if (name !== '@kubernetes-models/validate') return next(name, context);
  return { url: 'data:text/javascript,' + encodeURIComponent(${JSON.stringify(formats)}), shortCircuit: true };
}`));

const modules = process.argv[2];

// validatorOf finds the schema of a kind: the class of the kind names it.
async function validatorOf({ apiVersion, kind }) {
  for (const name of ['kubernetes-models', '@kubernetes-models/keda']) {
    const model = `${modules}/${name}/${apiVersion}/${kind}.js`;
    if (!existsSync(model)) continue;
    const [, schema] = readFileSync(model, 'utf8').match(/_schemas\/(\w+)\.js/);
    return (await import(pathToFileURL(`${modules}/${name}/_schemas/${schema}.js`))).validate;
  }
  throw new Error(`no schema of ${apiVersion} ${kind}`);
}

// watched is a value that notes which of its keys a schema asks for. A schema that walks over all keys takes any.
function watched(value, path, seen) {
  if (value === null || typeof value !== 'object') return value;
  const note = { path, value, asked: new Set(), any: Array.isArray(value) };
  seen.push(note);
  const children = new Map();
  return new Proxy(value, {
    ownKeys(target) { note.any = true; return Reflect.ownKeys(target); },
    get(target, key) {
      if (typeof key === 'symbol') return target[key];
      note.asked.add(key);
      if (!children.has(key)) children.set(key, Object.hasOwn(target, key) ? watched(target[key], `${path}/${key}`, seen) : target[key]);
      return children.get(key);
    },
  });
}

for (const object of JSON.parse(readFileSync(0, 'utf8'))) {
  const name = `${object.kind} ${object.metadata?.name}`;
  const validate = await validatorOf(object);
  const seen = [];
  if (!validate(watched(object, '', seen))) {
    for (const e of validate.errors) console.log(`${name}: ${e.instancePath} ${e.keyword} ${JSON.stringify(e.params)}`);
  }
  for (const { path, value, asked, any } of seen) {
    if (any || asked.size === 0) continue;
    for (const key of Object.keys(value)) if (!asked.has(key)) console.log(`${name}: ${path}/${key}: no such key`);
  }
}
