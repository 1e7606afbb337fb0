"""A receiver made of python3-hl7: answers every message, prints control ID and family name. With three files (certificate, key,
authority) behind the port it speaks TLS of both sides."""
import asyncio, ssl, sys
from hl7.mllp import start_hl7_server

async def serve(reader, writer):
    try:
        while not writer.is_closing():
            message = await reader.readmessage()
            print(message["MSH.F10"], message["PID.F5.R1.C1"], flush=True)
            writer.writemessage(message.create_ack("AA"))
            await writer.drain()
    except asyncio.IncompleteReadError:
        writer.close()

async def main():
    tls = None
    if len(sys.argv) > 2:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=sys.argv[4])
        tls.load_cert_chain(sys.argv[2], sys.argv[3])
        tls.verify_mode = ssl.CERT_REQUIRED
    server = await start_hl7_server(serve, "127.0.0.1", int(sys.argv[1]), limit=32 << 20, encoding="utf-8", ssl=tls)
    async with server:
        await server.serve_forever()

asyncio.run(main())
