package peer

import (
	"context"
	"errors"
	"net"
	"slices"
	"time"

	"github.com/claudemesh/claudemesh-go/profile"
)

// Facts is what doctor tells about one mesh.
type Facts struct {
	Mesh MeshInfo
	// Condition is how the connection stands.
	Condition Condition
	// Dials tells of each URL that was tried last and failed, and of the one that
	// answered.
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
	// Loop is what the loop guard did.
	Loop LoopFact
	// Warnings are sentences that were told since the peer was opened.
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
	Reason   string // "connection refused"; "" where it is OK
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

// Facts returns the facts; it waits for one complete try to connect, whose outcome
// is the condition's.
func (p *Peer) Facts(ctx context.Context) (Facts, error) {
	// What came of it stands in the condition; others' cards confirm the roster.
	_ = p.subscribe(ctx)
	m, err := p.home.find(p.mesh.String())
	if err != nil {
		return Facts{}, err
	}
	settings, err := p.home.Config()
	if err != nil {
		return Facts{}, err
	}
	view := p.members()
	f := Facts{Mesh: infoOf(m, *view), Members: view.Count()}
	p.ledgerMu.Lock()
	if head := p.ledger.Chain().Head(); !head.IsZero() {
		f.Roster, f.RosterTime = head.Head.N, timeOf(head.Head.Time)
	}
	p.ledgerMu.Unlock()
	f.Confirmed, f.ConfirmedAt = p.confirmation()
	var live []profile.SessionInfo
	err = p.home.state.View(ctx, p.mesh, func(tx *profile.Tx) (err error) {
		if live, err = tx.Live(); err != nil {
			return err
		}
		if f.Loop, err = p.loopFact(tx, settings); err != nil {
			return err
		}
		f.Unsent, err = tx.CountOutbox()
		return err
	})
	for _, s := range live {
		f.Sessions = append(f.Sessions, ProcessFact{Label: s.Label, PID: s.PID, Client: s.Client, Receives: Receives(s.Receives.String()),
			Status: statusOf(s.Status), You: s.ID == p.session})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	f.Condition = p.condition
	f.Clock, f.ClockKnown = time.Duration(p.ahead)*time.Millisecond, p.aheadSeen
	for _, a := range p.attempts {
		f.Dials = append(f.Dials, DialFact{URL: a.url, Resolves: resolves(a.err), Reason: reason(a.err), Err: a.err})
	}
	if p.line != nil {
		f.Dials = append(f.Dials, DialFact{URL: p.line.at.url, OK: true, Resolves: true})
		f.Unconfirmed = p.unconfirmedLocked(p.now())
	}
	for sentence := range p.warned {
		f.Warnings = append(f.Warnings, sentence)
	}
	slices.Sort(f.Warnings)
	return f, err
}

// resolves tells whether a failed dial got as far as an address.
func resolves(err error) bool {
	var dns *net.DNSError
	return !errors.As(err, &dns)
}
