// A sender made of node-hl7-client: sends each file, prints MSA of each answer.
const fs = require('fs')
const { Client, Message } = require('node-hl7-client')
const [port, ...files] = process.argv.slice(2)
const client = new Client({ host: '127.0.0.1' })
let answered
const out = client.createConnection({ port: Number(port), waitAck: true }, async (res) => {
  const ack = res.getMessage()
  console.log(ack.get('MSA.1').toString() + '|' + ack.get('MSA.2').toString())
  answered()
})
out.on('error', (e) => { console.error(e); process.exit(1) })
const main = async () => {
  for (const f of files) {
    const done = new Promise((resolve) => { answered = resolve })
    await out.sendMessage(new Message({ text: fs.readFileSync(f, 'utf8') }))
    await done
  }
  process.exit(0)
}
out.once('connect', main)
