package chain

import (
	"fmt"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/signed"
)

// Page is a stretch of a chain as it travels: entries in order, and the head at the
// last of them. With no entries it is a head alone.
type Page struct {
	// From is the place of the first entry.
	From    uint64
	Entries []signed.Object
	// Head is at the place of the last entry: a broker that serves a long chain in
	// pages signs a head for the end of each.
	Head signed.Object
}

// Branch is a page that was read: its entries are signed, linked to each other and
// to the chain. Its head's signature is not checked yet, since which broker orders
// after the entries is known to roster only.
type Branch struct {
	// From is the first place where the page differs from the chain, or goes on
	// beyond it.
	From uint64
	// Entries begin at From. Empty: the page brought nothing new but its head.
	Entries []Signed
	Head    SignedHead
}

// Relation is how a place relates to a chain.
type Relation int

// The relations.
const (
	Part  Relation = iota // it is a place of the chain
	Ahead                 // it lies beyond the chain's end
	Other                 // another entry stands there
)

// Chain is the entries in order, from the genesis on, and the newest head over
// them. It is not safe for concurrent use while it changes; the entries it hands
// out never change. [CM-5.1]
type Chain struct {
	mesh    keys.MeshID
	entries []Signed
	head    SignedHead
}

// New makes an empty chain for a mesh. Its first entry must be the genesis that has
// this id.
func New(mesh keys.MeshID) *Chain { return &Chain{mesh: mesh} }

// Mesh is the mesh's id.
func (c *Chain) Mesh() keys.MeshID { return c.mesh }

// Len is the number of entries; the last one's place is one less.
func (c *Chain) Len() uint64 { return uint64(len(c.entries)) }

// Tip is the hash of the last entry, zero while there is none.
func (c *Chain) Tip() signed.Hash {
	if len(c.entries) == 0 {
		return signed.Hash{}
	}
	return c.entries[len(c.entries)-1].Hash
}

// At is the place of the last entry, zero while there is none.
func (c *Chain) At() signed.At {
	if len(c.entries) == 0 {
		return signed.At{}
	}
	return c.entries[len(c.entries)-1].At()
}

// Head is the newest head over the whole chain, zero where [Chain.Adopt] was given
// none.
func (c *Chain) Head() SignedHead { return c.head }

// Entry gives the entry at a place.
func (c *Chain) Entry(n uint64) (Signed, bool) {
	if n >= c.Len() {
		return Signed{}, false
	}
	return c.entries[n], true
}

// From gives at most limit entries from place n on.
func (c *Chain) From(n uint64, limit int) []Signed {
	if n >= c.Len() || limit <= 0 {
		return nil
	}
	rest := c.entries[n:]
	return rest[:min(limit, len(rest)):min(limit, len(rest))]
}

// Compare tells where a place lies that somebody else speaks of. A zero place,
// which is that of one who holds nothing, is part of every chain.
func (c *Chain) Compare(at signed.At) Relation {
	if at.IsZero() {
		return Part
	}
	if at.N >= c.Len() {
		return Ahead
	}
	if c.entries[at.N].Hash.Short() != at.Hash {
		return Other
	}
	return Part
}

// Read reads a page against the chain: every entry's signatures, place and
// predecessor, and that the head stands at the last of them. Nothing is changed. It
// fails with [ErrBroken], [ErrShort] or [*GapError]. [CM-5.8, CM-5.43, CM-5.17]
func (c *Chain) Read(p Page) (Branch, error) {
	head, err := c.readHead(p.Head)
	if err != nil {
		return Branch{}, err
	}
	if len(p.Entries) == 0 {
		if head.Head.N >= c.Len() {
			return Branch{}, fmt.Errorf("%w: place %d", ErrShort, head.Head.N)
		}
		return Branch{From: c.Len(), Head: head}, nil
	}
	from, entries, err := c.ReadEntries(p.From, p.Entries)
	if err != nil {
		return Branch{}, err
	}
	last := p.From + uint64(len(p.Entries)) - 1
	if head.Head.N != last {
		return Branch{}, fmt.Errorf("%w: it ends at place %d, the head is at %d", ErrShort, last, head.Head.N)
	}
	var hash signed.Hash
	if len(entries) > 0 {
		hash = entries[len(entries)-1].Hash
	} else { // all of them are here already
		hash, from = c.entries[last].Hash, c.Len()
	}
	if head.Head.Hash != hash {
		return Branch{}, broken("the head at place %d is not over the entry there", last)
	}
	return Branch{From: from, Entries: entries, Head: head}, nil
}

