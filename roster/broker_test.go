package roster_test

import (
	"errors"
	"testing"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/roster"
	"github.com/claudemesh/claudemesh-go/signed"
)

// orderer is a broker without I/O: it orders what is proposed and serves pages. It
// can be made to cheat.
type orderer struct {
	t    testing.TB
	key  keys.BrokerPrivate
	life uint64
	r    *roster.Roster
}

// newOrderer makes a broker that holds the chain of a story.
func newOrderer(s *story) *orderer {
	s.t.Helper()
	b := emptyOrderer(s.t, "broker", chain.MeshIDOf(s.chain[0]))
	p, err := b.r.Propose(objects(s.chain), s.now, b.key.Public())
	if err != nil {
		s.t.Fatal(err)
	}
	b.commit(p, s.now)
	return b
}

func emptyOrderer(t testing.TB, name string, mesh keys.MeshID) *orderer {
	return &orderer{t: t, key: secret(name).(keys.BrokerPrivate), life: 1, r: roster.New(mesh, keys.Public{})}
}

func (b *orderer) commit(p roster.Proposal, now int64) roster.Change {
	b.t.Helper()
	head, err := p.Head(now, b.life, b.key)
	if err != nil {
		b.t.Fatal(err)
	}
	b.life = head.Head.Life
	change, err := b.r.Commit(p, head, now)
	if err != nil {
		b.t.Fatal(err)
	}
	return change
}

// order is an honest append.
func (b *orderer) order(now int64, entries ...chain.Signed) error {
	b.t.Helper()
	p, err := b.r.Propose(objects(entries), now, b.key.Public())
	if err != nil {
		return err
	}
	b.commit(p, now)
	return nil
}

// head signs a head at place n of what the broker holds.
func (b *orderer) head(n uint64, now int64) chain.SignedHead {
	b.t.Helper()
	e, ok := b.r.Chain().Entry(n)
	if !ok {
		b.t.Fatalf("no entry at place %d", n)
	}
	return b.sign(chain.Head{Mesh: b.r.Chain().Mesh(), N: n, Hash: e.Hash, Time: now, Life: b.life})
}

func (b *orderer) sign(h chain.Head) chain.SignedHead {
	b.t.Helper()
	head, err := chain.MakeHead(h, b.key)
	if err != nil {
		b.t.Fatal(err)
	}
	return head
}

// page serves everything from a place on.
func (b *orderer) page(from uint64, now int64) chain.Page {
	b.t.Helper()
	entries := b.r.Chain().From(from, 1<<20)
	return chain.Page{From: from, Entries: objects(entries), Head: b.head(b.r.Chain().Len()-1, now).Object}
}

// cheat orders an entry without asking whether it may be.
func (b *orderer) cheat(now int64, entries ...chain.Signed) {
	b.t.Helper()
	c := b.r.Chain()
	last := entries[len(entries)-1]
	head := b.sign(chain.Head{Mesh: c.Mesh(), N: last.Entry.N, Hash: last.Hash, Time: now, Life: b.life})
	_, err := b.r.Append(chain.Page{From: entries[0].Entry.N, Entries: objects(entries), Head: head.Object}, now)
	if err != nil {
		b.t.Fatal(err)
	}
}

// copyOf makes a broker with the same key and chain that goes its own way from
// place n on: a restored one, or the other face of a liar.
func (b *orderer) copyOf(n uint64) *orderer {
	b.t.Helper()
	other := &orderer{t: b.t, key: b.key, life: b.life}
	var err error
	other.r, err = roster.Load(b.r.Chain().Mesh(), keys.Public{}, objects(b.r.Chain().From(0, int(n))), b.head(n-1, start).Object)
	if err != nil {
		b.t.Fatal(err)
	}
	return other
}

func objects(entries []chain.Signed) []signed.Object {
	list := make([]signed.Object, len(entries))
	for i, e := range entries {
		list[i] = e.Object
	}
	return list
}

// client is a member without I/O.
func client(b *orderer, name string, now int64) *roster.Roster {
	b.t.Helper()
	r := roster.New(b.r.Chain().Mesh(), public(name))
	mustAppend(b.t, r, b.page(0, now), roster.Grown)
	return r
}

func mustAppend(t testing.TB, r *roster.Roster, p chain.Page, want roster.Outcome) roster.Change {
	t.Helper()
	change, err := r.Append(p, start)
	if err != nil {
		t.Fatalf("the page was refused: %v", err)
	}
	if change.Outcome != want {
		t.Fatalf("outcome %d, want %d", change.Outcome, want)
	}
	return change
}

// refused checks that a page is refused for a reason (nil: any) and that nothing
// changed.
func refused(t testing.TB, r *roster.Roster, p chain.Page, want error) error {
	t.Helper()
	before, head := r.State().At(), r.Chain().Head()
	_, err := r.Append(p, start)
	if err == nil || want != nil && !errors.Is(err, want) {
		t.Fatalf("%v, want %v", err, want)
	}
	if r.State().At() != before || r.Chain().Head().Head != head.Head {
		t.Fatal("a page that was refused changed the roster")
	}
	return err
}

// sign signs on top of a roster what would count there.
func sign(t testing.TB, r *roster.Roster, now int64, body chain.Body, signers ...string) chain.Signed {
	t.Helper()
	e, err := r.State().Sign(now, body, secrets(signers)...)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// force signs on top of a roster whether it would count or not.
func force(t testing.TB, r *roster.Roster, now int64, body chain.Body, signers ...string) chain.Signed {
	t.Helper()
	e, err := chain.Make(r.State().Draft(now, public(signers[0]), body), secrets(signers)...)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func secrets(names []string) []keys.Signer {
	list := make([]keys.Signer, len(names))
	for i, name := range names {
		list[i] = secret(name)
	}
	return list
}

func revoke(names ...string) chain.Revoke {
	var body chain.Revoke
	for _, name := range names {
		body.Keys = append(body.Keys, public(name))
	}
	return body
}

func invite(name string, now int64) chain.Invite {
	return chain.Invite{Key: public(name), Rank: chain.RankMember, Expires: now + day, Uses: 10, Kinds: []chain.Kind{chain.KindAgent}}
}

func join(user, device string) chain.Join {
	return chain.Join{User: user, Device: device, Peer: public(user + "@" + device), Kind: chain.KindAgent}
}

func heal(broker string) chain.Heal {
	return chain.Heal{Broker: public(broker), URLs: []string{"https://" + broker + ".example.org"}}
}
