package configs

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/pdu"
	"endogate/explain"
	"endogate/hl7"
)

// Validate reports every fault of the configuration at once, each with its key.
func (c Config) Validate() error {
	var v faults
	v.check(c.DataDir != "", "data_dir: empty; name the folder that holds spool and ledger")
	v.paths("", reflect.ValueOf(c))
	v.spans("", reflect.ValueOf(c))
	c.validateListeners(&v)
	v.logging(c.Log)
	v.check(c.Drain > 0, "drain: must be above zero")
	c.DICOM.validate(&v)
	v.address("http.listen", c.HTTP.Listen)
	c.validateAuth(&v)
	c.HL7.validate(&v)
	v.check(c.Ledger.History == 0 || c.Ledger.History >= c.HL7.Retention,
		"ledger.history: must be 0, or not less than hl7.retention (%v)", c.HL7.Retention.Std())
	v.check(c.Spool.Retention >= 0, "spool.retention: must not be negative")
	v.check(c.Ledger.History == 0 || c.Ledger.History >= c.Spool.Retention,
		"ledger.history: must be 0, or not less than spool.retention (%v)", c.Spool.Retention.Std())
	v.check(c.Delivery.GiveUp >= c.Delivery.MinBackoff, "delivery.give_up: must not be less than delivery.min_backoff (%v): nothing would be tried twice", c.Delivery.MinBackoff.Std())
	v.check(c.Spool.InlineLimit > 0 && c.Spool.InlineLimit <= 16<<20, "spool.inline_limit: must be above zero and at most 16MiB")
	v.check(c.Spool.SegmentSize >= 4*c.Spool.InlineLimit, "spool.segment_size: must be at least four times spool.inline_limit")
	c.ONNXRuntime.validate(&v)
	v.atMost("jobs.workers", c.Jobs.Workers, 0, mostThreads)
	v.check(c.Jobs.Workers > 0 || c.NATS.URL != "", "jobs.workers: 0 leaves the work to workers elsewhere, who come by nats.url; set that too")
	c.NATS.validate(&v)
	v.check(c.NATS.Replicas >= 1 && c.NATS.Replicas <= 5, "nats.replicas: must be from 1 to 5, and not more than the cluster has servers")
	v.atMost("jobs.max_deliver", c.Jobs.MaxDeliver, 1, mostTries)
	v.check(c.Jobs.AckWait.Std() >= time.Second, "jobs.ack_wait: must be 1s or more")
	v.check(c.Jobs.Limit > 0 && c.Jobs.PerFrame >= 0, "jobs.limit: must be above zero, and jobs.limit_per_frame not below")
	c.Decode.validate(&v)
	v.check(c.Delivery.MinBackoff > 0 && c.Delivery.MinBackoff <= c.Delivery.MaxBackoff, "delivery.min_backoff: must be above zero and at most delivery.max_backoff")
	v.check(c.Delivery.Timeout > 0, "delivery.timeout: must be above zero")
	v.check(c.Exam.Quiet > 0 && c.Exam.Quiet <= c.Exam.MaxWait, "exam.quiet: must be above zero and at most exam.max_wait (%v)", c.Exam.MaxWait.Std())
	c.Reports.validate(&v)
	v.check(c.Reading.Frames >= 1, "reading.frames: must be 1 or more")
	v.models(c.Models)
	c.validateRoutes(&v)
	c.validateNotify(&v)
	c.validateLive(&v)
	return errors.Join(v...)
}

// Validate reports every fault at once, as Config's does.
func (w Worker) Validate() error {
	var v faults
	v.logging(w.Log)
	w.ONNXRuntime.validate(&v)
	v.paths("", reflect.ValueOf(w))
	v.check(w.NATS.URL != "", "nats.url: empty; name the server that the gateways use")
	w.NATS.validate(&v)
	v.atMost("jobs.workers", w.Jobs.Workers, 1, mostThreads)
	v.check(len(w.Models) > 0, "models: empty; a worker needs a model bundle")
	v.models(w.Models)
	return errors.Join(v...)
}

