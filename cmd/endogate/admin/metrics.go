package admin

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// maxTitles bounds the label calling_ae: a peer that may use any title must not fill the memory with series.
const maxTitles = 64

// Metrics counts what the gateway does and reads how much is waiting, for Prometheus. Its methods may be
// called from any goroutine and never block on I/O.
type Metrics struct {
	registry *prometheus.Registry

	received, receivedBytes, refused, stored *prometheus.CounterVec
	jobs, delivery                           *prometheus.CounterVec
	messages, messagePeers                   *prometheus.CounterVec
	dropped, late                            prometheus.Counter
	inference, result, notified              *prometheus.HistogramVec
	strangers                                *prometheus.CounterVec
	config                                   *prometheus.GaugeVec
	reloadOK, reloadAt                       prometheus.Gauge
	away                                     turnedAway

	mu     sync.Mutex
	titles map[string]struct{}
}

// NewMetrics returns metrics of the build v. gauges is called at every scrape, with a deadline.
func NewMetrics(v Version, gauges func(context.Context) (Gauges, error)) *Metrics {
	m := &Metrics{
		registry:      prometheus.NewRegistry(),
		received:      counter("received_total", "SOP Instances taken over (made durable), by calling AE title.", "calling_ae"),
		receivedBytes: counter("received_bytes_total", "Data set bytes taken over, by calling AE title.", "calling_ae"),
		refused:       counter("refused_total", "Associations and objects refused or aborted, by cause.", "cause"),
		stored:        counter("stored_total", "C-STORE responses sent, by DIMSE status in hexadecimal.", "status"),
		jobs:          counter("jobs_total", "Inference jobs ended, by model and outcome.", "model", "outcome"),
		delivery:      counter("delivery_total", "Delivery attempts ended, by destination and outcome.", "destination", "outcome"),
		messages:      counter("hl7_messages_total", "Messages received, by type and what they were answered; no answer is of an acknowledgement.", "type", "answer"),
		messagePeers:  counter("hl7_connections_total", "Connections of senders of messages: taken, refused or ended, by cause.", "outcome"),
		dropped:       prometheus.NewCounter(prometheus.CounterOpts{Name: "endogate_hl7_dropped_bytes_total", Help: "Bytes received that were in no frame."}),
		late:          prometheus.NewCounter(prometheus.CounterOpts{Name: "endogate_hl7_late_cancels_total", Help: "Studies whose order was cancelled when work was done or under way."}),
		inference:     seconds("inference_seconds", "Time of one frame: preparation, network, explanation, maps and contours.", "model"),
		result:        waits("result_seconds", "From the C-STORE of an image to its findings, by route.", "route"),
		notified:      waits("notification_seconds", "From the C-STORE of the first image with an urgent finding until a person was told, by route.", "route"),
		strangers:     counter("turned_away_total", "Associations of callers that are no peer, by calling AE title where that is listed, and what is not.", "calling_ae", "not_listed"),
		config:        prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "endogate_config_info", Help: "Always 1; the label names the configuration in force."}, []string{"sha256"}),
		reloadOK:      prometheus.NewGauge(prometheus.GaugeOpts{Name: "endogate_config_last_reload_successful", Help: "Whether the configuration was taken over when it was read last: 1, or 0."}),
		reloadAt:      prometheus.NewGauge(prometheus.GaugeOpts{Name: "endogate_config_last_reload_success_timestamp_seconds", Help: "When a configuration was taken over last."}),
		titles:        map[string]struct{}{},
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "endogate_build_info", Help: "Always 1; the labels name the build."}, []string{"version", "commit", "go"})
	build.WithLabelValues(label(v.Version), label(v.Commit), label(v.Go)).Set(1)
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		build, m.received, m.receivedBytes, m.refused, m.stored, m.jobs, m.delivery, m.messages, m.messagePeers, m.dropped, m.late, m.inference, m.result, m.notified, m.strangers, m.config, m.reloadOK, m.reloadAt, &state{read: gauges})
	return m
}

// Certificates adds when certificates of ours expire, by what they are for; read is asked with each scrape, and leaves out what
// cannot be read.
func (m *Metrics) Certificates(read func() map[string]time.Time) {
	m.registry.MustRegister(expiries{read})
}

type expiries struct{ read func() map[string]time.Time }

var descExpires = prometheus.NewDesc("endogate_certificate_expires_timestamp_seconds", "When a certificate of the gateway expires, by what it is for.", []string{"name"}, nil)

// Describe implements prometheus.Collector.
func (expiries) Describe(ch chan<- *prometheus.Desc) { ch <- descExpires }

