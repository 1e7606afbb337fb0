package main

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
)

// writeLicences writes who made what is distributed and under which licence, and all texts, each once.
func writeLicences(w io.Writer, parts []part) error {
	b := bufio.NewWriter(w)
	fmt.Fprint(b, `Others' work in endogate, in the ONNX Runtime library that comes with it, and in its container image. Each part has the licence named here; the texts follow.

`)
	var order []text              // each text once,
	owners := map[text][]string{} // and whose it is
	for _, p := range parts {
		if p.Use == toBuildTest {
			continue
		}
		name := strings.TrimSpace(p.Name + " " + p.Version)
		fmt.Fprintf(b, "%s: %s", name, p.Licence)
		if p.Note != "" {
			fmt.Fprintf(b, " (%s)", p.Note)
		}
		if p.URL != "" {
			fmt.Fprintf(b, ", %s", p.URL)
		}
		fmt.Fprintln(b)
		for _, t := range p.Texts {
			i := slices.IndexFunc(order, func(o text) bool { return o.Content == t.Content })
			if i < 0 {
				i, order = len(order), append(order, t)
			}
			owners[order[i]] = append(owners[order[i]], name)
		}
	}
	fmt.Fprint(b, `
The archive of onnxruntime-node does not hold the notices of what is linked into its library: they are in ThirdPartyNotices.txt of the same version of
https://github.com/microsoft/onnxruntime.
`)
	for _, t := range order {
		fmt.Fprintf(b, "\n%s\n%s of %s\n\n%s", strings.Repeat("=", 100), t.File, strings.Join(owners[t], ", "), t.Content)
	}
	return b.Flush()
}

// mit is the MIT licence, after its copyright line.
const mit = `
Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
`

// microsoft is the licence of ONNX Runtime, which its npm archive names and does not hold.
const microsoft = "MIT License\n\nCopyright (c) Microsoft Corporation\n" + mit

// hyperKvasir is what CC BY 4.0 asks for (3 (a)(1)): who, what, under which terms, and what was changed.
const hyperKvasir = `Frames of HyperKvasir: H. Borgli et al., HyperKvasir, a comprehensive multi-class image and video dataset for gastrointestinal endoscopy,
Scientific Data 7, 283 (2020). Licensed under CC BY 4.0, https://creativecommons.org/licenses/by/4.0/. Those in the binary were reduced in size.
`

// offis is the licence of DCMTK, as Debian's package dcmtk has it.
const offis = `Copyright (C) 1994-2019, OFFIS e.V.

This software and supporting documentation were developed by

  OFFIS e.V.
  R&D Division Health
  Escherweg 2
  26121 Oldenburg, Germany

Redistribution and use in source and binary forms, with or without
modification, are permitted provided that the following conditions
are met:
- Redistributions of source code must retain the above copyright
  notice, this list of conditions and the following disclaimer.
- Redistributions in binary form must reproduce the above copyright
  notice, this list of conditions and the following disclaimer in the
  documentation and/or other materials provided with the distribution.
- Neither the name of OFFIS nor the names of its contributors may be
  used to endorse or promote products derived from this software
  without specific prior written permission.

THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS
"AS IS" AND ANY EXPRESS OR IMPLIED WARRANTIES, INCLUDING, BUT NOT
LIMITED TO, THE IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS FOR
A PARTICULAR PURPOSE ARE DISCLAIMED. IN NO EVENT SHALL THE COPYRIGHT
HOLDER OR CONTRIBUTORS BE LIABLE FOR ANY DIRECT, INDIRECT, INCIDENTAL,
SPECIAL, EXEMPLARY, OR CONSEQUENTIAL DAMAGES (INCLUDING, BUT NOT
LIMITED TO, PROCUREMENT OF SUBSTITUTE GOODS OR SERVICES; LOSS OF USE,
DATA, OR PROFITS; OR BUSINESS INTERRUPTION) HOWEVER CAUSED AND ON ANY
THEORY OF LIABILITY, WHETHER IN CONTRACT, STRICT LIABILITY, OR TORT
(INCLUDING NEGLIGENCE OR OTHERWISE) ARISING IN ANY WAY OUT OF THE USE
OF THIS SOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.
`
