"""A plain sender made of python3-hl7: N messages one after the other, the seconds they took."""
import sys, time, hl7
from hl7.client import MLLPClient

port, n = int(sys.argv[1]), int(sys.argv[2])
text = sys.stdin.buffer.read().decode()
messages = [hl7.parse(text.replace("CONTROL", "p%06d" % i)) for i in range(n)]
with MLLPClient("127.0.0.1", port) as client:
    began = time.perf_counter()
    for m in messages:
        answer = hl7.parse(client.send_message(m).strip(b"\x0b\x1c\r").decode())
        assert str(answer.segment("MSA")[2]) == str(m["MSH.F10"])
    print(time.perf_counter() - began)
