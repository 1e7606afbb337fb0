package orders

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
	"endogate/dicomnode/ledger"
	"endogate/hl7"
)

// grammar writes messages by the tables of HL7 2.5.1 chapters 3, 4 and 7, of few patients and orders, and breaks a rule now and then.
type grammar struct {
	*rand.Rand
	patience int // a rule is broken once in so many
	n        int
}

func (g *grammar) slips() bool { return g.IntN(g.patience) == 0 }

func anyOf[T any](g *grammar, of ...T) T { return of[g.IntN(len(of))] }

// value is a field's, or what has no place in one.
func (g *grammar) value(v string) string {
	if !g.slips() {
		return v
	}
	return anyOf(g, "", `""`, v+"~"+v, v+"^"+v+"&"+v, `\X0D\`, `\Z9\`, `\`, "|", "\n", "\x00", "\x1C", "\xE9", "é", strings.Repeat(v+"x", 1+g.IntN(400)), "-1", "99999999999999999999")
}

func (g *grammar) segment(name string, fields ...string) string {
	if g.slips() {
		name = anyOf(g, "", "ZZZ", name+"1", name[:2], "MSH", "\xFF\xFF\xFF")
	}
	for i, f := range fields {
		fields[i] = g.value(f)
	}
	return name + "|" + strings.Join(fields, "|")
}

func (g *grammar) person() string {
	n := g.IntN(60)
	return g.segment("PID", "1", "", fmt.Sprintf("PAT%d^^^NORTH^MR", n), "", anyOf(g, "Sørli^Tuva^M", "Nguyen^An", "山田^太郎"), "", anyOf(g, "19710405", "1971", ""), anyOf(g, "F", "M", ""))
}

func (g *grammar) order(n int) []string {
	segments := []string{
		g.segment("ORC", anyOf(g, "NW", "NW", "NW", "XO", "CA", "SC", "OC", "DC", "HD"), fmt.Sprintf("PL%d", n), fmt.Sprintf("FI%d", n), "", anyOf(g, "", "CM", "IP", "CA")),
		g.segment("OBR", "1", fmt.Sprintf("PL%d", n), fmt.Sprintf("FI%d", n), "73761001^Colonoscopy^SCT", anyOf(g, "S", "R", ""), "", "", "", "", "", "", "", "", "", "", "", "",
			fmt.Sprintf("ACC%d", n), fmt.Sprintf("RP%d", n), fmt.Sprintf("SPS%d", n), "", "", "", "ES"),
	}
	if g.IntN(2) == 0 {
		segments = append(segments, g.segment("ZDS", fmt.Sprintf("1.2.826.0.1.77.%d^^Application^DICOM", n)))
	}
	if g.IntN(3) == 0 {
		segments = append(segments, g.segment("IPC", fmt.Sprintf("ACC%d", n), fmt.Sprintf("RP%d", n), fmt.Sprintf("1.2.826.0.1.77.%d", n), fmt.Sprintf("SPS%d", n), "ES"))
	}
	return segments
}

func (g *grammar) message() []byte {
	g.n++
	kind := anyOf(g, "ORM^O01^ORM_O01", "ORM^O01", "OMG^O19^OMG_O19", "OMI^O23^OMI_O23", "ADT^A08^ADT_A01", "ADT^A40^ADT_A39", "ADT^A34", "ADT^A18", "ADT^A01", "ORU^R01", "SIU^S12")
	header := `MSH|^~\&|` + strings.Join([]string{
		g.value("RIS"), g.value("NORTH"), "GATE", "ENDO", g.value("20260301080000"), "", g.value(kind), g.value(fmt.Sprintf("G%d", g.n)), g.value("P"), g.value("2.5.1"),
		"", "", anyOf(g, "", "AL"), anyOf(g, "", "AL", "NE"), "", g.value(anyOf(g, "UNICODE UTF-8", "8859/1", "")),
	}, "|")
	if g.slips() {
		header = anyOf(g, header[:4+g.IntN(len(header)-4)], strings.Replace(header, `^~\&`, `^^^^`, 1), strings.ReplaceAll(header, "|", "\r"), "BHS"+header[3:])
	}
	segments := []string{header, g.person()}
	switch {
	case strings.HasPrefix(kind, "ADT^A40"), strings.HasPrefix(kind, "ADT^A34"), strings.HasPrefix(kind, "ADT^A18"):
		segments = append(segments, g.segment("MRG", fmt.Sprintf("PAT%d^^^NORTH^MR", g.IntN(60))))
	case strings.HasPrefix(kind, "ORU"):
		segments = append(segments, g.segment("OBR", "1", fmt.Sprintf("PL%d", g.IntN(60)), "", "18746-8^^LN"), g.segment("OBX", "1", "TX", "18746-8^^LN", "", "No polyp."))
	case !strings.HasPrefix(kind, "ADT"):
		for range 1 + g.IntN(3) {
			segments = append(segments, g.order(g.IntN(60))...)
		}
	}
	if g.slips() {
		g.Shuffle(len(segments)-1, func(i, j int) { segments[i+1], segments[j+1] = segments[j+1], segments[i+1] })
	}
	return []byte(strings.Join(segments, anyOf(g, "\r", "\r", "\r", "\n", "\r\n")) + "\r")
}

// TestHandle_grammar has a receiver handle messages that follow the rules but for a few: each is answered to its own control
// ID, or not at all, and what it keeps can be asked for.
func TestHandle_grammar(t *testing.T) {
	memory := installed.Watched(t)
	rig := fuzzRig(t)
	ctx := context.Background()
	handled := installed.Scaled(1_000, 100_000)
	parsed := installed.Scaled(4_000, 400_000)
	answers, refused := map[string]int{}, 0
	g := &grammar{Rand: rand.New(rand.NewPCG(5, 6))}
	for n := range parsed {
		g.patience = anyOf(g, 50, 300, 3000)
		message := g.message()
		in, err := hl7.Parse(message, hl7.Options{})
		if err != nil {
			refused++
		} else {
			require.Equal(t, string(message), string(in.Bytes()), "not changed, written back byte for byte")
		}
		if n >= handled {
			continue
		}
		got, err := rig.Handle(ctx, loopback[0].Addr(), message)
		require.NoError(t, err, "%q", message)
		require.LessOrEqual(t, len(got), 2)
		for _, a := range got {
			m, _ := hl7.Parse(a, hl7.Options{})
			require.NotNil(t, m)
			answers[m.Get("MSA-1")]++
			if header, _, _ := bytes.Cut(message, []byte("\r")); bytes.HasPrefix(header, []byte(`MSH|^~\&|`)) && bytes.Count(header, []byte("|")) > 10 && !bytes.ContainsAny(header, "\n\x00\x1C") {
				_, msa, _ := bytes.Cut(a, []byte("\rMSA|"))
				require.Equal(t, string(bytes.Split(header, []byte("|"))[9]), string(bytes.Split(bytes.TrimRight(bytes.SplitN(msa, []byte("\r"), 2)[0], "\r"), []byte("|"))[1]), "%q", message)
			}
		}
	}
	require.NotZero(t, answers["AA"]+answers["CA"])
	require.NotZero(t, answers["AE"]+answers["AR"]+answers["CE"]+answers["CR"])
	page, total, err := rig.Ledger.(*ledger.Ledger).Orders(ctx, ledger.OrderFilter{Limit: 10})
	require.NoError(t, err)
	require.NotEmpty(t, page)
	got, err := rig.Handle(ctx, loopback[0].Addr(), order("NW", 1_000_000))
	require.NoError(t, err)
	require.Contains(t, string(got[0]), "MSA|AA|")
	installed.Tried(t, installed.Drill{
		Tried: fmt.Sprintf("%d HL7 messages by a grammar that breaks its rules, %d of them not to be read; %d handled, answered %v, which left %d orders", parsed, refused, handled, answers, total), Memory: memory.Memory(),
	})
}
