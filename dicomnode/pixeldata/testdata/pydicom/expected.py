"""Writes expected.json: for each file and frame the mean of each colour and the pixels on a 12 x 12 grid."""
import json
import os
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import pydicom

warnings.simplefilter("ignore")
GRID = 12


def native(name):
    """The data set with decompressed pixels, by a decoder that is not ours."""
    ds = pydicom.dcmread(name)
    syntax = str(ds.file_meta.TransferSyntaxUID)
    tool = None
    if syntax.startswith("1.2.840.10008.1.2.4.5") or syntax.endswith(".4.70"):
        tool = "dcmdjpeg"
    if syntax.endswith((".4.80", ".4.81")):
        tool = "dcmdjpls"
    if tool:
        with tempfile.TemporaryDirectory() as folder:
            out = os.path.join(folder, "out.dcm")
            subprocess.run([tool, name, out], check=True)
            ds = pydicom.dcmread(out)
            ds.PixelData  # read before the folder goes
    return ds


def gray(ds, a):
    a = a.astype(np.float64)
    n = 1 << ds.BitsStored
    low = -n // 2 if ds.PixelRepresentation else 0
    if "WindowCenter" in ds and "WindowWidth" in ds:
        first = lambda v: float(v[0] if isinstance(v, pydicom.multival.MultiValue) else v)
        c, w = first(ds.WindowCenter), first(ds.WindowWidth)
        x = a * float(ds.get("RescaleSlope", 1)) + float(ds.get("RescaleIntercept", 0))
        level = np.clip((x - (c - 0.5)) / (w - 1) + 0.5, 0, 1)
    else:
        level = (a - low) / (n - 1)
    if ds.PhotometricInterpretation == "MONOCHROME1":
        level = 1 - level
    v = np.floor(level * 255 + 0.5)
    return np.stack([v, v, v], axis=-1)


def frames(ds):
    n = int(ds.get("NumberOfFrames", 1))
    a = ds.pixel_array
    a = a if n > 1 else a[np.newaxis]
    for frame in a:
        if ds.SamplesPerPixel == 1:
            yield gray(ds, frame)
            continue
        photometric = ds.PhotometricInterpretation
        if photometric.startswith("YBR_FULL"):
            frame = pydicom.pixel_data_handlers.util.convert_color_space(frame, "YBR_FULL", "RGB")
        yield np.floor(frame.astype(np.float64) * 255 / ((1 << ds.BitsStored) - 1) + 0.5)


expected = {}
for name in sys.argv[1:]:
    if name == "SC_rgb_small_odd_big_endian.dcm":
        continue  # pydicom 2.3 does not swap an odd number of bytes; the test compares it with its twin
    try:
        rows = []
        for rgb in frames(native(name)):
            y = np.arange(GRID) * rgb.shape[0] // GRID
            x = np.arange(GRID) * rgb.shape[1] // GRID
            grid = rgb[np.ix_(y, x)].astype(int).reshape(-1, 3).tolist()
            mean = [round(float(m), 2) for m in rgb.reshape(-1, 3).mean(axis=0)]
            rows.append({"rows": rgb.shape[0], "columns": rgb.shape[1], "mean": mean, "grid": grid})
        expected[name] = rows
    except Exception as e:
        print("left out:", name, type(e).__name__, e, file=sys.stderr)
with open("expected.json", "w") as out:
    lines = [f"{json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}" for k, v in sorted(expected.items())]
    out.write("{\n" + ",\n".join(lines) + "\n}\n")
