"""A sender made of python3-hl7, its blocking client or its stream: sends each file, prints MSA of each answer. The stream
speaks TLS of both sides when it is called tls:CERTIFICATE:KEY:AUTHORITY."""
import asyncio, ssl, sys, hl7
from hl7.client import MLLPClient
from hl7.mllp import open_hl7_connection

kind, port, files = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
messages = [hl7.parse(open(f, "rb").read().decode()) for f in files]

def show(answer):
    print("|".join(str(answer.segment("MSA")[i]) for i in (1, 2)), flush=True)

async def stream(certificate=None, key=None, authority=None):
    tls = None
    if certificate:
        tls = ssl.create_default_context(cafile=authority)
        tls.load_cert_chain(certificate, key)
    reader, writer = await open_hl7_connection("127.0.0.1", port, encoding="utf-8", ssl=tls)
    for m in messages:
        writer.writemessage(m)
        await writer.drain()
        show(await reader.readmessage())
    writer.close()
    await writer.wait_closed()

if kind != "blocking":
    asyncio.run(stream(*kind.split(":")[1:]))
else:
    with MLLPClient("127.0.0.1", port) as client:
        for m in messages:
            show(hl7.parse(client.send_message(m).strip(b"\x0b\x1c\r").decode()))
