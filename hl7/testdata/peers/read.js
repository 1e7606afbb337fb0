// node-hl7-client and hl7-standard as readers: print as JSON what the message of standard input has at each place, such as
// PID-3[2].4.1. The second leaves escape sequences, and repetitions, to its caller.
const { Message } = require('node-hl7-client')
const Standard = require('hl7-standard')
const text = require('fs').readFileSync(0, 'utf8')
const message = new Message({ text })
const standard = new Standard(text)
standard.transform((err) => { if (err) throw err })
const out = { client: {}, standard: {} }
for (const path of process.argv.slice(2)) {
  const [, segment, n, field, repetition, component, sub] = path.match(/^(\w{3})(?:\[(\d+)\])?-(\d+)(?:\[(\d+)\])?(?:\.(\d+))?(?:\.(\d+))?$/)
  let node = message.get(segment).get(Number(n || 1) - 1)
  node = (n ? node : message).get(n ? field : `${segment}.${field}`)
  if (repetition) node = node.get(Number(repetition) - 1)
  if (component) node = node.get(component)
  if (sub) node = node.get(sub)
  out.client[path] = node.toString()
  if (!n && !repetition && !sub) out.standard[path] = standard.get([segment, field, component].filter(Boolean).join('.'))
}
console.log(JSON.stringify(out))
