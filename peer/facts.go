package peer

import (
	"context"
	"time"
)

// Facts is what doctor tells about one mesh.
type Facts struct {
	Mesh MeshInfo
	// Condition is how the connection stands.
	Condition Condition
	// Dials tells each URL that was tried last.
	Dials []DialFact
	// Clock is how far this clock is ahead of the broker's; negative: behind.
	// Known only after a welcome.
	Clock      time.Duration
	ClockKnown bool
	// Roster is the place in the chain that this profile holds.
	Roster     uint64
	RosterTime time.Time // of the head
	// Confirmed is who last confirmed that roster.
	Confirmed   string
	ConfirmedAt time.Time
	// Unconfirmed: for 24 hours others were connected and nobody confirmed it.
	Unconfirmed bool
	Members     int
	Unsent      int
	// Warnings are sentences that were told and still hold.
	Warnings []string
	// Sessions are the profile's live processes in this mesh.
	Sessions []ProcessFact
}

// DialFact is what came of dialling one URL.
type DialFact struct {
	URL string
	// OK: the handshake succeeded.
	OK bool
	// Resolves: the name has an address, or is one.
	Resolves bool
	Reason   string // "port 443 refuses"
	Err      error
}

// ProcessFact is one live process of the profile.
type ProcessFact struct {
	Label    string
	PID      int
	Client   string // "claudemesh/0.3.0"
	Receives Receives
	Status   Status
	You      bool
}

// Facts returns the facts; it waits for one complete try to connect.
func (p *Peer) Facts(ctx context.Context) (Facts, error) { return Facts{}, errSkeleton }