func (n NATS) validate(v *faults) {
	for one := range strings.SplitSeq(n.URL, ",") {
		one = strings.TrimSpace(one)
		if !strings.Contains(one, "://") {
			one = "nats://" + one // as the client of NATS takes it
		}
		u, err := url.Parse(one)
		known := err == nil && slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) && u.Hostname() != "" && strings.Trim(u.Path, "/") == ""
		if known && u.Port() != "" {
			port, err := strconv.Atoi(u.Port())
			known = err == nil && port > 0 && port <= mostPort
		}
		v.check(known || n.URL == "", "nats.url: it names no server of NATS; write nats://HOST:4222, or several with commas between") // it may hold a password
	}
	v.check(n.URL != "" || n.CredentialsFile+n.CAFile+n.CertFile+n.KeyFile == "", "nats.url: empty, and the embedded server asks for no files; set it, or leave credentials_file, ca_file, cert_file and key_file empty")
	v.check((n.CertFile == "") == (n.KeyFile == ""), "nats.cert_file, nats.key_file: one goes with the other; set both or none")
}

func (v *faults) logging(log Log) {
	v.oneOf("log.level", log.Level, "debug", "info", "warn", "error")
	v.oneOf("log.format", log.Format, "text", "json")
}

func (v *faults) models(models []Model) {
	for i, m := range models {
		v.check(m.Dir != "", "models[%d].dir: empty; name the folder of a model bundle", i)
	}
}

func (o ONNXRuntime) validate(v *faults) {
	v.atMost("onnxruntime.threads", o.Threads, 1, mostThreads)
	v.oneOf("onnxruntime.provider", o.Provider, "cpu", "cuda")
	v.check(o.Cache >= leastCache, "onnxruntime.cache: must be 1MiB or more")
	v.check(o.LiveCache >= leastCache, "onnxruntime.live_cache: must be 1MiB or more")
}

func (d DICOM) validate(v *faults) {
	v.aeTitle("dicom.ae_title", d.AETitle)
	v.address("dicom.listen", d.Listen)
	t := d.TLS
	if t.Listen != "" {
		v.address("dicom.tls.listen", t.Listen)
		v.check(t.CertFile != "" && t.KeyFile != "", "dicom.tls: cert_file and key_file are needed")
		v.check(t.CAFile != "", "dicom.tls.ca_file: empty; name the authority of the peers' certificates, who have to show one (PS3.15 B.12)")
	}
	v.check(t.Listen != "" || t == DICOMTLS{}, "dicom.tls.listen: empty, and files are named; write :2762")
	v.check(len(d.SOPClasses) > 0, "dicom.sop_classes: empty; nothing could be received")
	_, err := dicom.SelectStorage(d.SOPClasses)
	v.check(err == nil, "dicom.sop_classes: %v", err)
	v.atMost("dicom.max_associations", d.MaxAssociations, 1, mostConnections)
	v.atMost("dicom.max_per_peer", d.MaxPerPeer, 1, mostConnections)
	v.check(d.MaxPDULength >= pdu.LeastMaximumLength && d.MaxPDULength <= pdu.MostMaximumLength,
		"dicom.max_pdu_length: must be from %dKiB to %dKiB", pdu.LeastMaximumLength>>10, pdu.MostMaximumLength>>10)
	v.check(d.ARTIM > 0, "dicom.artim: must be above zero")
	v.check(d.IdleTimeout > 0, "dicom.idle_timeout: must be above zero")
	v.check(d.PDUTimeout > 0, "dicom.pdu_timeout: must be above zero")
	for i, peer := range d.Peers {
		v.aeTitle(fmt.Sprintf("dicom.peers[%d].ae_title", i), peer.AETitle)
		v.check(t.Listen != "" || len(peer.Names) == 0 && !peer.Clear, "dicom.peers[%d]: certificate_names and clear_text are for dicom.tls, which is not there", i)
		key := fmt.Sprintf("dicom.peers[%d].identity", i)
		peer.Identity.validate(v, key)
		v.check(!peer.Identity.secret() || t.Listen != "" && !peer.Clear || peer.local(), "%s: passcodes and tokens would be readable on the way; have the peer come by dicom.tls, without clear_text", key)
		v.check(len(peer.Hosts) > 0, "dicom.peers[%d].hosts: empty; list the networks the peer may come from, such as 10.1.2.0/24", i)
	}
}

