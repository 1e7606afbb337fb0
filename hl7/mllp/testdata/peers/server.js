// A receiver made of node-hl7-server: answers every message, prints control ID and family name.
const { Server } = require('node-hl7-server')
const server = new Server({ bindAddress: '127.0.0.1' })
server.createInbound({ port: Number(process.argv[2]) }, async (req, res) => {
  const message = req.getMessage()
  console.log(message.get('MSH.10').toString(), message.get('PID.5.1').toString())
  await res.sendResponse('AA')
})
