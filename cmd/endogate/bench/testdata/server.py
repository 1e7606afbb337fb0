"""A plain receiver made of python3-hl7, as its documentation has it. With a file it is durable: each message is on disk
before it is answered."""
import asyncio, os, sys
from hl7.mllp import start_hl7_server

kept = os.open(sys.argv[2], os.O_CREAT | os.O_WRONLY | os.O_APPEND) if len(sys.argv) > 2 else None

async def serve(reader, writer):
    try:
        while not writer.is_closing():
            message = await reader.readmessage()
            if kept is not None:
                os.write(kept, str(message).encode())
                os.fdatasync(kept)
            writer.writemessage(message.create_ack("AA"))
            await writer.drain()
    except asyncio.IncompleteReadError:
        writer.close()

async def main():
    async with await start_hl7_server(serve, "127.0.0.1", int(sys.argv[1]), encoding="utf-8") as server:
        await server.serve_forever()

asyncio.run(main())
