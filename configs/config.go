// Package configs holds endogate's configuration: one YAML file, decoded strictly,
// over defaults that [Default] states, under ENDOGATE_… variables of the environment.
//
// Every other package takes plain fields; only cmd/endogate sees a whole [Config].
package configs

import (
	"net"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"endogate/dicomnode/dicom"
)

// Config is the whole configuration of a gateway.
type Config struct {
	DataDir      string        `koanf:"data_dir"`
	Drain        Duration      `koanf:"drain"`
	Log          Log           `koanf:"log"`
	DICOM        DICOM         `koanf:"dicom"`
	HTTP         HTTP          `koanf:"http"`
	Auth         Auth          `koanf:"auth"`
	Audit        Audit         `koanf:"audit"`
	HL7          HL7           `koanf:"hl7"`
	NATS         NATS          `koanf:"nats"`
	Spool        Spool         `koanf:"spool"`
	Ledger       Ledger        `koanf:"ledger"`
	ONNXRuntime  ONNXRuntime   `koanf:"onnxruntime"`
	Jobs         Jobs          `koanf:"jobs"`
	Models       []Model       `koanf:"models"`
	Routes       []Route       `koanf:"routes"`
	Destinations []Destination `koanf:"destinations"`
	Delivery     Delivery      `koanf:"delivery"`
	Exam         Exam          `koanf:"exam"`
	Reports      Reports       `koanf:"reports"`
	Reading      Reading       `koanf:"reading"`
	Urgent       []Urgent      `koanf:"urgent"`
	Notify       []Notify      `koanf:"notify"`
	Live         []Live        `koanf:"live"`
	FFmpeg       string        `koanf:"ffmpeg"`
	Decode       Decode        `koanf:"decode"`
}

// Worker is the configuration of a worker alone: it has no part in a gateway's data folder.
type Worker struct {
	DataDir     string      `koanf:"data_dir"` // as a gateway's; nothing is kept there
	Log         Log         `koanf:"log"`
	NATS        NATS        `koanf:"nats"`
	ONNXRuntime ONNXRuntime `koanf:"onnxruntime"`
	Jobs        Jobs        `koanf:"jobs"`
	Models      []Model     `koanf:"models"`
	FFmpeg      string      `koanf:"ffmpeg"`
	Decode      Decode      `koanf:"decode"`
}

// DefaultWorker is what Default says of a worker.
func DefaultWorker() Worker {
	c := Default()
	return Worker{DataDir: c.DataDir, Log: c.Log, NATS: c.NATS, ONNXRuntime: c.ONNXRuntime, Jobs: c.Jobs, Models: c.Models, FFmpeg: c.FFmpeg, Decode: c.Decode}
}

// Log says how much is logged and in which form.
type Log struct {
	Level  string `koanf:"level"`  // debug, info, warn, error
	Format string `koanf:"format"` // text, json
}

// DICOM describes the application entity.
type DICOM struct {
	AETitle         dicom.AETitle `koanf:"ae_title"`
	Listen          string        `koanf:"listen"`
	TLS             DICOMTLS      `koanf:"tls"`
	SOPClasses      []string      `koanf:"sop_classes"` // UIDs or names of groups
	Peers           []Peer        `koanf:"peers"`
	MaxAssociations int           `koanf:"max_associations"`
	MaxPerPeer      int           `koanf:"max_per_peer"`
	MaxPDULength    Size          `koanf:"max_pdu_length"`
	ARTIM           Duration      `koanf:"artim"`
	IdleTimeout     Duration      `koanf:"idle_timeout"`
	PDUTimeout      Duration      `koanf:"pdu_timeout"`
}

// Peer may associate: a calling AE title bound to source addresses.
type Peer struct {
	AETitle dicom.AETitle `koanf:"ae_title"` // * is any
	Hosts   []Host        `koanf:"hosts"`
	Names   []string      `koanf:"certificate_names"` // of which its certificate must have one; none: any that the authority gave
	Clear   bool          `koanf:"clear_text"`        // it may come without TLS where dicom.tls is there
	// Identity is what it has to say of itself besides.
	Identity Identity `koanf:"identity"`
}