// Collect implements prometheus.Collector.
func (e expiries) Collect(ch chan<- prometheus.Metric) {
	for name, at := range e.read() {
		ch <- prometheus.MustNewConstMetric(descExpires, prometheus.GaugeValue, float64(at.Unix()), label(name))
	}
}

// Configuration says which configuration is in force (SHA-256), and whether it was taken over when one was read last.
func (m *Metrics) Configuration(digest string, taken bool, at time.Time) {
	m.InForce(digest)
	m.reloadOK.Set(0)
	if taken {
		m.reloadOK.Set(1)
		m.reloadAt.Set(float64(at.Unix()))
	}
}

// InForce says what is in force, whatever the last reload came to.
func (m *Metrics) InForce(digest string) {
	m.config.Reset()
	m.config.WithLabelValues(digest).Set(1)
}

// Received counts a SOP Instance of size bytes that was made durable.
func (m *Metrics) Received(callingAE string, size int64) {
	title := m.title(callingAE)
	m.received.WithLabelValues(title).Inc()
	m.receivedBytes.WithLabelValues(title).Add(float64(max(size, 0)))
}

// Refused counts an association or an object that was refused or aborted. cause is one of a small fixed set
// of words ("unknown_calling_ae", "disk_full", …), never text from the wire.
func (m *Metrics) Refused(cause string) { m.refused.WithLabelValues(label(cause)).Inc() }

// TurnedAway counts an association of a caller that is no peer; why is one of NotAddress, NotTitle and NotListed.
func (m *Metrics) TurnedAway(title, address, why string, now time.Time) {
	name := "(not listed)"
	if why == NotAddress {
		name = m.title(title)
	}
	m.strangers.WithLabelValues(name, why).Inc()
	m.away.add(TurnedAway{AETitle: label(title), Address: address, Why: why}, now)
}

// TurnedAwayLately lists who was turned away since the start, the last first.
func (m *Metrics) TurnedAwayLately() []TurnedAway { return m.away.list() }

// Stored counts a C-STORE response with this status.
func (m *Metrics) Stored(status uint16) {
	m.stored.WithLabelValues(fmt.Sprintf("%04X", status)).Inc()
}

// Job counts the end of a job, or of a try: "done", "skipped" (there was nothing that it could analyse) or "failed".
func (m *Metrics) Job(model, outcome string) {
	m.jobs.WithLabelValues(label(model), label(outcome)).Inc()
}

// Inference records the time of one frame, from its preparation to its findings.
func (m *Metrics) Inference(model string, d time.Duration) {
	m.inference.WithLabelValues(label(model)).Observe(d.Seconds())
}

// Result records the time from the C-STORE of an image to its findings, and Notified until a person was told of them. A clock that was set
// back makes neither less than nothing.
func (m *Metrics) Result(route string, d time.Duration) {
	m.result.WithLabelValues(label(route)).Observe(max(d, 0).Seconds())
}

// Notified is Result for a notification.
func (m *Metrics) Notified(route string, d time.Duration) {
	m.notified.WithLabelValues(label(route)).Observe(max(d, 0).Seconds())
}

// Delivery counts the end of an attempt to deliver: "done", "retry" or "parked".
func (m *Metrics) Delivery(destination, outcome string) {
	m.delivery.WithLabelValues(label(destination), label(outcome)).Inc()
}

// Message counts a message of another protocol by its type, one of a fixed set, and what it was answered.
func (m *Metrics) Message(kind, answer string) {
	m.messages.WithLabelValues(label(kind), label(answer)).Inc()
}

// MessagePeer counts what became of a connection of a sender of messages.
func (m *Metrics) MessagePeer(outcome string) { m.messagePeers.WithLabelValues(label(outcome)).Inc() }

// Dropped counts bytes that came where a message was due and were none.
func (m *Metrics) Dropped(bytes int64) { m.dropped.Add(float64(max(bytes, 0))) }

// LateCancel counts studies whose order was cancelled too late.
func (m *Metrics) LateCancel(studies int) { m.late.Add(float64(max(studies, 0))) }

// Handler serves the metrics in Prometheus' text format. What can be read is served even when the state cannot.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}

func (m *Metrics) title(ae string) string {
	ae = label(ae)
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, seen := m.titles[ae]; !seen {
		if len(m.titles) >= maxTitles {
			return "(other)"
		}
		m.titles[ae] = struct{}{}
	}
	return ae
}

// label makes s fit for a label value, which has to be UTF-8.
func label(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "endogate_" + name, Help: help}, labels)
}

func seconds(name, help string, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "endogate_" + name, Help: help,
		Buckets: []float64{.005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10},
	}, labels)
}

// waits are seconds of what may take hours.
func waits(name, help string, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "endogate_" + name, Help: help,
		Buckets: []float64{.1, .2, .5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 3600, 4 * 3600, 24 * 3600},
	}, labels)
}
