package pdu

import "fmt"

// RejectResult says whether asking again can help (PS3.8 table 9-21).
type RejectResult uint8

// Results of PS3.8 table 9-21.
const (
	RejectedPermanent RejectResult = 1
	RejectedTransient RejectResult = 2
)

// RejectSource says which layer rejected (PS3.8 table 9-21); the reason is read by it.
type RejectSource uint8

// Sources of PS3.8 table 9-21.
const (
	RejectServiceUser          RejectSource = 1
	RejectProviderACSE         RejectSource = 2
	RejectProviderPresentation RejectSource = 3
)

// RejectReason is the reason within a source (PS3.8 table 9-21).
type RejectReason uint8

// Reasons of PS3.8 table 9-21, by the source that gives them.
const (
	UserNoReason                   RejectReason = 1
	ApplicationContextNotSupported RejectReason = 2
	CallingAETitleNotRecognized    RejectReason = 3
	CalledAETitleNotRecognized     RejectReason = 7

	ACSENoReason                RejectReason = 1
	ProtocolVersionNotSupported RejectReason = 2

	TemporaryCongestion RejectReason = 1
	LocalLimitExceeded  RejectReason = 2
)

// AssociateRJ is the A-ASSOCIATE-RJ PDU (PS3.8 9.3.4).
type AssociateRJ struct {
	Result RejectResult
	Source RejectSource
	Reason RejectReason
}

// Type returns TypeAssociateRJ.
func (*AssociateRJ) Type() Type { return TypeAssociateRJ }

func (p *AssociateRJ) encode(e *encoder) {
	e.bytes(0, byte(p.Result), byte(p.Source), byte(p.Reason))
}

// String returns the meaning with its three numbers, such as
// "permanent: called AE title not recognised (1/1/7)".
func (p *AssociateRJ) String() string {
	result := "permanent"
	if p.Result == RejectedTransient {
		result = "transient"
	}
	return fmt.Sprintf("%s: %s (%d/%d/%d)", result, p.meaning(), p.Result, p.Source, p.Reason)
}

func (p *AssociateRJ) meaning() string {
	type key struct {
		RejectSource
		RejectReason
	}
	meanings := map[key]string{
		{RejectServiceUser, UserNoReason}:                   "no reason given",
		{RejectServiceUser, ApplicationContextNotSupported}: "application context not supported",
		{RejectServiceUser, CallingAETitleNotRecognized}:    "calling AE title not recognised",
		{RejectServiceUser, CalledAETitleNotRecognized}:     "called AE title not recognised",
		{RejectProviderACSE, ACSENoReason}:                  "no reason given",
		{RejectProviderACSE, ProtocolVersionNotSupported}:   "protocol version not supported",
		{RejectProviderPresentation, TemporaryCongestion}:   "temporary congestion",
		{RejectProviderPresentation, LocalLimitExceeded}:    "local limit exceeded",
	}
	if m, ok := meanings[key{p.Source, p.Reason}]; ok {
		return m
	}
	return "reserved reason"
}
