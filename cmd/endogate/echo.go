package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"endogate/cmd/endogate/admin"
	"endogate/cmd/endogate/gateway"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dimse"
)

type echoCmd struct {
	peerFlags  `embed:""`
	Matrix     bool     `help:"Ask instead which SOP classes it accepts in which transfer syntaxes; nothing is sent."`
	SOPClasses []string `help:"Of --matrix: SOP classes (UIDs) and groups of them beside those that are made here." name:"sop-class" placeholder:"UID|GROUP"`
}

func (c *echoCmd) Run(ctx context.Context, tty console) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	if c.Matrix {
		classes := c.SOPClasses
		if len(classes) == 0 {
			classes = dicom.DefaultStorageGroups
		}
		m, err := gateway.Accepts(ctx, client, c.To, c.Called, classes)
		if err != nil {
			return usageError("--sop-class: " + err.Error())
		}
		if !m.OK {
			return fmt.Errorf("echo: %s", m.Reason)
		}
		writeMatrix(tty.out, m)
		return nil
	}
	status, took, err := client.Echo(ctx, c.To, c.Called)
	if err != nil {
		return err
	}
	if status != dimse.Success {
		return fmt.Errorf("echo: %s answered %v", c.To, status)
	}
	fmt.Fprintf(tty.out, "%s at %s answers: %v in %v\n", c.Called, c.To, status, took.Round(time.Microsecond))
	return nil
}

// writeMatrix writes a line for each SOP class, and below it the transfer syntaxes that are accepted, or why none is.
func writeMatrix(w io.Writer, m admin.Matrix) {
	for _, class := range m.Classes {
		var accepted []string
		refused := map[string]int{}
		for _, s := range class.Syntaxes {
			if s.Accepted {
				accepted = append(accepted, s.Name)
			} else {
				refused[s.Result]++
			}
		}
		fmt.Fprintf(w, "%-60s %d of %d transfer syntaxes\n", class.Name, len(accepted), len(class.Syntaxes))
		switch {
		case len(accepted) == 0:
			for result, n := range refused {
				fmt.Fprintf(w, "  none: %s (%d times)\n", result, n)
			}
		default:
			fmt.Fprintf(w, "  %s\n", strings.Join(accepted, ", "))
		}
	}
}
