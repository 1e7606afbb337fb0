package hl7_test

import (
	"fmt"
	"strings"
	"time"

	"endogate/hl7"
)

// A message is read, answered and changed.
func Example() {
	m, err := hl7.Parse([]byte("MSH|^~\\&|RIS|HOSP|ENDOGATE|ENDO|20260102101500||ORM^O01|m1|P|2.5.1||||||UNICODE UTF-8\r"+
		"PID|1||P1^^^HOSP^MR~N2^^^NAT^NI||Lund\\T\\Berg^Åse\rOBR|1|PL1|FI1|73761001^Colonoscopy^SCT||||||||||||||A1\r"), hl7.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(m.Get("OBR-18.1"), m.All("PID-3[*].4"), hl7.PN(m.Segment("PID").Repetitions(5)))

	ack := hl7.Answers(m, hl7.Fate{Accepted: true}, time.Date(2026, 1, 2, 10, 15, 1, 0, time.UTC))[0]
	fmt.Println(strings.ReplaceAll(string(ack.Bytes()), "\r", "\n"))

	if err := m.Set("OBR-4.2", "Colonoscopy & polypectomy"); err != nil {
		fmt.Println(err)
	}
	fmt.Println(m.Raw("OBR-4"))
	// Output:
	// A1 [HOSP NAT] Lund&Berg^Åse
	// MSH|^~\&|ENDOGATE|ENDO|RIS|HOSP|20260102101501+0000||ACK^O01^ACK|EDCA447893DCC5666DC|P|2.5.1||||||UNICODE UTF-8
	// MSA|AA|m1
	//
	// 73761001^Colonoscopy \T\ polypectomy^SCT
}
