// Package access says who may do what: roles and their rights, the users of this gateway and the tokens of programs, and how often
// somebody may try to sign in. It keeps users and tokens in a folder of small files, one each, that several processes may use at
// once: commands change it while the gateway runs, and the gateway sees a change with the next request.
//
// Passwords are kept as Argon2id (RFC 9106), secrets of tokens and of set-up links, which nobody can guess, as SHA-256. Nothing
// that a person typed becomes a file's name.
package access

import (
	"slices"
)

// Role is what somebody is to the gateway.
type Role string

// The roles, each with the rights of [Role.Rights].
const (
	Viewer        Role = "viewer"        // looks at studies, without whose they are
	Clinician     Role = "clinician"     // works drafts and signs
	Operator      Role = "operator"      // keeps it running, without patients' names
	Administrator Role = "administrator" // says who may what, and reads the audit log
)

// Roles are all of them.
var Roles = []Role{Viewer, Clinician, Operator, Administrator}

// Right is what a request may need.
type Right string

// The rights.
const (
	Look       Right = "look"       // at studies, their frames and maps, queues and models, without what says whose they are
	Identify   Right = "identify"   // see names, identifiers and birth dates of patients, reports and messages
	Report     Right = "report"     // edit, sign, amend and withdraw drafts; say whose a study is
	Retract    Right = "retract"    // take results of models back
	Operate    Right = "operate"    // retry and discard what is parked, ask destinations for an echo
	Measure    Right = "measure"    // read /metrics
	Send       Right = "send"       // instances by STOW-RS, with a token
	Administer Right = "administer" // users, tokens, the audit log, which version of a model is in force
)

var allRights = []Right{Look, Identify, Report, Retract, Operate, Measure, Send, Administer}

// rights is the one table of who may what; docs/security.md shows it.
var rights = map[Role][]Right{
	Viewer:        {Look},
	Clinician:     {Look, Identify, Report, Retract},
	Operator:      {Look, Operate, Measure, Send},
	Administrator: {Look, Operate, Retract, Measure, Administer},
}

// Rights are what a role may; of an unknown one nothing.
func (r Role) Rights() []Right { return rights[r] }

// Valid says whether there is such a role.
func (r Role) Valid() bool { return slices.Contains(Roles, r) }

// Method is how somebody proved who he is.
type Method string

// The ways.
const (
	ByPassword Method = "password"
	ByOIDC     Method = "oidc"    // a provider of the hospital says so
	ByProxy    Method = "proxy"   // a proxy before the gateway says so
	ByToken    Method = "token"   // a program has the token
	ByMachine  Method = "machine" // who can read the data folder, by a command on this machine
)

// Identity is who asks. The zero value is nobody, and may nothing.
type Identity struct {
	Name   string  `json:"name"` // of a person, or of a token
	Role   Role    `json:"role"`
	Method Method  `json:"method"`
	Scope  []Right `json:"scope,omitempty"` // of a token: these of its role's rights alone; none: all
	Glass  bool    `json:"glass,omitempty"` // it was broken: has the right to identify for a while, for a reason that was given
}

// Anybody is who asks where nobody has to sign in. It may everything, and is not known.
var Anybody = Identity{Role: "anybody"}

// May says whether i has the right.
func (i Identity) May(r Right) bool {
	if i.Role == Anybody.Role || i.Glass && r == Identify {
		return true
	}
	return slices.Contains(rights[i.Role], r) && (len(i.Scope) == 0 || slices.Contains(i.Scope, r))
}

// Rights are all that i may.
func (i Identity) Rights() []Right {
	var may []Right
	for _, r := range allRights {
		if i.May(r) {
			may = append(may, r)
		}
	}
	return may
}
