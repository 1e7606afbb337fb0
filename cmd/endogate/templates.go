package main

import (
	"fmt"

	"endogate/reports/draft"
)

type templatesCmd struct {
	Dir string `arg:"" help:"Folder to write to; no file of it is overwritten." type:"path"`
}

func (t templatesCmd) Run(tty console) error {
	written, err := draft.Export(t.Dir)
	for _, file := range written {
		fmt.Fprintln(tty.out, file)
	}
	if err != nil {
		return fmt.Errorf("templates: %w; name a folder that is empty or not there", err)
	}
	fmt.Fprintf(tty.out, "Keep the files that you change, delete the others, and set reports.templates to the folder; endogate doctor checks them.\n")
	return nil
}