func (h HL7) validate(v *faults) {
	if h.Listen != "" {
		v.address("hl7.listen", h.Listen)
	}
	v.check((h.TLS.CertFile == "") == (h.TLS.KeyFile == ""), "hl7.tls: cert_file and key_file go together; set both or none")
	v.check(h.TLS.CAFile == "" || h.TLS.CertFile != "", "hl7.tls.ca_file: it is for TLS; set cert_file and key_file too")
	v.oneOf("hl7.processing_id", h.ProcessingID, "P", "T", "D")
	v.check(h.MaxMessage >= 1<<10 && h.MaxMessage <= 20<<20, "hl7.max_message: must be from 1KiB to 20MiB")
	v.atMost("hl7.max_connections", h.MaxConnections, 1, mostConnections)
	v.check(h.IdleTimeout > 0, "hl7.idle_timeout: must be above zero")
	v.check(h.ReadTimeout > 0, "hl7.read_timeout: must be above zero")
	v.check(h.Retention >= 0, "hl7.retention: must not be negative")
	for i, s := range h.Senders {
		v.check(s.Application != "", "hl7.senders[%d].application: empty; write what the sender has in MSH-3, or * for any", i)
		v.check(len(s.Hosts) > 0, "hl7.senders[%d].hosts: empty; list the networks it may send from, such as 10.1.2.0/24", i)
		v.check(s.Charset == "" || hl7.KnownCharset(s.Charset), "hl7.senders[%d].charset: %q is unknown; write a name of HL7 table 0211, such as 8859/1 or UNICODE UTF-8, or CP1252", i, s.Charset)
	}
}

func (r Reports) validate(v *faults) {
	v.oneOf("reports.colour_map", r.ColourMap, explain.ColourMapNames...)
	v.check(r.Opacity > 0 && r.Opacity <= 1, "reports.opacity: must be above 0 and at most 1")
	v.atMost("reports.key_images", r.KeyImages, 1, mostKeyImages)
	v.check(r.Language != "", "reports.language: empty; write en, de or nb")
	if r.Viewer != "" {
		v.viewer("reports.viewer", r.Viewer)
	}
	v.check(r.StationName != "", "reports.station_name: empty")
	v.text("reports.station_name", r.StationName, "SH")
	v.check(r.DeviceSerialNumber != "", "reports.device_serial_number: empty")
	v.text("reports.device_serial_number", r.DeviceSerialNumber, "LO")
	v.text("reports.institution_name", r.InstitutionName, "LO")
	_, err := time.LoadLocation(r.TimeZone)
	v.check(err == nil, "reports.time_zone: %q is unknown; write UTC or a name such as Europe/Oslo", r.TimeZone)
}

// viewer holds value to the URL of a page that a person opens, with blanks for what it is to show.
func (v *faults) viewer(key, value string) {
	u, err := url.Parse(value)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		v.check(false, "%s: not a URL; write https://viewer.example/?study={study}", key)
	case u.User != nil:
		v.check(false, "%s: holds a user or password, and every report would show it; write it without", key)
	case !strings.Contains(value, "{study}"):
		v.check(false, "%s: {study} is missing; write it where the Study Instance UID belongs", key)
	case strings.ContainsAny(strings.NewReplacer("{study}", "", "{instance}", "").Replace(value), "{} \\\"<>"):
		v.check(false, "%s: a character that is in no URL, or a blank that is neither {study} nor {instance}", key)
	}
}

func (c Config) validateRoutes(v *faults) {
	var destinations, routes []string
	for i, d := range c.Destinations {
		key := fmt.Sprintf("destinations[%d]", i)
		v.check(name.MatchString(d.Name), "%s.name: %q; use letters, digits, - and _", key, d.Name)
		v.check(!slices.Contains(destinations, d.Name), "%s.name: %q is there twice", key, d.Name)
		destinations = append(destinations, d.Name)
		d.validate(v, key)
		v.check(!c.itself(d), "%s.address: %q is this gateway itself, which would get back what it makes; name another system", key, d.Address)
	}
	for i, r := range c.Routes {
		key := fmt.Sprintf("routes[%d]", i)
		r.Match.validate(v, key+".match")
		for k, before := range c.Routes[:i] {
			v.check(!before.Match.takes(r.Match), "%s.match: nothing gets as far as here: routes[%d] (%s) takes all of it; put the narrower route first", key, k, before.Name)
		}
		v.check(name.MatchString(r.Name), "%s.name: %q; use letters, digits, - and _", key, r.Name)
		v.check(!slices.Contains(routes, r.Name), "%s.name: %q is there twice", key, r.Name)
		routes = append(routes, r.Name)
		v.check(len(r.Models) > 0 || r.ForwardSource, "%s.models: empty, and forward_source is off: the route would do nothing", key)
		v.check(slices.Contains([]string{"", "off", "warn", "hold"}, r.Gate), "%s.gate: %q: not one of off, warn, hold", key, r.Gate)
		v.check(r.Clip.known(), "%s.clip: %q: not one of %s", key, r.Clip, clipNames)
		v.check(slices.Contains([]Clip{"", ClipOff, ClipMultiFrame}, r.ClipElse), "%s.clip_else: %q: not one of off, multi-frame", key, r.ClipElse)
		v.check(len(r.Destinations) > 0, "%s.destinations: empty; its results would go nowhere", key)
		v.check(!r.ForwardSource || len(c.Of(KindDICOM, r.Destinations)) > 0, "%s.forward_source: true, and none of its destinations is of kind dicom", key)
		for k, h := range r.Heatmaps {
			v.check(h.Method != "", "%s.heatmaps[%d].method: empty; name a method, such as gradcam or guided-gradcam", key, k)
			v.check(!slices.Contains(r.Heatmaps[:k], h), "%s.heatmaps[%d]: %s at %q is there twice", key, k, h.Method, h.Layer)
		}
		for k, d := range r.Destinations {
			v.check(!slices.Contains(r.Destinations[:k], d), "%s.destinations: %q is there twice", key, d)
			v.check(slices.Contains(destinations, d), "%s.destinations: %q is not among the destinations (%s)", key, d, strings.Join(destinations, ", "))
			v.check(len(c.Of(KindWebhook, []string{d}))+len(c.Of(KindEmail, []string{d})) == 0, "%s.destinations: %q gets notifications and no results; name it in notify", key, d)
		}
	}
}

