package ledger

import "context"

// ActorKind says what did a step.
type ActorKind string

// The kinds of actors.
const (
	ActorSystem ActorKind = "system" // a part of the gateway
	ActorRoute  ActorKind = "route"  // as the configuration says
	ActorPeer   ActorKind = "peer"   // an application entity
	ActorPerson ActorKind = "person" // without a name where nobody said who it was
	ActorToken  ActorKind = "token"  // a program with a token
)

// Actor is who did a step.
type Actor struct {
	Kind ActorKind `json:"kind,omitempty"`
	Name string    `json:"name,omitempty"`
}

// String returns the actor as the page and trace show it.
func (a Actor) String() string {
	switch {
	case a.Kind == ActorPerson && a.Name == "":
		return "a person (no sign-in)"
	case a.Kind == "" || a.Name == "":
		return string(a.Kind)
	}
	return string(a.Kind) + " " + a.Name
}

type actorKey struct{}

// By returns a context in which steps are done by a.
func By(ctx context.Context, a Actor) context.Context { return context.WithValue(ctx, actorKey{}, a) }

// ActorOf returns who acts in ctx; where nobody was named, otherwise.
func ActorOf(ctx context.Context, otherwise Actor) Actor {
	if a, ok := ctx.Value(actorKey{}).(Actor); ok {
		return a
	}
	return otherwise
}

// Acting returns ctx with who acts in it, which is otherwise where nobody was named.
func Acting(ctx context.Context, otherwise Actor) context.Context {
	return By(ctx, ActorOf(ctx, otherwise))
}

// actorOf is ActorOf where the part of the gateway that does such steps acts otherwise.
func actorOf(ctx context.Context, part string) Actor {
	return ActorOf(ctx, Actor{Kind: ActorSystem, Name: part})
}
