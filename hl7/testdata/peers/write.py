"""python3-hl7 as a writer: prints a message whose names and texts it has escaped, and its acknowledgement of it."""
import hl7
m = hl7.parse("MSH|^~\\&|PY|HOSP|ENDOGATE|ENDO|20260102101500||ADT^A08^ADT_A01|py1|P|2.5.1||||||UNICODE UTF-8\rPID|1\r")
e = m.escape
for value, *place in [("P7", 3, 1, 1, 1), ("HOSP", 3, 1, 4, 1), ("1.2.3", 3, 1, 4, 2), ("N8", 3, 2, 1, 1), (e("Lund & Berg | ^ ~ \\"), 5, 1, 1, 1), ("Åse", 5, 1, 2, 1)]:
    m.assign_field(value, "PID", 1, *place)
print(str(m), end="\n--\n")
print(str(m.create_ack("AE", message_id="py1ack", application="PYACK", facility="HOSP")), end="")
