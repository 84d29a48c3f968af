package roster

import (
	"fmt"
	"slices"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/signed"
)

// Limits that every member enforces from the chain. [CM-10.4]
const (
	// MaxDevices is how many devices a user has at most.
	MaxDevices = 16
	// MaxInvites is how many open invites a user's devices have made at most. An
	// owner's key, which is nobody's device, has no limit.
	MaxInvites = 16
	// MaxEntries is how many entries a user's devices sign at most while they are
	// below admin. Revocations are neither counted nor refused: nobody may be kept
	// from revoking a stolen device.
	MaxEntries = 256
	// Lapse is how long a join waits for its yes, in milliseconds of entry time: 7
	// days.
	Lapse = 7 * 24 * 60 * 60 * 1000
)

// State is who belongs to a mesh after some entry of its chain. It never changes
// and is safe for concurrent use; the zero value is the state before the genesis.
// [CM-5]
type State struct{ d *data }

// data is a state's content. Nothing in it is written once it is in a State: tables
// are persistent, slices and records are replaced.
type data struct {
	mesh     keys.MeshID
	next     uint64      // the place of the next entry
	tip      signed.Hash // of the last entry
	time     int64       // of the last entry that counted
	name     string
	urls     []string
	broker   keys.Public
	recovery keys.Public
	owners   []keys.Public  // unrevoked, in the order they came
	keys     table[*record] // every key that ever entered
	users    table[*user]   // every name that ever counted
	waiting  []keys.Public  // joins that wait or lapsed
	members  int
}

// role is what a key entered as; it never changes.
type role int

const (
	roleOwner role = iota
	roleRecovery
	roleBroker
	roleInvite
	rolePeer
)

// record is what is known of a key. [CM-5.20]
type record struct {
	key     keys.Public
	role    role
	by      keys.Public // who signed it in; of a peer the invite key
	n       uint64      // where it entered
	time    int64
	revoked *Revocation
	invite  *inviteRecord // of a roleInvite
	peer    *peerRecord   // of a rolePeer
}

type inviteRecord struct {
	chain.Invite
	used int64
}

type peerRecord struct {
	user, device string
	kind         chain.Kind
	rank         chain.Rank
	ranks        []ranking // what gave it ranks since it joined, in order
	waiting      bool
	votes        []vote // admits, kept after they sufficed
	needed       yes    // whose yes it took; zero: nobody's
}

// vote is an admit that counted, and which yes its signer could give then.
type vote struct {
	source
	can yes
}

// ranking is a role that counted, and the rank that it gave.
type ranking struct {
	source
	rank chain.Rank
}

// source is an entry that gave somebody something.
type source struct {
	by keys.Public
	n  uint64
}

// user is what is known of a name that counted once.
type user struct {
	name    string
	devices []keys.Public // members now
	invites []keys.Public // made by its devices, those that are or may be open again
	entries int           // signed below admin
}

// Revocation says who put a key out, and where.
type Revocation struct {
	Key  keys.Public
	By   keys.Public
	N    uint64 // the entry's place
	Time int64
}

// Member is a peer that belongs: one device of one user.
type Member struct {
	Key    keys.Public
	User   string
	Device string
	Rank   chain.Rank // member or admin
	Kind   chain.Kind
	Invite keys.Public // the key of the invite it came by
	Joined int64       // its join's time
	N      uint64      // its join's place
}

// Address is USER@DEVICE.
func (m Member) Address() string { return m.User + "@" + m.Device }

var before data // the content of the zero State

func (s State) data() *data {
	if s.d == nil {
		return &before
	}
	return s.d
}

// Mesh is the mesh's id, zero before the genesis.
func (s State) Mesh() keys.MeshID { return s.data().mesh }

// Name is the mesh's name.
func (s State) Name() string { return s.data().name }

// URLs is where to dial the broker.
func (s State) URLs() []string { return slices.Clone(s.data().urls) }

// BrokerKey is the key of the broker that orders from here. [CM-5.16]
func (s State) BrokerKey() keys.Public { return s.data().broker }

