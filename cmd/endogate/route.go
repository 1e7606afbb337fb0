package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"endogate/cmd/endogate/admin"
	"endogate/cmd/endogate/gateway"
	"endogate/dicomnode/dicom"
)

type routeCmd struct {
	Try routeTry `cmd:"" help:"Say what would become of DICOM files that are sent to a gateway of this configuration; nothing is stored or sent."`
}

type routeTry struct {
	Files   []string      `arg:"" help:"DICOM files, or folders of them." type:"path" name:"file"`
	Calling dicom.AETitle `help:"AE title of the sender; without it, the source that the file names." placeholder:"AE"`
}

// Run tries each file. It fails where one would not be taken, or not routed.
func (r *routeTry) Run(ctx context.Context, c *cli, tty console) error {
	cfg, err := c.check()
	if err != nil {
		return err
	}
	files, err := dicomFiles(r.Files)
	if err != nil {
		return err
	}
	refused := 0
	for _, f := range files {
		content, err := os.ReadFile(f.path)
		if err != nil {
			return err
		}
		trial, err := gateway.TryRoute(ctx, cfg, content, r.Calling)
		if err != nil {
			return fmt.Errorf("%s: %w", f.path, err)
		}
		fmt.Fprintf(tty.out, "%s\n", f.path)
		writeTrial(tty.out, trial)
		if len(trial.Refusals) > 0 || trial.Route == "" {
			refused++
		}
	}
	if refused > 0 {
		return errors.New("route: not all of the files would be taken and routed")
	}
	return nil
}

func writeTrial(w io.Writer, t admin.RouteTrial) {
	fmt.Fprintf(w, "  %s, %s, from %q\n", t.SOPClass, t.TransferSyntax, t.CallingAE)
	for _, why := range t.Refusals {
		fmt.Fprintf(w, "  refused: %s\n", why)
	}
	if t.Remarks != "" {
		fmt.Fprintf(w, "  remarks: %s\n", t.Remarks)
	}
	for _, route := range t.Routes {
		switch {
		case route.Name == t.Route:
			fmt.Fprintf(w, "  route %s: taken\n", route.Name)
		case route.Matches:
			fmt.Fprintf(w, "  route %s: matches, and an earlier one is taken\n", route.Name)
		default:
			var unmet []string
			for _, u := range route.Unmet {
				unmet = append(unmet, fmt.Sprintf("%s is %q, not one of %q", u.Key, u.Has, u.Wants))
			}
			fmt.Fprintf(w, "  route %s: %s\n", route.Name, strings.Join(unmet, "; "))
		}
	}
	if t.Route == "" && len(t.Refusals) == 0 {
		fmt.Fprintln(w, "  no route matches: it would be kept, and not analysed or passed on")
	}
	for _, m := range t.Models {
		if m.Analyses {
			fmt.Fprintf(w, "  model %s: analyses it\n", m.Name)
		} else {
			fmt.Fprintf(w, "  model %s: does not: %s\n", m.Name, m.Why)
		}
	}
	for _, d := range t.Destinations {
		gets := strings.Join(d.Gets, ", ")
		if gets == "" {
			gets = "nothing"
		}
		fmt.Fprintf(w, "  destination %s (%s): %s\n", d.Name, d.Kind, gets)
	}
}
