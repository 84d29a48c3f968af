package chain

import (
	"fmt"
	"io"
	"slices"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/signed"
)

// Limits of entries. [CM-10.4]
const (
	// MaxEntry is how many bytes an entry has at most, without its signatures.
	MaxEntry = 4096
	// MaxURLs is how many URLs an entry names at most.
	MaxURLs = 32
	// MaxUses is how many uses an invite has at most.
	MaxUses = 1_000_000
)

// Type says what an entry is.
type Type string

// The types of entries. [CM-5.3]
const (
	TypeGenesis Type = "genesis" // by the owner: the mesh begins
	TypeBroker  Type = "broker"  // by an owner or admin: where to dial
	TypeRole    Type = "role"    // by a higher rank: a rank for a peer, or a further owner
	TypeInvite  Type = "invite"  // by an admin and up, or a member for its own devices
	TypeJoin    Type = "join"    // by the invite key and the new peer
	TypeAdmit   Type = "admit"   // by a device of the user or an admin: yes to a pending join
	TypeRevoke  Type = "revoke"  // by a higher rank, a device of the user, or oneself
	TypeHeal    Type = "heal"    // by an owner or the recovery key: what counts, and who orders from here
	// TypeCheckpoint is reserved: this version knows no such entry.
	TypeCheckpoint Type = "checkpoint"
)

// Rank orders who may act on whom: only on lower ranks. [CM-5.21]
type Rank int

// The ranks. Zero is no rank at all.
const (
	RankNone     Rank = 0
	RankMember   Rank = 1
	RankAdmin    Rank = 2
	RankOwner    Rank = 3
	RankRecovery Rank = 4
)

// String gives the rank's name.
func (r Rank) String() string {
	switch r {
	case RankNone:
		return "none"
	case RankMember:
		return "member"
	case RankAdmin:
		return "admin"
	case RankOwner:
		return "owner"
	case RankRecovery:
		return "recovery"
	}
	return fmt.Sprintf("rank %d", int(r))
}

// Kind says what a peer is, as it says itself when it joins. [CM-5.4]
type Kind string

// The kinds of peers.
const (
	KindAgent   Kind = "agent"   // a device with agents' sessions
	KindGateway Kind = "gateway" // a chat system; encryption ends there
	KindBridge  Kind = "bridge"  // forwards between meshes
	KindWeb     Kind = "web"     // a browser: trusts whoever serves its code
)

// Known tells whether this version knows the kind.
func (k Kind) Known() bool {
	switch k {
	case KindAgent, KindGateway, KindBridge, KindWeb:
		return true
	}
	return false
}

// Entry is what an entry of a chain says. As JSON it is one flat object: mesh, n,
// prev, type, by, time, and the fields of its body. [CM-5.1]
type Entry struct {
	// Mesh is the mesh's id; zero in the genesis, whose hash makes the id.
	Mesh keys.MeshID
	// N is the entry's place; the genesis has 0.
	N uint64
	// Prev is the hash of the entry at N-1; zero in the genesis.
	Prev signed.Hash
	// By is who signed it. Of a join it is the invite key.
	By keys.Public
	// Time is in Unix milliseconds: the later of the signer's clock and the time
	// of the entry before. Never zero.
	Time int64
	// Body says the rest. It is nil in entries that are void by themselves.
	Body Body
}

// Type is the type of the entry's body, empty without one.
func (e Entry) Type() Type {
	if e.Body == nil {
		return ""
	}
	return e.Body.Type()
}

// Signers lists who must have signed the entry, in the order of its signatures: By,
// and for a join the new peer after it. [CM-5.7]
func (e Entry) Signers() []keys.Public {
	if join, ok := e.Body.(Join); ok {
		return []keys.Public{e.By, join.Peer}
	}
	return []keys.Public{e.By}
}

// Body is what distinguishes the types of entries: one of [Genesis], [Broker],
// [Role], [Invite], [Join], [Admit], [Revoke], [Heal].
type Body interface {
	// Type is the entry's type.
	Type() Type
	// check tells what is wrong with the body by itself.
	check(by keys.Public) error
}

// Genesis begins a mesh. Its signer is the owner. [CM-5.22]
type Genesis struct {
	Name     string      `json:"name"`     // of the mesh, a slug
	Recovery keys.Public `json:"recovery"` // of rank 4, kept offline
	Broker   keys.Public `json:"broker"`   // which orders the chain
	URLs     []string    `json:"urls"`     // where to dial it, 1 to 32
	Random   Random      `json:"random"`   // makes the mesh's id its own
}

// Broker says where to dial from now on. Which key orders is changed by a heal
// alone. [CM-5.23]
type Broker struct {
	URLs []string `json:"urls"` // 1 to 32
}

// Role gives a joined peer another rank (member, admin), or makes a key that is new
// to the mesh a further owner. [CM-5.25, CM-5.24]
type Role struct {
	Key  keys.Public `json:"key"`
	Rank Rank        `json:"rank"` // member, admin, owner
}

// Invite lets whoever holds its key join. [CM-5.26]
type Invite struct {
	Key     keys.Public `json:"key"`
	Rank    Rank        `json:"rank"`    // that a joiner gets: member or admin
	User    string      `json:"user"`    // whose devices may join; empty: anybody
	Expires int64       `json:"expires"` // Unix milliseconds: a join's time is before it
	Uses    int64       `json:"uses"`    // 1 to 1,000,000
	Kinds   []Kind      `json:"kinds"`   // of peers that may join, at least one
	Approve bool        `json:"approve"` // an admin's yes is wanted for each join
}