// DICOMTLS is the listener for associations over TLS; no address: there is none.
type DICOMTLS struct {
	Listen   string `koanf:"listen"`
	CertFile string `koanf:"cert_file"`
	KeyFile  string `koanf:"key_file"`
	CAFile   string `koanf:"ca_file"` // of the certificates that peers must have
}

// HL7 describes the listener for messages.
type HL7 struct {
	Listen         string   `koanf:"listen"` // empty: none
	TLS            HL7TLS   `koanf:"tls"`
	Senders        []Sender `koanf:"senders"`
	ProcessingID   string   `koanf:"processing_id"`
	MaxMessage     Size     `koanf:"max_message"`
	MaxConnections int      `koanf:"max_connections"`
	IdleTimeout    Duration `koanf:"idle_timeout"`
	ReadTimeout    Duration `koanf:"read_timeout"`
	Retention      Duration `koanf:"retention"` // of the messages' bytes
}

// HL7TLS names the files of the listener's TLS; none: it speaks without.
type HL7TLS struct {
	CertFile string `koanf:"cert_file"`
	KeyFile  string `koanf:"key_file"`
	CAFile   string `koanf:"ca_file"` // who connects needs a certificate from it
}

// Sender may send messages: an application bound to source addresses.
type Sender struct {
	Application       string `koanf:"application"` // MSH-3; * is any
	Hosts             []Host `koanf:"hosts"`
	Charset           string `koanf:"charset"`             // of its text, whatever MSH-18 says
	Authority         string `koanf:"authority"`           // PID-3.4 of the identifier that counts
	FillerIsAccession bool   `koanf:"filler_is_accession"` // where OBR-18 and IPC-1 are empty
}

// HTTP describes the admin API and web page.
type HTTP struct {
	Listen      string   `koanf:"listen"`
	AllowRemote bool     `koanf:"allow_remote"`
	URL         string   `koanf:"url"`     // under which people reach the page: links to it begin so
	Hosts       []string `koanf:"hosts"`   // names it is reached by, besides localhost and addresses
	Origins     []string `koanf:"origins"` // of viewers that other servers give to a browser, which may use DICOMweb; none: nobody's
	// TLS of the listener, or of a proxy before it.
	TLS       HTTPTLS `koanf:"tls"`
	BehindTLS bool    `koanf:"behind_tls"`
	// A proxy at which people sign in names them in a header; from other addresses than its own the header counts for nothing.
	TrustedProxyHeader string `koanf:"trusted_proxy_header"`
	TrustedProxies     []Host `koanf:"trusted_proxies"`
	TrustedProxyRole   string `koanf:"trusted_proxy_role"` // of whom is no user of the gateway; empty: none
}

// HTTPTLS names the files of the page's certificate; none: it speaks without TLS.
type HTTPTLS struct {
	CertFile string `koanf:"cert_file"`
	KeyFile  string `koanf:"key_file"`
}

// Remote reports whether the page may be reached from other machines: it listens on anything but a loopback address.
func (h HTTP) Remote() bool {
	host, _, err := net.SplitHostPort(h.Listen)
	return err != nil || !loopback(host)
}

// NATS names the broker; an empty URL means the embedded one.
type NATS struct {
	URL             string `koanf:"url"`
	CredentialsFile string `koanf:"credentials_file"`
	CAFile          string `koanf:"ca_file"`
	CertFile        string `koanf:"cert_file"` // ours, for a server that asks for one
	KeyFile         string `koanf:"key_file"`
	Replicas        int    `koanf:"replicas"` // of every stream, in a cluster
}

