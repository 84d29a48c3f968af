package peer

import (
	"context"
	"net"
)

// MeshInfo is a mesh as the profile knows it.
type MeshInfo struct {
	ID      MeshID
	Alias   string // in this profile
	Name    string // from its genesis
	Default bool
	User    string
	Device  string
	Address string // user@device
	URLs    []string
	Host    string // of the first URL, "this machine" for unix sockets and loopback
	Owner   bool   // the owner's key is on this machine
	Pending bool   // the join waits for a yes
}

// Meshes returns the meshes of a profile, the default first. Dir as in
// Options.
func Meshes(dir string) ([]MeshInfo, error) { return nil, errSkeleton }

// UseMesh makes a mesh the profile's default.
func UseMesh(dir, mesh string) error { return errSkeleton }

// CreateOptions says what mesh to create, and where.
type CreateOptions struct {
	Dir    string // as in Options
	Name   string // of the mesh: a slug; also its alias here
	User   string // first peer; empty: login name as a slug
	Device string // empty: short host name as a slug
	// Broker is the URL to create at: http(s)://HOST[:PORT] or
	// unix:/path/broker.sock.
	Broker string
	// BrokerKey is the broker's key where the caller knows it (it runs the
	// broker). Zero: the broker's challenge says it, checked against Token's
	// fingerprint where there is one.
	BrokerKey Key
	// Token is the one-time token that the broker printed. Empty: none, which
	// a broker on loopback or a unix socket accepts.
	Token string
	// URLs is where members dial, for the genesis. Empty: Broker.
	URLs []string
	// Client as in Options.
	Client string
	// Dial as in Options.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Created is what CreateMesh made.
type Created struct {
	Mesh MeshInfo
	// RecoveryFile is the path of the file with the recovery key, which is to
	// be taken off the machine.
	RecoveryFile string
}

// CreateMesh makes a mesh: owner key, recovery key, genesis, an owner's invite
// of one use and rank admin, and the first peer's join by it, in one request.
// The profile has it all on disk before the request goes out, so that a crash
// in between loses no key; the mesh becomes visible in the profile when the
// broker's signed head came back.
func CreateMesh(ctx context.Context, o CreateOptions) (*Created, error) { return nil, errSkeleton }

// OwnerKey returns the owner's private key of a mesh as text
// ("owner-private-…"), to be kept elsewhere. ErrNoOwnerKey.
func OwnerKey(dir, mesh string) (string, error) { return "", errSkeleton }

// ImportOwnerKey puts an owner's or the recovery key into the profile. It must
// belong to the mesh.
func ImportOwnerKey(dir, mesh, key string) error { return errSkeleton }

// ForgetOwnerKey takes the owner's key out of the profile.
func ForgetOwnerKey(dir, mesh string) error { return errSkeleton }

// SetBrokerURLs appends a broker entry when urls are not the ones that the
// chain names, and says whether it did. It needs rank admin or the owner key.
func (p *Peer) SetBrokerURLs(ctx context.Context, urls []string) (bool, error) {
	return false, errSkeleton
}