// Recovery is the recovery key, zero once it revoked itself.
func (s State) Recovery() keys.Public {
	if s.rank(s.data().recovery) != chain.RankRecovery {
		return keys.Public{}
	}
	return s.data().recovery
}

// Owners lists the owners' keys, in the order they came.
func (s State) Owners() []keys.Public { return slices.Clone(s.data().owners) }

// Next is the place of the next entry: how many the chain has.
func (s State) Next() uint64 { return s.data().next }

// Tip is the hash of the last entry.
func (s State) Tip() signed.Hash { return s.data().tip }

// At is the place of the last entry, zero before the genesis.
func (s State) At() signed.At {
	d := s.data()
	if d.next == 0 {
		return signed.At{}
	}
	return signed.At{N: d.next - 1, Hash: d.tip.Short()}
}

// Time is the time of the last entry that counted.
func (s State) Time() int64 { return s.data().time }

// record finds what is known of a key.
func (s State) record(key keys.Public) *record {
	r, _ := s.data().keys.get(key)
	return r
}

// rank is what a key may act with now; RankNone for all but owners, the recovery
// key and members.
func (s State) rank(key keys.Public) chain.Rank {
	r := s.record(key)
	switch {
	case r == nil || r.revoked != nil:
		return chain.RankNone
	case r.role == roleOwner:
		return chain.RankOwner
	case r.role == roleRecovery:
		return chain.RankRecovery
	case r.role == rolePeer && !r.peer.waiting:
		return r.peer.rank
	}
	return chain.RankNone
}

// Rank is what a key may act with: RankNone unless it is an owner's, the recovery
// key, or a member's.
func (s State) Rank(key keys.Public) chain.Rank { return s.rank(key) }

// Member finds a peer that belongs now.
func (s State) Member(key keys.Public) (Member, bool) {
	r := s.record(key)
	if r == nil || !r.belongs() {
		return Member{}, false
	}
	return r.member(), true
}

// Named gives the user and device of a key that joined, whether it belongs, waits
// or was put out since: for telling people who did what.
func (s State) Named(key keys.Public) (user, device string, ok bool) {
	r := s.record(key)
	if r == nil || r.role != rolePeer {
		return "", "", false
	}
	return r.peer.user, r.peer.device, true
}

// belongs tells whether the record is a member's.
func (r *record) belongs() bool { return r.role == rolePeer && r.revoked == nil && !r.peer.waiting }

func (r *record) member() Member {
	return Member{Key: r.key, User: r.peer.user, Device: r.peer.device, Rank: r.peer.rank,
		Kind: r.peer.kind, Invite: r.by, Joined: r.time, N: r.n}
}

// Count is how many members there are.
func (s State) Count() int { return s.data().members }

// Members lists all members by user and device. It costs in proportion to them.
func (s State) Members() []Member {
	members := make([]Member, 0, s.Count())
	for u := range s.data().users.all() {
		members = append(members, s.devices(u)...)
	}
	return members
}

// User lists the devices of a user, by name; none where nobody has the name, or all
// are revoked.
func (s State) User(name string) []Member {
	u := s.user(name)
	if u == nil {
		return nil
	}
	return s.devices(u)
}

func (s State) devices(u *user) []Member {
	devices := make([]Member, 0, len(u.devices))
	for _, key := range u.devices {
		devices = append(devices, s.record(key).member())
	}
	slices.SortFunc(devices, func(a, b Member) int { return compareStrings(a.Device, b.Device) })
	return devices
}

