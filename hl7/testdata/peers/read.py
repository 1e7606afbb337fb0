"""python3-hl7 as a reader: prints as JSON what the message of standard input has at each place, such as PID-3[2].4.1."""
import json, re, sys, hl7
message = hl7.parse(sys.stdin.buffer.read().decode())
out = {}
for path in sys.argv[1:]:
    segment, n, field, repetition, component, sub = re.fullmatch(r"(\w{3})(?:\[(\d+)\])?-(\d+)(?:\[(\d+)\])?(?:\.(\d+))?(?:\.(\d+))?", path).groups()
    out[path] = message.extract_field(segment, int(n or 1), int(field), int(repetition or 1), int(component or 1), int(sub or 1))
json.dump(out, sys.stdout)
