package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"endogate/cmd/endogate/gateway"
	"endogate/configs"
	"endogate/dicomnode/audit"
	"endogate/dicomnode/dicom"
)

type auditCmd struct {
	Verify auditVerify `cmd:"" help:"Hold the audit trail against its chain, and against what a syslog server has of it."`
	Export auditExport `cmd:"" help:"Print the messages of the audit trail (PS3.15 A.5), a line each."`
	Search auditSearch `cmd:"" help:"Print entries of the audit trail in words, the last first, and leave a word of that in it."`
}

type auditVerify struct {
	Heads []string `help:"What the syslog server has kept, as text; several are read together." placeholder:"FILE" type:"existingfile"`
}

// Run says whether the audit trail is as it was written; exit status 1 where it is not.
func (v *auditVerify) Run(_ context.Context, c *cli, tty console) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	key, err := audit.ReadKey(cfg.AuditKey())
	if err != nil {
		return fmt.Errorf("%w; give --config, or audit.key_file in it", err)
	}
	var heads []audit.Head
	for _, path := range v.Heads {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		read, err := audit.Heads(f)
		_ = f.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if len(read) == 0 {
			return fmt.Errorf("%s: no message of an audit trail of endogate is in it", path)
		}
		heads = append(heads, read...)
	}
	found, err := audit.Verify(cfg.AuditDir(), key, heads)
	if err != nil {
		return err
	}
	fmt.Fprintf(tty.out, "%d entries follow from each other and end where the head beside the key says; %d were held against what was sent elsewhere\n", found.Entries, found.Heads)
	return nil
}

// span is when what is asked for was recorded.
type span struct {
	From   string `help:"Not before: a day (UTC) or a time (RFC 3339)." placeholder:"TIME"`
	Before string `help:"Before: the same." placeholder:"TIME"`
}

func (s span) read(command string) (from, before time.Time, err error) {
	for text, into := range map[string]*time.Time{s.From: &from, s.Before: &before} {
		if text == "" {
			continue
		}
		if *into, err = time.Parse(time.RFC3339, text); err != nil {
			if *into, err = time.Parse(time.DateOnly, text); err != nil {
				return from, before, usageError(fmt.Sprintf("%s: %q is neither a time such as 2026-11-29T08:00:00Z nor a day such as 2026-11-29", command, text))
			}
		}
	}
	if s.Before != "" && !from.Before(before) {
		return from, before, usageError(fmt.Sprintf("%s: --before is not after --from; the earlier one is --from", command))
	}
	return from, before, nil
}

type auditSearch struct {
	Text string `arg:"" optional:"" help:"Stands somewhere in it: a user, a UID, an address, an event."`
	span
	Limit int `help:"How many at most." default:"50"`
}

// Run searches the whole trail.
func (a *auditSearch) Run(ctx context.Context, c *cli, tty console) error {
	if a.Limit < 1 {
		return usageError("audit search: --limit must be 1 or more")
	}
	cfg, err := c.load()
	if err != nil {
		return err
	}
	f := audit.Filter{Text: a.Text, Patients: true}
	if f.From, f.Before, err = a.read("audit search"); err != nil {
		return err
	}
	trail, err := c.used(ctx, cfg, "endogate audit search")
	if err != nil {
		return err
	}
	defer trail.Close()
	for printed, next := 0, int64(0); printed < a.Limit; {
		var found []audit.Entry
		if found, next, err = audit.Search(cfg.AuditDir(), f, next, a.Limit-printed); err != nil {
			return err
		}
		for _, e := range found {
			fmt.Fprintf(tty.out, "%d  %s  %s %s  %s  %s  %s\n", e.Sequence, e.At.Format(time.RFC3339), e.Event, e.Type, strings.Join(e.Who, ", "), strings.Join(e.About, "; "), e.Why)
		}
		if printed += len(found); next == 0 {
			break
		}
	}
	return nil
}

// used opens the trail and records that it is read (PS3.15 A.5.3.2).
func (c *cli) used(ctx context.Context, cfg configs.Config, by string) (*audit.Log, error) {
	if err := c.folder(cfg); err != nil {
		return nil, err
	}
	trail, err := gateway.OpenAudit(cfg)
	if err != nil {
		return nil, err
	}
	err = trail.Record(ctx, audit.Event{
		ID: audit.LogUsed, Action: audit.Read,
		Participants: []audit.Participant{{ID: shellUser(), Requested: true}, {ID: by, Role: audit.Application}},
		Objects:      []audit.Object{{Kind: audit.LogFile, ID: "audit.log", Name: "Security Audit Log", Detail: map[string]string{"at": time.Now().UTC().Format(time.RFC3339)}}},
	})
	if err != nil {
		trail.Close()
	}
	return trail, err
}

// mostShown bounds the studies that an event of the trail names.
const mostShown = 100

// looked records that a command searched the ledger, and which studies it is about to show: not what was searched for, which may be a
// patient's name (PS3.15 A.5.3.10).
func looked(ctx context.Context, cfg configs.Config, command string, studies []dicom.UID) error {
	trail, err := gateway.OpenAudit(cfg)
	if err != nil {
		return fmt.Errorf("%s: nothing is shown, as it cannot be recorded in the audit trail: %w", command, err)
	}
	defer trail.Close()
	e := audit.Event{
		ID: audit.Query, Action: audit.Execute,
		Participants: []audit.Participant{{ID: shellUser(), Requested: true}, {ID: "endogate " + command, Role: audit.Application}},
		Objects:      []audit.Object{{Kind: audit.URI, ID: "endogate " + command, Detail: map[string]string{"found": strconv.Itoa(len(studies))}}},
	}
	for _, uid := range studies[:min(len(studies), mostShown)] {
		e.Objects = append(e.Objects, audit.Object{Kind: audit.Study, ID: string(uid)})
	}
	if err := trail.Record(ctx, e); err != nil {
		return fmt.Errorf("%s: nothing is shown, as it cannot be recorded in the audit trail: %w", command, err)
	}
	return nil
}

type auditExport struct {
	span
	Entry uint64 `help:"Not before the entry of this number." default:"1" placeholder:"NUMBER"`
}

// Run prints the audit trail, and leaves a word of that in it (PS3.15 A.5.3.2).
func (e *auditExport) Run(ctx context.Context, c *cli, tty console) error {
	if _, err := strconv.ParseUint(e.From, 10, 64); err == nil {
		return usageError(fmt.Sprintf("audit export: --from is a time, as of audit search; from the entry of a number on: --entry %s", e.From))
	}
	cfg, err := c.load()
	if err != nil {
		return err
	}
	from, before, err := e.read("audit export")
	if err != nil {
		return err
	}
	trail, err := c.used(ctx, cfg, "endogate audit export")
	if err != nil {
		return err
	}
	defer trail.Close()
	return audit.Messages(tty.out, cfg.AuditDir(), e.Entry, from, before)
}
