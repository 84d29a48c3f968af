package peer

import (
	"context"
	"time"
)

// Member is a peer of the mesh: a device of a user, from the chain.
type Member struct {
	Key      Key
	User     string
	Device   string
	Address  string // user@device
	Rank     int    // 1 member, 2 admin, 3 owner
	Kind     string // agent, gateway, bridge, web
	You      bool   // this very peer
	Yours    bool   // a device of this peer's user
	Verified bool
	Joined   time.Time
	// Online and Since are the broker's word: connected, since when (or
	// away since when; zero: unknown).
	Online  bool
	Since   time.Time
	Summary string // signed and sealed by the peer
	Display string // free display name, never resolved
	// Sessions are the live ones that receive, by their signed cards.
	Sessions []Session
}

// Session is a live session by its signed card.
type Session struct {
	ID      SessionID
	Label   string
	Address string // user@device/label
	Status  Status
	Changed time.Time // of the status
	Summary string
	You     bool
}

// People is who belongs to the mesh and who is there.
type People struct {
	MeshName string
	Host     string
	Members  []Member // this user's first, then by user and device
	// Fresh: the broker was asked; else only the chain speaks.
	Fresh bool
	// Confirmed is who last confirmed the roster that this peer holds, "" for
	// nobody.
	Confirmed   string
	ConfirmedAt time.Time
}

// Peers returns the verified roster, with presence where the broker answers;
// where it does not, the roster alone (Fresh false) and NotReachableError.
func (p *Peer) Peers(ctx context.Context) (People, error) { return People{}, errSkeleton }

// SetStatus says what this session is doing: it turns to Idle, Working or
// DoNotDisturb, signed in its card.
func (p *Peer) SetStatus(ctx context.Context, s Status) error { return errSkeleton }

// SetSummary says what this session works on, sealed to the members. Empty takes it away.
func (p *Peer) SetSummary(ctx context.Context, text string) error { return errSkeleton }

// SetPeerStatus and SetPeerSummary set the same for the whole peer, which every
// session without its own takes over: what the commands status and summary do.
func (p *Peer) SetPeerStatus(ctx context.Context, s Status) error { return errSkeleton }

// SetPeerSummary: see SetPeerStatus.
func (p *Peer) SetPeerSummary(ctx context.Context, text string) error { return errSkeleton }

// PeerCard returns status and summary as set for the whole peer.
func (p *Peer) PeerCard(ctx context.Context) (Status, string, error) { return "", "", errSkeleton }