const clipNames = "off, multi-frame, video-endoscopic, video-photographic"

func (c Clip) known() bool {
	return slices.Contains([]Clip{"", ClipOff, ClipMultiFrame}, c) || c.Video()
}

type faults []error

func (v *faults) check(ok bool, format string, args ...any) {
	if !ok {
		key, what, _ := strings.Cut(fmt.Sprintf(format, args...), ": ")
		*v = append(*v, fault{key, what})
	}
}

func (v *faults) oneOf(key, value string, allowed ...string) {
	v.check(slices.Contains(allowed, value), "%s: %q; write one of %s", key, value, strings.Join(allowed, ", "))
}

func (v *faults) address(key, value string) {
	host, port, err := net.SplitHostPort(value)
	v.check(err == nil && !strings.ContainsAny(host, " \t/*"), "%s: %q is no address; write host:port", key, value)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
		v.check(err == nil && port != "" && !strings.ContainsAny(port, " \t+"), "%s: %q is no port; write a number up to 65535", key, port)
	}
}

// peer is the address of another machine.
func (v *faults) peer(key, value string) {
	host, port, err := net.SplitHostPort(value)
	n, bad := net.LookupPort("tcp", port)
	if v.address(key, value); err == nil {
		v.check(host != "" && (n != 0 || bad != nil || port == ""), "%s: %q names no machine, or port 0; write host:port", key, value)
	}
}

// What is above these is a slip of the pen, and would take the machine's memory.
const (
	mostThreads     = 1024
	mostConnections = 10000
	mostKeyImages   = 1000
	mostTries       = 1000
	mostPort        = 65535
)

// What is below these is one, too.
const (
	leastSpan  = 10 * time.Millisecond
	leastCache = 1 << 20
)

func (v *faults) atMost(key string, value, least, most int) {
	v.check(value >= least && value <= most, "%s: must be from %d to %d", key, least, most)
}

// validateListeners names two that would be on one port.
func (c Config) validateListeners(v *faults) {
	type listener struct{ key, address string }
	all := []listener{{"dicom.listen", c.DICOM.Listen}, {"dicom.tls.listen", c.DICOM.TLS.Listen}, {"http.listen", c.HTTP.Listen}, {"hl7.listen", c.HL7.Listen}}
	for i, l := range all {
		host, port, err := net.SplitHostPort(l.address)
		for _, o := range all[:i] {
			other, taken, otherErr := net.SplitHostPort(o.address)
			same := err == nil && otherErr == nil && port == taken && port != "0" && (host == other || everywhere(host) || everywhere(other))
			v.check(!same, "%s: %q is the port of %s, too; give each its own", l.key, l.address, o.key)
		}
	}
}

// itself reports whether a destination is a listener of this gateway, on this machine.
func (c Config) itself(d Destination) bool {
	listen := map[Kind]string{KindDICOM: c.DICOM.Listen, KindHL7: c.HL7.Listen}[d.Kind]
	own, port, err := net.SplitHostPort(listen)
	host, its, itsErr := net.SplitHostPort(d.Address)
	return err == nil && itsErr == nil && port == its && port != "0" && (host == own || loopback(host) && (loopback(own) || everywhere(own)))
}

