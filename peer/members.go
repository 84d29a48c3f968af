package peer

import (
	"context"
	"time"
)

// InviteOptions says what an invite allows.
type InviteOptions struct {
	Uses int // 0: 10
	// For is how long it is open. 0: 24 hours.
	For time.Duration
	// Device: for further devices of this peer's own user, which then need no
	// admit.
	Device bool
	// Admin: who joins by it becomes an admin. Needs the owner key.
	Admin bool
	// Approve: an admin's yes is wanted for each join.
	Approve bool
	// URL is where the link dials. Empty: the best one that the chain names.
	URL string
}

// Invite is an invite of the mesh.
type Invite struct {
	ID    string // "i-7kq2": shortest unique name
	Key   Key
	By    string // address of who made it
	User  string // for devices of this user; "": anybody
	Uses  int    // left
	Until time.Time
	// Link and AppLink (claudemesh://join/…) are set where this profile made
	// the invite.
	Link    string
	AppLink string
	// Loopback: the link works on this machine only.
	Loopback bool
	Approve  bool
	Admin    bool
}

// Invite signs an invite, appends it and returns its link.
func (p *Peer) Invite(ctx context.Context, o InviteOptions) (Invite, error) {
	return Invite{}, errSkeleton
}

// Invites returns the open invites of the mesh.
func (p *Peer) Invites(ctx context.Context) ([]Invite, error) { return nil, errSkeleton }

// Request is a join that waits for a yes.
type Request struct {
	Address string // "bob@phone"
	User    string
	Device  string
	Key     Key
	Number  string // 16 digits: must be the same on its screen
	Since   time.Time
	// Yours: it wants in as a device of this peer's user.
	Yours bool
	// CanAdmit: this peer's yes is (one of) the yes wanted.
	CanAdmit bool
}

// Requests returns the joins that wait for a yes, as the chain says.
func (p *Peer) Requests(ctx context.Context) ([]Request, error) { return nil, errSkeleton }

// Admit says yes to a waiting join. Show its Number and ask first. It returns
// whether the join counts now; false: another yes is wanted too.
func (p *Peer) Admit(ctx context.Context, r Request) (bool, error) { return false, errSkeleton }

// Revoked is what a revocation did.
type Revoked struct {
	Peers   []string // addresses that are out
	Invites []Invite // closed
	Stay    []string // the users' devices that stay
	// CameBy are members who joined by invites that the revoked made: offered
	// for revocation too.
	CameBy []string
	// Open are the invites still open.
	Open []Invite
	// Dropped is how many own messages to the revoked were not sent any more.
	Dropped int
}

// Revoke puts out what the names say: user, user@device, key-…, or an
// invite's i-…; all in one entry. ForbiddenError where the rank does not
// suffice.
func (p *Peer) Revoke(ctx context.Context, names ...string) (Revoked, error) {
	return Revoked{}, errSkeleton
}

// Left is what leaving dropped.
type Left struct {
	MeshName string
	// Dropped are messages that were never sent.
	Dropped []Trace
}

// Leave revokes this very peer, destroys its key and takes the mesh out of the
// profile. The peer is closed. Where the broker is not reachable nothing is
// done (NotReachableError), unless force is true: then the key is destroyed and the
// others do not hear of it.
func (p *Peer) Leave(ctx context.Context, force bool) (Left, error) { return Left{}, errSkeleton }

// Safety is what two people compare.
type Safety struct {
	User     string
	Number   string // 60 digits in 12 groups of 5
	Devices  []string
	Verified bool
}

// Verify returns the safety number with a user.
func (p *Peer) Verify(ctx context.Context, user string) (Safety, error) {
	return Safety{}, errSkeleton
}

// SetVerified marks a user as compared, or takes the mark away.
func (p *Peer) SetVerified(ctx context.Context, user string, verified bool) error {
	return errSkeleton
}
