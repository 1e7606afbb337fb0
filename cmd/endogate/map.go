package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"endogate/cmd/endogate/admin"
)

type mapCmd struct {
	atGateway
	Study    string `arg:"" help:"Study Instance UID."`
	Instance string `arg:"" help:"SOP Instance UID of the frame's instance."`
	Frame    int    `arg:"" optional:"" default:"1" help:"Number of the frame, from 1."`
	Model    string `help:"Model; the gateway's only one where none is named." placeholder:"NAME"`
	Class    string `help:"What the map is of; the most probable class where none is named." placeholder:"NAME"`
	Against  string `help:"Another class: why the first rather than this one." placeholder:"NAME"`
	Layer    string `help:"Layer of the network; as its manifest has it where none is named." placeholder:"NAME"`
	Method   string `help:"How it is explained; the same." placeholder:"NAME"`
	Author   string `help:"Who sends it; without it, the user of this shell." placeholder:"NAME"`
}

// Run has the gateway that is running make a map of a frame, and send it.
func (m *mapCmd) Run(ctx context.Context, c *cli, tty console) error {
	query := url.Values{}
	for key, value := range map[string]string{"model": m.Model, "class": m.Class, "against": m.Against, "layer": m.Layer, "method": m.Method} {
		if value != "" {
			query.Set(key, value)
		}
	}
	path := fmt.Sprintf("/api/v1/studies/%s/instances/%s/frames/%d/map?%s", url.PathEscape(m.Study), url.PathEscape(m.Instance), m.Frame, query.Encode())
	var sent admin.SentMap
	done, err := m.ask(ctx, c, tty, http.MethodPost, path, map[string]string{"author": cmp.Or(m.Author, os.Getenv("USER"), "endogate map")}, &sent)
	if err != nil || done {
		return err
	}
	switch {
	case !sent.Made:
		fmt.Fprintf(tty.out, "%s shows the same and is there already: nothing was made\n", sent.SOPInstanceUID)
	case sent.Held:
		fmt.Fprintf(tty.out, "%s is made and waits: images, order and patient of the study do not agree\n", sent.SOPInstanceUID)
	case len(sent.Destinations) == 0:
		fmt.Fprintf(tty.out, "%s is made and parked: the destinations of the study are not configured any more\n", sent.SOPInstanceUID)
	default:
		fmt.Fprintf(tty.out, "%s is made and on its way to %s\n", sent.SOPInstanceUID, strings.Join(sent.Destinations, ", "))
	}
	return nil
}