func everywhere(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "" || err == nil && address.IsUnspecified()
}

// spans names time spans that nothing could be done in: 60us was 60s in somebody's mind, or 60 stood where a unit belongs. Where 0 may stand, it means something.
func (v *faults) spans(key string, value reflect.Value) {
	if span, ok := value.Interface().(Duration); ok {
		v.check(span <= 0 || span.Std() >= leastSpan, "%s: %v is shorter than %v; write 30s, 5m or 4h", key, span.Std(), leastSpan)
	} else if value.Kind() == reflect.Struct {
		for field, below := range value.Fields() {
			if tag := field.Tag.Get("koanf"); tag != "" {
				v.spans(strings.TrimPrefix(key+"."+tag, "."), below)
			}
		}
	}
}

// paths names those that are of another machine, or that a shell would have to read first.
func (v *faults) paths(key string, value reflect.Value) {
	switch value.Kind() {
	case reflect.String:
		name, path := key[strings.LastIndexByte(key, '.')+1:], value.String()
		if strings.HasSuffix(name, "_file") || slices.Contains([]string{"data_dir", "dir", "library", "font", "templates", "ontology", "ffmpeg"}, name) {
			v.check(!strings.HasPrefix(path, "~") && !strings.ContainsAny(path, "$\\\n\x00") && !strings.Contains(path, "://"),
				"%s: %q is no path of this machine: ~, variables, backslashes and URLs are not read; write it whole, such as /var/lib/endogate", key, path)
		}
	case reflect.Struct:
		for field, below := range value.Fields() {
			if tag := field.Tag.Get("koanf"); tag != "" {
				v.paths(strings.TrimPrefix(key+"."+tag, "."), below)
			}
		}
	case reflect.Slice:
		for i := range value.Len() {
			v.paths(fmt.Sprintf("%s[%d]", key, i), value.Index(i))
		}
	}
}

var modality = regexp.MustCompile(`^[A-Z0-9_]([A-Z0-9_ ]{0,14}[A-Z0-9_])?$`) // CS, PS3.5 6.2

// validate names what no instance ever has: the route would wait for it for ever.
func (m Match) validate(v *faults, key string) {
	for k, title := range m.CallingAE {
		v.aeTitle(fmt.Sprintf("%s.calling_ae[%d]", key, k), title)
	}
	for k, value := range m.Modality {
		v.check(modality.MatchString(strings.ToUpper(value)), "%s.modality[%d]: %q is no modality; write one code an entry: [ES, XC]", key, k, value)
	}
	for k, value := range m.SOPClass {
		v.check(dicom.UID(value).Valid(), "%s.sop_class[%d]: %q is no UID; write that of the SOP class, such as 1.2.840.10008.5.1.4.1.1.77.1.1", key, k, value)
	}
	for name, values := range map[string][]string{"station_name": m.StationName, "procedure_code": m.ProcedureCode} {
		for k, value := range values {
			v.check(value != "" && strings.TrimSpace(value) == value, "%s.%s[%d]: %q begins or ends with a blank, or is empty, as no instance has it", key, name, k, value)
		}
	}
}

// takes reports whether all that other matches matches m, too.
func (m Match) takes(other Match) bool {
	return all(m.Modality, other.Modality) && all(m.SOPClass, other.SOPClass) && all(m.CallingAE, other.CallingAE) &&
		all(m.StationName, other.StationName) && all(m.ProcedureCode, other.ProcedureCode)
}

// all reports whether a condition lets every value pass that another one does; none is given: it lets all pass.
func all[T comparable](values, others []T) bool {
	return len(values) == 0 || len(others) > 0 && !slices.ContainsFunc(others, func(o T) bool { return !slices.Contains(values, o) })
}

// loopback reports whether host is this machine. A name other than localhost may be anything.
func loopback(host string) bool {
	address, err := netip.ParseAddr(host)
	if err != nil {
		return strings.EqualFold(host, "localhost")
	}
	return address.Unmap().IsLoopback()
}

var name = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)

func (v *faults) aeTitle(key string, title dicom.AETitle) {
	v.check(title.Valid(), "%s: %q is no AE title; %s", key, title, dicom.AETitleRule)
}

// text holds value to what an object may say in an element of the VR.
func (v *faults) text(key, value, vr string) {
	err := dicom.CheckText(vr, value)
	v.check(err == nil, "%s: %q cannot stand in an object: %v", key, value, err)
}
