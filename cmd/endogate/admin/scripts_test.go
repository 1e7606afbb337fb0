package admin

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
)

// Names in every script are shown as they are, and those from right to left leave the digits of what stands beside them in place.
func TestPage_scripts(t *testing.T) {
	h := newHospital(t)
	like := h.studies[2]
	h.studies = nil
	names := []string{
		"Yamada^Tarou=山田^太郎=やまだ^たろう", "Hong^Gildong=洪^吉洞=홍^길동", "Wang^XiaoDong=王^小东", "Παπαδόπουλος^Γιώργος", "Люкceмбypг^Анна", "قباني^لنزار", "כהן^דוד",
		"สมชาย^ใจดี", "शर्मा^राजेश", "Nguyễn^Thị Hạnh", "Zoe\u0308^A\u030ake", "Cohen^David=כהן^דוד",
	}
	for i, name := range names {
		s := like
		s.StudyInstanceUID, s.PatientName, s.PatientID, s.AccessionNumber = dicom.UID(fmt.Sprintf("2.25.77%02d", i)), name, fmt.Sprintf("47-11/%02d", i), fmt.Sprintf("A-20/26-%02d", i)
		h.studies = append(h.studies, s)
		h.parked = append(h.parked, Parked{Kind: ParkedGate, ID: string(s.StudyInstanceUID), StudyInstanceUID: s.StudyInstanceUID, PatientName: name, PatientID: s.PatientID, AccessionNumber: s.AccessionNumber, Reason: "another sex", At: sampleTime})
	}
	b := open(t, h)
	ordered := func(text string) {
		t.Helper()
		require.True(t, eval[bool](b, fmt.Sprintf(`(() => {
			const found = [], walk = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
			for (let n = walk.nextNode(); n; n = walk.nextNode()) {
				const at = n.data.indexOf(%[1]q);
				if (at < 0) continue;
				const left = [...%[1]q].map((_, i) => { const r = document.createRange(); r.setStart(n, at + i); r.setEnd(n, at + i + 1); return r.getBoundingClientRect().left });
				found.push(left.every((x, i) => !i || x > left[i - 1]));
			}
			return found.length > 0 && found.every(Boolean)
		})()`, text)), text)
	}
	b.visit("/#/studies", ".studies tbody tr")
	b.picture("scripts-studies", true)
	for i := range names {
		ordered(fmt.Sprintf("47-11/%02d", i))
	}
	b.visit("/#/parked?kind=gate", "tbody tr")
	b.picture("scripts-parked", true)
	for i := range names {
		ordered(fmt.Sprintf("47-11/%02d", i))
		ordered(fmt.Sprintf("A-20/26-%02d", i))
	}
	b.visit("/#/studies/2.25.7706", "h1")
	b.see(".study-head dd")
	ordered("47-11/06")
	b.picture("scripts-study", false)
}