func compareStrings(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// NameKnown tells whether a user of that name ever belonged: it is nobody else's,
// ever.
func (s State) NameKnown(name string) bool { return s.user(name) != nil }

func (s State) user(name string) *user {
	if len(name) > keys.MaxSlug {
		return nil
	}
	u, _ := s.data().users.get(nameKey(name))
	return u
}

// nameKey makes a table's key of a slug: 32 bytes hold the longest.
func nameKey(name string) (key tableKey) {
	copy(key[:], name)
	return key
}

// Revoked tells whether and by whom a key was revoked: a peer, an owner, the
// recovery key or an invite.
func (s State) Revoked(key keys.Public) (Revocation, bool) {
	r := s.record(key)
	if r == nil || r.revoked == nil {
		return Revocation{}, false
	}
	return *r.revoked, true
}

// Standing is what a key is in a mesh.
type Standing int

// The standings.
const (
	Unknown    Standing = iota // never seen
	Belongs                    // a member
	Waits                      // a pending join
	Lapsed                     // a join that waited too long
	Owner                      // may sync and append
	Recovery                   // may sync and append
	InviteOpen                 // may sync, and append one join
	InviteShut                 // a closed invite
	Revoked                    // a peer, owner or recovery key that was put out
	Orderer                    // a broker's key, now or once
)

// Standing says what a key is at a time: what its hello may do. [CM-7.28]
func (s State) Standing(key keys.Public, now int64) Standing {
	r := s.record(key)
	switch {
	case r == nil:
		return Unknown
	case r.role == roleBroker:
		return Orderer
	case r.role == roleInvite:
		if s.InviteOpen(key, now) != nil {
			return InviteShut
		}
		return InviteOpen
	case r.revoked != nil:
		return Revoked
	case r.role == roleOwner:
		return Owner
	case r.role == roleRecovery:
		return Recovery
	case !r.peer.waiting:
		return Belongs
	case s.lapsed(r, now):
		return Lapsed
	}
	return Waits
}

// Apply gives the state after the next entry. Where the entry does not count, void
// says why, and the state differs in its place only. Where the entry has no place
// here ([ErrPlace], [chain.ErrBroken]) or stops the reader ([chain.ErrStopped]),
// the state is the one before. The entry's signatures must have been verified, as
// [chain.Read] does. [CM-5.13, CM-5.11]
func (s State) Apply(e chain.Signed) (next State, void error) {
	old := s.data()
	if e.Entry.N != old.next || e.Entry.Prev != old.tip {
		return s, refuse(ErrPlace, "place %d, the next is %d", e.Entry.N, old.next)
	}
	if old.next > 0 && e.Entry.Mesh != old.mesh || old.next == 0 && e.Entry.Type() != chain.TypeGenesis {
		return s, fmt.Errorf("roster: %w: an entry of another mesh", chain.ErrBroken)
	}
	if e.Void != nil && s.rank(e.Entry.By) >= chain.RankOwner && isUnknown(e.Void) {
		return s, fmt.Errorf("roster: entry %d: %w (%w)", e.Entry.N, chain.ErrStopped, e.Void)
	}
	d := *old
	void = s.count(&d, e)
	if void != nil {
		d = *old
	}
	d.next, d.tip = old.next+1, e.Hash
	return State{&d}, void
}

// Check tells whether an entry would count if it were the next, and why not. A
// signer asks before it appends, a broker before it orders.
func (s State) Check(e chain.Signed) error {
	_, err := s.Apply(e)
	return err
}

// Draft fills an entry on top of the state: mesh, place, predecessor, and the later
// of now and the last entry's time. [CM-5.14]
func (s State) Draft(now int64, by keys.Public, body chain.Body) chain.Entry {
	d := s.data()
	return chain.Entry{Mesh: d.mesh, N: d.next, Prev: d.tip, By: by, Time: max(now, d.time), Body: body}
}

// Sign drafts and signs an entry and checks that it would count. The first signer
// is the entry's By: of a join the invite key, with the new peer as the second.
func (s State) Sign(now int64, body chain.Body, signers ...keys.Signer) (chain.Signed, error) {
	if len(signers) == 0 {
		return chain.Signed{}, refuse(ErrNotEntitled, "nobody signs")
	}
	e, err := chain.Make(s.Draft(now, signers[0].Public(), body), signers...)
	if err != nil {
		return chain.Signed{}, fmt.Errorf("roster: %w", err)
	}
	if err := s.Check(e); err != nil {
		return chain.Signed{}, err
	}
	return e, nil
}
