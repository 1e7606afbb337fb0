//go:build bench

package bench_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dimse"
)

// sent is what sending a set of objects took.
type sent struct {
	wall  time.Duration   // from the first request to the last response
	took  []time.Duration // of each object, in ascending order
	bytes int
}

func (s sent) perSecond() float64 { return float64(len(s.took)) / s.wall.Seconds() }
func (s sent) megabytes() float64 { return float64(s.bytes) / 1e6 / s.wall.Seconds() }

// percentile returns the duration that p of 100 objects did not exceed.
func (s sent) percentile(p int) time.Duration { return s.took[(len(s.took)-1)*p/100] }

// send stores the objects over a number of associations, which are made before the clock starts.
// Every object has to be answered with success.
func send(ctx context.Context, r receiver, tpl template, objects []object, associations int) (sent, error) {
	client := &dicomnode.Client{AETitle: "BENCH", Dial: r.dial}
	contexts := dicomnode.ContextsFor(dicomnode.InstanceSyntax{SOPClassUID: tpl.header.SOPClassUID, TransferSyntaxUID: tpl.transferSyntax})
	var open []*dicomnode.Association
	defer func() {
		var releases sync.WaitGroup // at once, as Orthanc may take a second for each
		for _, a := range open {
			releases.Go(func() { _ = a.Release(ctx) }) // the figures are taken
		}
		releases.Wait()
	}()
	for range associations {
		a, err := client.Associate(ctx, r.addr, dicom.AETitle(r.aeTitle), contexts)
		if err != nil {
			return sent{}, err
		}
		open = append(open, a)
	}
	var (
		wg   sync.WaitGroup
		next atomic.Int64
		errs = make([]error, associations)
		took = make([][]time.Duration, associations)
	)
	begin := time.Now()
	for i, a := range open {
		wg.Go(func() {
			for n := next.Add(1) - 1; n < int64(len(objects)) && errs[i] == nil; n = next.Add(1) - 1 {
				each := time.Now()
				errs[i] = store(ctx, a, tpl, objects[n])
				took[i] = append(took[i], time.Since(each))
			}
		})
	}
	wg.Wait()
	s := sent{wall: time.Since(begin), took: slices.Concat(took...)}
	slices.Sort(s.took)
	for _, o := range objects {
		s.bytes += o.size()
	}
	for _, err := range errs {
		if err != nil {
			return s, fmt.Errorf("%s: %w", r.name, err)
		}
	}
	return s, nil
}

func store(ctx context.Context, a *dicomnode.Association, tpl template, o object) error {
	status, err := a.Store(ctx, tpl.request(o))
	if err != nil {
		return err
	}
	if status != dimse.Success {
		return fmt.Errorf("%s was answered with %v", o.uid, status)
	}
	return nil
}
