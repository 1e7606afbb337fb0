package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"endogate/cmd/endogate/gateway"
	"endogate/dicomnode/audit"
)

type auditCmd struct {
	Verify auditVerify `cmd:"" help:"Hold the audit trail against its chain, and against what a syslog server has of it."`
	Export auditExport `cmd:"" help:"Print the messages of the audit trail (PS3.15 A.5), a line each."`
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
		return err
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

type auditExport struct {
	From uint64 `help:"Number of the first entry." default:"1"`
}

// Run prints the audit trail, and leaves a word of that in it (PS3.15 A.5.3.2).
func (e *auditExport) Run(ctx context.Context, c *cli, tty console) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	trail, err := gateway.OpenAudit(cfg)
	if err != nil {
		return err
	}
	defer trail.Close()
	err = trail.Record(ctx, audit.Event{
		ID: audit.LogUsed, Action: audit.Read,
		Participants: []audit.Participant{{ID: shellUser(), Requested: true}, {ID: "endogate audit export", Role: audit.Application}},
		Objects:      []audit.Object{{Kind: audit.LogFile, ID: "audit.log", Name: "Security Audit Log", Detail: map[string]string{"at": time.Now().UTC().Format(time.RFC3339)}}},
	})
	if err != nil {
		return err
	}
	return audit.Messages(tty.out, cfg.AuditDir(), e.From)
}