// Spool bounds the store of instances.
type Spool struct {
	Reserve     Size     `koanf:"reserve"`
	InlineLimit Size     `koanf:"inline_limit"`
	SegmentSize Size     `koanf:"segment_size"`
	Retention   Duration `koanf:"retention"`
}

// Ledger bounds the store of what happened.
type Ledger struct {
	History Duration `koanf:"history"` // 0: for ever
}

// ONNXRuntime says where the library is and how many threads a network may use.
type ONNXRuntime struct {
	Library string `koanf:"library"`
	Threads int    `koanf:"threads"` // of one run
	// Provider computes: cpu, or cuda where the library has it.
	Provider string `koanf:"provider"`
	Cache    Size   `koanf:"cache"` // of explanation sessions for routes, all models together
	// LiveCache is the same for questions that somebody asks.
	LiveCache Size `koanf:"live_cache"`
}

// Jobs says how inference work is handed out.
type Jobs struct {
	Workers    int      `koanf:"workers"`
	MaxDeliver int      `koanf:"max_deliver"`
	AckWait    Duration `koanf:"ack_wait"`
	// Limit and PerFrame bound the time of a job: so long, and so much longer for each of its frames.
	Limit    Duration `koanf:"limit"`
	PerFrame Duration `koanf:"limit_per_frame"`
}

// Decode bounds what the decoding of one frame may cost.
type Decode struct {
	Pixels int      `koanf:"pixels"`
	Scans  int      `koanf:"scans"` // of a JPEG
	CPU    Duration `koanf:"cpu"`
	Memory Size     `koanf:"memory"`
}

func (d Decode) validate(v *faults) {
	v.check(d.Pixels > 0, "decode.pixels: must be above zero")
	v.check(d.Scans > 0, "decode.scans: must be above zero")
	v.check(d.CPU.Std() >= time.Second, "decode.cpu: must be 1s or more")
	v.check(d.Memory >= 64<<20, "decode.memory: must be 64MiB or more")
}

// Model names a model bundle.
type Model struct {
	Dir string `koanf:"dir"`
}

// Route says which instances go to which models and destinations; the first that matches is taken.
type Route struct {
	Name          string   `koanf:"name"`
	Match         Match    `koanf:"match"`
	Models        []string `koanf:"models"`
	Destinations  []string `koanf:"destinations"`
	ForwardSource bool     `koanf:"forward_source"`
	Gate          string   `koanf:"gate"` // off, warn, hold; empty: warn
	// Heatmaps are the series to make of a finding, in place of the one that the model's manifest names.
	Heatmaps []Heatmap `koanf:"heatmaps"`
	// Explain are classes that are explained where they are found, besides those that are findings: a landmark, or what is normal.
	Explain []string `koanf:"explain"`
	// Clip is what is made of the frames around a finding in a video, besides the heatmaps of its key frames. A destination may want another form.
	Clip Clip `koanf:"clip"`
	// ClipElse is made in place of a video that cannot be encoded here: off or multi-frame.
	ClipElse Clip `koanf:"clip_else"`
}

// Clip is the form of a heatmap clip.
type Clip string

// The forms. What a peer does not accept waits for a person: none is made where nobody asks for it.
const (
	ClipOff        Clip = "off"         // as where nothing is said
	ClipMultiFrame Clip = "multi-frame" // Multi-frame True Color Secondary Capture, JPEG

	ClipVideoEndoscopic   Clip = "video-endoscopic"   // Video Endoscopic Image, H.264
	ClipVideoPhotographic Clip = "video-photographic" // Video Photographic Image, H.264
)

// EncodesClips reports whether a route or destination wants clips that have to be encoded.
func (c Config) EncodesClips() bool {
	clips := func(r Route) bool { return r.Clip != "" && r.Clip != ClipOff }
	return slices.ContainsFunc(c.Routes, func(r Route) bool { return r.Clip.Video() }) ||
		slices.ContainsFunc(c.Routes, clips) && slices.ContainsFunc(c.Destinations, func(d Destination) bool { return d.Clip.Video() })
}