// Join brings a new peer. It is signed by the invite key, which is By, and by the
// new peer. [CM-5.29]
type Join struct {
	User   string      `json:"user"`   // a slug, not beginning with "key-"
	Device string      `json:"device"` // a slug
	Peer   keys.Public `json:"peer"`
	Kind   Kind        `json:"kind"`
}

// Admit says yes to a pending join. [CM-5.34]
type Admit struct {
	Peer keys.Public `json:"peer"`
}

// Revoke puts keys out for ever: peers, invites, owners, each listed, none twice.
// [CM-5.36]
type Revoke struct {
	Keys []keys.Public `json:"keys"`
}

// Heal says that its predecessor is the head that counts, and which broker orders
// from here. What leaves the chain before it is void. [CM-5.40]
type Heal struct {
	Broker keys.Public `json:"broker"`
	URLs   []string    `json:"urls"` // 1 to 32
}

// Type is [TypeGenesis].
func (Genesis) Type() Type { return TypeGenesis }

// Type is [TypeBroker].
func (Broker) Type() Type { return TypeBroker }

// Type is [TypeRole].
func (Role) Type() Type { return TypeRole }

// Type is [TypeInvite].
func (Invite) Type() Type { return TypeInvite }

// Type is [TypeJoin].
func (Join) Type() Type { return TypeJoin }

// Type is [TypeAdmit].
func (Admit) Type() Type { return TypeAdmit }

// Type is [TypeRevoke].
func (Revoke) Type() Type { return TypeRevoke }

// Type is [TypeHeal].
func (Heal) Type() Type { return TypeHeal }

func (b Genesis) check(by keys.Public) error {
	if !keys.IsSlug(b.Name) {
		return malformed("name of the mesh: %w", keys.ErrSlug)
	}
	for _, key := range []keys.Public{by, b.Recovery, b.Broker} {
		if err := enters(key); err != nil {
			return err
		}
	}
	if by == b.Recovery || by == b.Broker || b.Recovery == b.Broker {
		return malformed("one key in two roles")
	}
	return checkURLs(b.URLs)
}

func (b Broker) check(keys.Public) error { return checkURLs(b.URLs) }

func (b Role) check(keys.Public) error {
	if b.Rank < RankMember || b.Rank > RankOwner {
		return malformed("a role of rank %d", int(b.Rank))
	}
	if b.Rank == RankOwner { // others are peers, whose keys were checked when they joined
		return enters(b.Key)
	}
	return nil
}

func (b Invite) check(keys.Public) error {
	switch {
	case b.Rank != RankMember && b.Rank != RankAdmin:
		return malformed("an invite of rank %d", int(b.Rank))
	case b.User != "" && !IsUser(b.User):
		return malformed("user: %w", keys.ErrSlug)
	case b.User != "" && b.Rank != RankMember:
		return malformed("an invite for devices of rank %d", int(b.Rank))
	case b.Expires <= 0:
		return malformed("no expiry")
	case b.Uses < 1 || b.Uses > MaxUses:
		return malformed("%d uses", b.Uses)
	case len(b.Kinds) == 0:
		return malformed("no kinds")
	}
	for i, kind := range b.Kinds {
		if !kind.Known() || slices.Contains(b.Kinds[:i], kind) {
			return malformed("a kind unknown or twice")
		}
	}
	return enters(b.Key)
}

func (b Join) check(keys.Public) error {
	switch {
	case !IsUser(b.User):
		return malformed("user: %w", keys.ErrSlug)
	case !keys.IsSlug(b.Device):
		return malformed("device: %w", keys.ErrSlug)
	case !b.Kind.Known():
		return malformed("a kind unknown")
	}
	return enters(b.Peer)
}

func (b Admit) check(keys.Public) error { return nil }

func (b Revoke) check(keys.Public) error {
	if len(b.Keys) == 0 {
		return malformed("no keys")
	}
	for i, key := range b.Keys {
		if slices.Contains(b.Keys[:i], key) {
			return malformed("a key twice")
		}
	}
	return nil
}

func (b Heal) check(keys.Public) error {
	if err := enters(b.Broker); err != nil {
		return err
	}
	return checkURLs(b.URLs)
}

// enters refuses a key that must not enter a mesh. [CM-5.6]
func enters(key keys.Public) error {
	if err := key.Check(); err != nil {
		return malformed("%w", err)
	}
	return nil
}

// IsUser tells whether name can be a user's: a slug as it stands, not beginning
// with "key-", which addresses use for keys. [CM-2.15]
func IsUser(name string) bool {
	return keys.IsSlug(name) && (len(name) < 4 || name[:4] != "key-")
}

// Random is 16 bytes that make two meshes different which are alike in all else.
type Random [16]byte

// NewRandom reads one.
func NewRandom(rand io.Reader) (Random, error) {
	var r Random
	if _, err := io.ReadFull(rand, r[:]); err != nil {
		return Random{}, fmt.Errorf("chain: reading randomness: %w", err)
	}
	return r, nil
}

// MarshalText gives the wire form. [CM-1.4]
func (r Random) MarshalText() ([]byte, error) { return signed.ShortHash(r).MarshalText() }

// UnmarshalText reads the wire form.
func (r *Random) UnmarshalText(text []byte) error {
	return (*signed.ShortHash)(r).UnmarshalText(text)
}
