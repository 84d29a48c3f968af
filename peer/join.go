package peer

import (
	"context"
	"net"
	"time"
)

// LinkInfo is what an invite link leads to, checked from the genesis to the
// invite.
type LinkInfo struct {
	Mesh    MeshID
	Name    string // of the mesh
	Owner   string // user names of owners and admins, "alice"
	Host    string // "mesh.example.org"
	User    string // the invite is for devices of this user; "": for anybody
	Uses    int    // uses left
	Until   time.Time
	Approve bool // an admin's yes is wanted
	// Member: the profile is in this mesh already; Alias is its name there.
	Member bool
	Alias  string
}

// JoinOptions says as whom to join.
type JoinOptions struct {
	Dir    string // as in Options
	Alias  string // in this profile; empty: the mesh's name
	User   string // empty: the invite's user, else the login name as a slug
	Device string // empty: short host name as a slug
	Client string // as in Options
	// Checked is called once the chain was verified, before anything is
	// signed. An error ends the join. Nil: go on.
	Checked func(LinkInfo) error
	// Dial as in Options.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Joined is what came of a join.
type Joined struct {
	Mesh MeshInfo
	// Already: the profile was in this mesh before; only where to dial was
	// learned from the link.
	Already bool
	// Pending: the join waits for a yes. See [Peer.WaitAdmitted].
	Pending bool
	// Number is the 16 digits to compare with who says yes ("4711 0815 2342 0163"); with
	// Pending only.
	Number string
	// Admit lists who can say yes: addresses of the user's devices, or of the
	// admins.
	Admit []string
}

// ReadLink dials where the link points to, verifies the chain from the genesis
// to the invite, and says what it is. LinkError, NotReachableError,
// TamperError.
func ReadLink(ctx context.Context, link string, o JoinOptions) (*LinkInfo, error) {
	return nil, errSkeleton
}

// Join makes a keypair and joins by the link. The link may be the https form,
// the claudemesh: form, or any of them with surrounding white space.
func Join(ctx context.Context, link string, o JoinOptions) (*Joined, error) {
	return nil, errSkeleton
}

// WaitAdmitted waits until this peer's join was admitted; nil at once where it
// is a member. WaitingError when ctx ends, RevokedError when it was refused.
func (p *Peer) WaitAdmitted(ctx context.Context) error { return errSkeleton }
