package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"endogate/cmd/endogate/gateway"
	"endogate/dicomnode/ledger"
)

type patientCmd struct {
	Erase eraseCmd `cmd:"" help:"Remove a patient's data, and say what cannot be removed. The gateway must not run."`
}

type eraseCmd struct {
	ID        string `arg:"" help:"Patient ID."`
	Authority string `help:"Who assigned it, where several do." placeholder:"NAME"`
	DryRun    bool   `help:"Say what would be removed, and remove nothing."`
}

// Run removes a patient's data.
func (e *eraseCmd) Run(ctx context.Context, c *cli, tty console) error {
	if strings.TrimSpace(e.ID) == "" {
		return usageError("patient erase: the patient ID is empty; give that of the patient whose data are to go")
	}
	cfg, err := c.load()
	if err != nil {
		return err
	}
	patient := ledger.Identifier{ID: e.ID, Authority: e.Authority}
	done, err := gateway.ErasePatient(ctx, cfg, patient, e.DryRun, ledger.Actor{Kind: ledger.ActorPerson}, slog.New(slog.NewTextHandler(tty.err, nil)))
	if errors.Is(err, ledger.ErrNoPatient) {
		return errors.New("patient erase: no such patient: no study, order or message here names this ID; check it, and --authority")
	}
	if err != nil {
		return err
	}
	removed := "removed"
	if e.DryRun {
		removed = "would be removed"
	}
	fmt.Fprintf(tty.out, "%s: %d studies with %d instances, %d objects made of them and %d versions of drafts\n", removed, len(done.Studies), done.Instances, done.Objects, done.Drafts)
	if len(done.Kept) == 0 {
		fmt.Fprintf(tty.out, "%s: what is known of the patient under %d identifiers, %d orders, %d messages and refused instances\n", removed, len(done.Identifiers), done.Orders, done.Messages)
	}
	for _, study := range done.Kept {
		fmt.Fprintf(tty.out, "not removed: study %s: %s\n", study.StudyInstanceUID, study.Why)
	}
	if len(done.Kept) > 0 {
		fmt.Fprintln(tty.out, "not removed until no such study is left: identifiers, orders and messages of the patient; run this again then")
	}
	for _, name := range slices.Sorted(maps.Keys(done.Delivered)) {
		fmt.Fprintf(tty.out, "not removed: %d objects and messages that destination %s has: have them removed there\n", done.Delivered[name], name)
	}
	if done.Nameless > 0 {
		fmt.Fprintf(tty.out, "not removed: %d messages or refused instances that name no patient ID: nobody can tell whose they are; messages go after hl7.retention\n", done.Nameless)
	}
	for _, file := range done.Left {
		fmt.Fprintf(tty.out, "not removed: %s may have the patient's data: remove it when nobody needs it\n", file)
	}
	fmt.Fprintln(tty.out, "not removed: the audit trail, which says who had the patient's studies under the patient ID: nobody can take an entry out of it")
	fmt.Fprintln(tty.out, "kept: UIDs and digests of what was worked on or made, and the steps that persons made, without their words")
	if len(done.Kept) > 0 && !e.DryRun {
		return fmt.Errorf("%d studies of the patient are not at rest", len(done.Kept))
	}
	return nil
}
