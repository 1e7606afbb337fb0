"""Writes what pydicom reads from each file named: one line per element, indented by depth."""
import sys
import warnings

import pydicom

warnings.simplefilter("ignore")
NUMBERS = {"US", "SS", "UL", "SL", "UV", "SV"}
TEXT = {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"}


def values(e):
    if e.value is None or e.value == "":
        return ""
    many = e.value if isinstance(e.value, (list, pydicom.multival.MultiValue)) else [e.value]
    if e.VR in ("DS", "IS"):
        many = [getattr(v, "original_string", v) for v in many]
    return "|".join(str(v).strip(" ") for v in many)


def dump(ds, depth, out):
    for tag in sorted(ds.keys()):
        e = ds[tag]
        if tag >= 0x7FE00008:
            return
        line = f"{'  ' * depth}({tag.group:04X},{tag.element:04X})"
        if e.VR == "SQ":
            print(f"{line} {len(e.value)} items", file=out)
            for item in e.value:
                dump(item, depth + 1, out)
        elif e.VR in TEXT or e.VR in NUMBERS:
            print(f"{line} {values(e)}".rstrip(" ").replace("\n", "\\n").replace("\r", "\\r"), file=out)
        else:
            print(line, file=out)


for name in sys.argv[1:]:
    with open(name.replace(".dcm", ".txt"), "w", encoding="utf-8") as out:
        dump(pydicom.dcmread(name, force=True), 0, out)