// Video reports whether it has to be encoded.
func (c Clip) Video() bool { return c == ClipVideoEndoscopic || c == ClipVideoPhotographic }

// Heatmap names a method of explanation and the layer it explains at; no layer is the last one.
type Heatmap struct {
	Method string `koanf:"method"`
	Layer  string `koanf:"layer"`
}

// Match holds conditions on an instance: all that are given must hold, one value of each is enough.
type Match struct {
	Modality      []string        `koanf:"modality"`
	SOPClass      []string        `koanf:"sop_class"`
	CallingAE     []dicom.AETitle `koanf:"calling_ae"`
	StationName   []string        `koanf:"station_name"`
	ProcedureCode []string        `koanf:"procedure_code"`
}

// Destination receives what the gateway made. Which keys it has depends on its kind.
type Destination struct {
	Name string `koanf:"name"`
	Kind Kind   `koanf:"kind"`

	Address string `koanf:"address"` // host:port, of dicom, hl7 and email

	// Of dicom.
	AETitle        dicom.AETitle `koanf:"ae_title"`
	FollowsMerge   bool          `koanf:"follows_merge"`   // its images follow merges of patients; what is made here does, too
	PDF            bool          `koanf:"pdf"`             // gets the report as Encapsulated PDF too
	RejectionNotes bool          `koanf:"rejection_notes"` // gets a key object selection that rejects what a person has retracted
	Identity       Presents      `koanf:"identity"`        // is presented to it (PS3.7 D.3.3.7)
	Clip           Clip          `koanf:"clip"`            // the form of heatmap clips that it gets, of routes that make any; empty: the route's

	// Of hl7: how messages are written for this receiver.
	Application string          `koanf:"application"` // MSH-5
	Facility    string          `koanf:"facility"`    // MSH-6
	Rows        []string        `koanf:"rows"`        // of OBX, in their order; none named: all
	Statuses    Statuses        `koanf:"statuses"`    // OBR-25; one that is empty: as by default
	Results     Statuses        `koanf:"results"`     // OBX-11; the same
	Template    []TemplateField `koanf:"template"`    // fields that this receiver wants otherwise

	// Of fhir.
	URL       string   `koanf:"url"`        // base of the server; of webhook: where it is posted
	TokenFile string   `koanf:"token_file"` // a bearer token
	OAuth     OAuth    `koanf:"oauth"`      // or where to get one
	Systems   []System `koanf:"systems"`    // of identifiers

	// Of webhook, besides url.
	KeyFile string `koanf:"key_file"` // signs what is sent

	// Of email, besides address.
	Security     string   `koanf:"security"` // starttls, tls, none; empty: starttls
	From         string   `koanf:"from"`
	Recipients   []string `koanf:"recipients"`
	User         string   `koanf:"user"`
	PasswordFile string   `koanf:"password_file"`

	// Of hl7 and fhir.
	DraftsAfterSignature bool `koanf:"drafts_after_signature"` // gets what is only a draft after something was signed too

	TLS ClientTLS `koanf:"tls"`
}

// Kind is the protocol of a destination.
type Kind string

// The kinds of destinations.
const (
	KindDICOM Kind = "dicom"
	KindHL7   Kind = "hl7"
	KindFHIR  Kind = "fhir"
	// These two get notifications alone.
	KindWebhook Kind = "webhook"
	KindEmail   Kind = "email"
)

// Statuses are the codes for the standings of a report.
type Statuses struct {
	Draft       string `koanf:"draft"`
	Preliminary string `koanf:"preliminary"`
	Final       string `koanf:"final"`
	Correction  string `koanf:"correction"`
	Withdrawn   string `koanf:"withdrawn"`
}

