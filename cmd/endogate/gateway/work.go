package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"time"

	"endogate/configs"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/pixeldata"
	"endogate/inference"
	"endogate/inference/analysis"
	"endogate/inference/jobs"
)

// workerDrain is how long a job under way has to end when a worker alone is asked to stop.
const workerDrain = 20 * time.Second

// picturesKept bounds the pictures, in bytes, that wait for results of workers elsewhere: a hundred of 720 x 576 pixels, fifteen of
// 1920 x 1080.
const picturesKept = 128 << 20

// Work is a worker alone: it does jobs of gateways elsewhere until ctx is done.
func Work(ctx context.Context, cfg configs.Worker, build Build, log *slog.Logger) (err error) {
	models, err := OpenModels(ctx, ConfigOf(cfg))
	if ctx.Err() != nil && models == nil { // asked to stop
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, models.Close()) }()
	broker := Broker(cfg.NATS, log)
	broker.Guest = true
	queue, err := jobs.Open(broker)
	if err != nil {
		return err
	}
	defer queue.Close()
	worker := &inference.Worker{Models: models.models, Limit: cfg.Jobs.Limit.Std(), PerFrame: cfg.Jobs.PerFrame.Std(), Log: log}
	decode := Decoding(ConfigOf(cfg))
	if err := decode.Missing(); err != nil {
		log.Warn("jobs with such pixels are left to other workers", "err", err)
	}
	log.Info("worker is up", "version", build.Version, "models", models.Names(), "workers", cfg.Jobs.Workers)
	err = queue.Work(ctx, jobs.Consumer{
		Models: models.queues(), Slots: cfg.Jobs.Workers, Remote: remote(worker, decode), Prepares: models.prepares, Videos: decode.Missing() == nil, Drain: workerDrain,
	})
	log.Info("worker has stopped")
	return err
}

// Queues are the models of a configuration as jobs call them.
func Queues(cfg configs.Config, choices ...ledger.BundleVersion) (queues []jobs.Model, err error) {
	bundles, err := Bundles(cfg.Models, choices...)
	for _, b := range bundles {
		queues = append(queues, jobs.Model{Name: b.Name, Version: b.Version, Digest: b.Digest})
	}
	return queues, err
}

// Broker says how the broker of a configuration is reached.
func Broker(n configs.NATS, log *slog.Logger) jobs.Options {
	return jobs.Options{
		URL: n.URL, CredentialsFile: n.CredentialsFile, CAFile: n.CAFile, CertFile: n.CertFile, KeyFile: n.KeyFile, Replicas: n.Replicas, Log: log,
	}
}

// ConfigOf is a worker's configuration as that of a gateway, as far as it goes.
func ConfigOf(w configs.Worker) configs.Config {
	c := configs.Default()
	c.NATS, c.ONNXRuntime, c.Jobs, c.Models, c.FFmpeg, c.Decode = w.NATS, w.ONNXRuntime, w.Jobs, w.Models, w.FFmpeg, w.Decode
	return c
}

// remote has jobs of other gateways done by worker.
func remote(worker *inference.Worker, decode pixeldata.Options) jobs.Remote {
	return func(ctx context.Context, j jobs.Job, order []byte, input io.Reader, keep jobs.Keep, result io.Writer) error {
		return worker.Fill(ctx, j.ID, j.Model.Name, order, input, keep, result, decode)
	}
}

// owner answers workers elsewhere that have taken a job of ours.
func (g *generation) owner() jobs.Owner {
	return jobs.Owner{
		Begin: func(ctx context.Context, j jobs.Job, takes jobs.Takes) (*jobs.Input, error) {
			if j.Model != g.models.queue(j.Model.Name) {
				return nil, nil // it was offered for a model that has been replaced, and is offered again for its successor
			}
			parcel, err := g.workshop.Pack(ctx, j.ID, takes.Prepares, takes.Videos)
			if parcel == nil {
				return nil, err
			}
			return &jobs.Input{Header: parcel.Order, Bytes: parcel.Bytes}, nil
		},
		Keep: func(ctx context.Context, j jobs.Job, part io.Reader) error {
			if j.Model != g.models.queue(j.Model.Name) {
				return fmt.Errorf("its model %s has been replaced", j.Model.String())
			}
			return g.workshop.Keep(ctx, j.ID, part)
		},
		Failed: func(ctx context.Context, j jobs.Job, why error) error {
			return g.counted(j, g.workshop.Failed(ctx, j.ID, why))
		},
		Take: func(ctx context.Context, j jobs.Job, result io.Reader) error {
			return g.counted(j, g.workshop.Unpack(ctx, j.ID, analysis.Model{Name: j.Model.Name, Version: j.Model.Version, Digest: j.Model.Digest}, result))
		},
		Park: g.parkJob, Open: g.workshop.Open, Takers: runtime.GOMAXPROCS(0), Drain: g.cfg.Drain.Std() / 3,
	}
}
