"""Holds the DICOM JSON model of files against what pydicom reads from them. Arguments: pairs of a file and its model."""
import json
import sys
import warnings

import pydicom
from pydicom.dataset import Dataset

warnings.simplefilter("ignore")
BYTES = {"OB", "OW", "OF", "OD", "OL", "OV", "UN"}
NUMBERS = {"DS", "IS", "FL", "FD", "US", "SS", "UL", "SL", "UV", "SV"}


def values(e):
    v = e.value
    if v is None or v == "" or (hasattr(v, "__len__") and len(v) == 0):
        return []
    many = list(v) if isinstance(v, (list, pydicom.multival.MultiValue)) else [v]
    if e.VR in NUMBERS:
        return [float(x) if x is not None and x != "" else None for x in many]
    if e.VR == "PN":
        return [str(x).strip(" ").rstrip("=").encode("utf-8", "replace") for x in many]
    return ["" if x is None else str(x).strip(" \0") for x in many]


def differ(want, got, at, out):
    want_tags = {t for t in want.keys() if t.element != 0 and 0x0008 <= t.group and t < 0x7FE00008}
    got_tags = {t for t in got.keys() if t < 0x7FE00008}
    if at:
        want_tags.discard(0x00080005)
    else:
        want_tags.add(pydicom.tag.Tag(0x00080005))
    for t in sorted(want_tags ^ got_tags):
        out.append(f"{at}{t}: only in {'the file' if t in want_tags else 'the model'}")
    for t in sorted(want_tags & got_tags):
        if t == 0x00080005:
            continue
        w, g = want[t], got[t]
        if w.VR == "SQ" or g.VR == "SQ":
            if w.VR != g.VR or len(w.value) != len(g.value):
                out.append(f"{at}{t}: other items")
                continue
            for i, (x, y) in enumerate(zip(w.value, g.value)):
                differ(x, y, f"{at}{t}[{i}].", out)
        elif g.VR in BYTES:
            if g.value is not None and bytes(w.value or b"") != bytes(g.value or b""):
                out.append(f"{at}{t}: other bytes")
        elif values(w) != values(g):
            out.append(f"{at}{t} {w.VR}: {values(w)!r} in the file, {values(g)!r} in the model")


for file, model in zip(sys.argv[1::2], sys.argv[2::2]):
    out = []
    want = pydicom.dcmread(file, force=True)
    want.decode()
    got = Dataset.from_json(open(model, encoding="utf-8").read(), bulk_data_uri_handler=lambda tag, vr, uri: None)
    differ(want, got, "", out)
    for line in out:
        print(file.rsplit("/", 1)[-1], line)