// TemplateField is a field of a message and what it is to hold: text with delimiters as they are to be, and names of
// values in braces.
type TemplateField struct {
	Field string `koanf:"field"` // such as OBR-24, or pdf/OBX-5 of a row
	Value string `koanf:"value"`
}

// System is what a FHIR server calls an assigning authority.
type System struct {
	Authority string `koanf:"authority"` // as orders and images name it; empty: where they name none
	URI       string `koanf:"uri"`
}

// OAuth says where a token is had for the gateway's own sake (RFC 6749 4.4).
type OAuth struct {
	TokenURL   string `koanf:"token_url"`
	ClientID   string `koanf:"client_id"`
	SecretFile string `koanf:"secret_file"`
	Scope      string `koanf:"scope"`
}

// ClientTLS is how the gateway speaks TLS to a peer.
type ClientTLS struct {
	On       bool   `koanf:"on"`      // of dicom and hl7: speak TLS; fhir does by its URL
	CAFile   string `koanf:"ca_file"` // PEM; empty: the system's authorities
	CertFile string `koanf:"cert_file"`
	KeyFile  string `koanf:"key_file"` // of ours, for a peer that asks for one
}

// Delivery bounds the retries towards a destination.
type Delivery struct {
	MinBackoff Duration `koanf:"min_backoff"`
	MaxBackoff Duration `koanf:"max_backoff"`
	GiveUp     Duration `koanf:"give_up"` // park what could not be delivered for so long
	Timeout    Duration `koanf:"timeout"` // of one response
}

// Exam says when an exam is complete.
type Exam struct {
	Quiet   Duration `koanf:"quiet"`
	MaxWait Duration `koanf:"max_wait"`
}

// Reports describes the objects the gateway makes.
type Reports struct {
	InstitutionName    string  `koanf:"institution_name"`
	StationName        string  `koanf:"station_name"`
	DeviceSerialNumber string  `koanf:"device_serial_number"`
	TimeZone           string  `koanf:"time_zone"`
	ColourMap          string  `koanf:"colour_map"`
	Opacity            float64 `koanf:"opacity"`
	KeyImages          int     `koanf:"key_images"` // per class
	Templates          string  `koanf:"templates"`  // folder with templates of drafts, over those that come with the gateway
	Language           string  `koanf:"language"`   // of drafts
	Font               string  `koanf:"font"`       // of pages, for names beyond Latin, Greek and Cyrillic; empty: Debian's fonts-droid-fallback
	Viewer             string  `koanf:"viewer"`     // URL that pages of reports and of studies link to, with {study} and perhaps {instance}; empty: none
	// UnauthenticatedSign lets a person sign whom nobody knows, ReportingSystem makes what a known person signs verified.
	UnauthenticatedSign bool `koanf:"unauthenticated_sign"`
	ReportingSystem     bool `koanf:"reporting_system"`
}

// Reading says how reports of other systems are read.
type Reading struct {
	Ontology string `koanf:"ontology"` // folder with the words of languages, over those that come with the gateway
	Language string `koanf:"language"` // of the reports; empty: the one that their words are of
	Frames   int    `koanf:"frames"`   // on which a model has to see what a report denies, before a person is asked
	// ByPhysician has who wrote a report kept with what it says, and confirmed misses counted by that.
	ByPhysician bool `koanf:"by_physician"`
}