// readHead reads a head of this chain, unverified.
func (c *Chain) readHead(o signed.Object) (SignedHead, error) {
	head, err := DecodeHead(o)
	if err != nil {
		return SignedHead{}, err
	}
	if head.Head.Mesh != c.mesh || !head.Head.Chain.IsZero() {
		return SignedHead{}, broken("a head of another chain")
	}
	return head, nil
}

// ReadEntries is [Chain.Read] for entries that have no head yet, as a broker gets
// them in an append. It gives the first place where they differ from the chain or go
// beyond it, and the entries from there on.
func (c *Chain) ReadEntries(from uint64, objects []signed.Object) (uint64, []Signed, error) {
	return c.read(from, objects, Read)
}

// ReadKept is ReadEntries for entries that this holder has verified before and kept
// where nobody else writes: it does not verify their signatures again.
func (c *Chain) ReadKept(from uint64, objects []signed.Object) (uint64, []Signed, error) {
	return c.read(from, objects, readUnverified)
}

func (c *Chain) read(from uint64, objects []signed.Object, read func(signed.Object) (Signed, error)) (uint64, []Signed, error) {
	if from > c.Len() {
		return 0, nil, &GapError{Ask: c.Len()}
	}
	var prev signed.Hash
	if from > 0 {
		prev = c.entries[from-1].Hash
	}
	first, entries := from, make([]Signed, 0, len(objects))
	for i, o := range objects {
		n := from + uint64(i)
		if n < c.Len() && len(entries) == 0 && HashOf(o.Bytes) == c.entries[n].Hash {
			prev, first = c.entries[n].Hash, n+1 // already here, and verified
			continue
		}
		e, err := read(o)
		if err != nil {
			return 0, nil, err
		}
		if err := c.follows(e, n, prev); err != nil {
			if i == 0 && n > 0 && e.Entry.N == n && e.Entry.Mesh == c.mesh {
				return 0, nil, &GapError{Ask: n / 2} // it left the chain earlier
			}
			return 0, nil, err
		}
		entries, prev = append(entries, e), e.Hash
	}
	return first, entries, nil
}

// follows checks that an entry may stand at place n after the entry with hash prev. [CM-5.8, CM-5.9]
func (c *Chain) follows(e Signed, n uint64, prev signed.Hash) error {
	switch {
	case e.Entry.N != n:
		return broken("the entry for place %d says %d", n, e.Entry.N)
	case e.Entry.Prev != prev:
		return broken("entry %d does not follow the one before it", n)
	case n == 0 && (e.Entry.Type() != TypeGenesis || !e.Entry.Mesh.IsZero() || MeshIDOf(e) != c.mesh):
		return broken("not the genesis of mesh %v", c.mesh)
	case n > 0 && e.Entry.Mesh != c.mesh:
		return broken("entry %d is of another mesh", n)
	}
	return nil
}

// Adopt puts a branch in place of what stands from its first place on, and gives
// what stood there. Whoever calls it has decided that the branch counts.
func (c *Chain) Adopt(b Branch) (lost []Signed) {
	if len(b.Entries) > 0 {
		if b.From < c.Len() {
			lost = append(lost, c.entries[b.From:]...)
			c.entries = c.entries[:b.From:b.From] // others may hold slices of the old rest
		}
		c.entries = append(c.entries, b.Entries...)
		c.head = SignedHead{}
	}
	if head := b.Head.Head; head.N+1 == c.Len() && head.Hash == c.Tip() && head.newer(c.head.Head) {
		c.head = b.Head
	}
	return lost
}
