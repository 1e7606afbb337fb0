package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"endogate/dicomnode/ledger"
)

// demoReport is a final report of another system on the second sample study: it denies what the model sees.
const demoReport = "MSH|^~\\&|RIS|HOSPITAL|ENDOGATE|ENDO|20260301120000||ORU^R01^ORU_R01|DEMO0100|P|2.5.1\r" +
	"PID|1||EG0002\r" +
	"OBR|1|||73761001^Colonoscopy^SCT||||||||||||||A20260002|||||||F\r" +
	"OBX|1|FT|59776-5^Findings^LN||The colon was seen to the cecum. No polyps were found.||||||F\r"

// secondLook has a report of another system come that does not say what the model does, and shows what a person is asked.
func (d *demo) secondLook(ctx context.Context) error {
	file := d.path("other-report.hl7")
	if err := os.WriteFile(file, []byte(demoReport), 0o600); err != nil {
		return err
	}
	d.say("sending the final report of another system on study A20260002 by MLLP")
	if err := (&hl7SendCmd{Files: []string{file}, To: d.hl7, Timeout: time.Minute}).Run(ctx, d.tty); err != nil {
		return err
	}
	var answer struct{ Reviews []ledger.Review }
	err := d.poll(ctx, "the report to be compared", func() (bool, error) {
		err := d.get(ctx, "/api/v1/reviews", &answer)
		return len(answer.Reviews) > 0, err
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(d.tty.out, "\nSecond look: report and model say different things, which a person is asked about")
	for _, r := range answer.Reviews {
		printReview(d.tty.out, r)
	}
	return nil
}