// Default returns the configuration of a gateway that nobody configured:
// it listens on the registered DICOM port and accepts nobody, as no peer is listed.
func Default() Config {
	return Config{
		DataDir: "./data",
		Drain:   Duration(30 * time.Second),
		Log:     Log{Level: "info", Format: "text"},
		Reading: Reading{Frames: 2},
		DICOM: DICOM{
			AETitle:         "ENDOGATE",
			Listen:          ":11112",
			SOPClasses:      []string{"endoscopic", "photographic", "secondary-capture"},
			Peers:           []Peer{},
			MaxAssociations: 64,
			MaxPerPeer:      16,
			MaxPDULength:    128 << 10,
			ARTIM:           Duration(10 * time.Second),
			IdleTimeout:     Duration(60 * time.Second),
			PDUTimeout:      Duration(60 * time.Second),
		},
		HTTP: HTTP{Listen: "127.0.0.1:8080", Hosts: []string{}, Origins: []string{}, TrustedProxies: []Host{}},
		Auth: Auth{Required: Automatic, Local: true, OIDC: OIDC{Name: "the hospital's account", Roles: map[string][]string{}}, Idle: Duration(30 * time.Minute), Longest: Duration(12 * time.Hour)},
		HL7: HL7{
			Senders: []Sender{}, ProcessingID: "P", MaxMessage: 20 << 20, MaxConnections: 64,
			IdleTimeout: Duration(time.Hour), ReadTimeout: Duration(time.Minute), Retention: Duration(30 * 24 * time.Hour),
		},
		Spool:        Spool{Reserve: 2 << 30, InlineLimit: 1 << 20, SegmentSize: 64 << 20, Retention: Duration(72 * time.Hour)},
		Ledger:       Ledger{History: Duration(2 * 365 * 24 * time.Hour)},
		NATS:         NATS{Replicas: 1},
		ONNXRuntime:  ONNXRuntime{Threads: 1, Provider: "cpu", Cache: 2 << 30, LiveCache: 2 << 30},
		Jobs:         Jobs{Workers: runtime.NumCPU(), MaxDeliver: 5, AckWait: Duration(60 * time.Second), Limit: Duration(5 * time.Minute), PerFrame: Duration(10 * time.Second)},
		Models:       []Model{},
		Routes:       []Route{},
		Destinations: []Destination{},
		Urgent:       []Urgent{},
		Live:         []Live{},
		Notify:       []Notify{},
		Delivery: Delivery{
			MinBackoff: Duration(30 * time.Second),
			MaxBackoff: Duration(30 * time.Minute),
			GiveUp:     Duration(7 * 24 * time.Hour),
			Timeout:    Duration(120 * time.Second),
		},
		Exam:    Exam{Quiet: Duration(60 * time.Second), MaxWait: Duration(4 * time.Hour)},
		Reports: Reports{StationName: "ENDOGATE", DeviceSerialNumber: "1", TimeZone: "UTC", ColourMap: "jet", Opacity: 0.4, KeyImages: 5, Language: "en"},
		FFmpeg:  "ffmpeg",
		Decode:  Decode{Pixels: 100_000_000, Scans: 100, CPU: Duration(10 * time.Second), Memory: 512 << 20},
	}
}

// Of returns those of the destinations named that are of the kind, in the order they are named.
func (c Config) Of(kind Kind, names []string) []Destination {
	var of []Destination
	for _, name := range names {
		for _, d := range c.Destinations {
			if d.Name == name && d.Kind == kind {
				of = append(of, d)
			}
		}
	}
	return of
}

// Unused returns the names of the destinations that no route and no rule of notify names.
func (c Config) Unused() []string {
	var unused []string
	for _, d := range c.Destinations {
		if !slices.ContainsFunc(c.Routes, func(r Route) bool { return slices.Contains(r.Destinations, d.Name) }) &&
			!slices.ContainsFunc(c.Notify, func(n Notify) bool { return slices.Contains(n.To, d.Name) }) {
			unused = append(unused, d.Name)
		}
	}
	return unused
}

// SpoolDir, LedgerFile and NATSDir are the places inside the data folder.
func (c Config) SpoolDir() string { return filepath.Join(c.DataDir, "spool") }

// LedgerFile is the ledger's database.
func (c Config) LedgerFile() string { return filepath.Join(c.DataDir, "ledger.db") }

// NATSDir is the embedded broker's store. It may be deleted while the gateway is stopped: the ledger rebuilds it.
func (c Config) NATSDir() string { return filepath.Join(c.DataDir, "nats") }
