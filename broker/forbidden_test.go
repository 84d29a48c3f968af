package broker

import (
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/wire"
)

// newInvite is an invite of ten uses with its key.
func newInvite() (chain.Invite, keys.InvitePrivate) {
	link := must(keys.NewInvitePrivate(rand.Reader))
	return chain.Invite{Key: link.Public(), Rank: chain.RankMember, Uses: 10, Expires: now() + 60_000,
		Kinds: []chain.Kind{chain.KindAgent}}, link
}

// An invite's key appends one join by that invite, and may ask for it again.
func TestInviteKeyAppendsOneJoin(t *testing.T) {
	w := newWorld(t)
	link, other := w.invite(10), w.invite(10)
	bob, carol := must(keys.NewPeerPrivate(rand.Reader)), must(keys.NewPeerPrivate(rand.Reader))
	body := chain.Join{User: "bob", Device: "desk", Peer: bob.Public(), Kind: chain.KindAgent}
	first := must(w.state().Sign(now(), body, link, bob))
	next, _ := w.state().Apply(first)
	second := must(next.Sign(now(), chain.Join{User: "carol", Device: "mac", Peer: carol.Public(), Kind: chain.KindAgent}, link, carol))
	c := w.hello(link, wire.ReceivesNone)
	for name, entries := range map[string][]signed.Object{
		"two joins":              {first.Object, second.Object},
		"a join by another link": {w.sign(body, other, bob)},
	} {
		c.send(&wire.Append{ID: 1, Entries: entries})
		if e := c.wantError(wire.CodeForbidden); e.Re != 1 {
			t.Fatalf("%s: %+v", name, e)
		}
	}
	c.append(first.Object)
	c.wantClose(wire.CloseJoined)
	if w.state().Count() != 2 {
		t.Fatalf("%d members", w.state().Count())
	}
	again := w.hello(link, wire.ReceivesNone)
	again.append(first.Object) // the answer was lost
	if w.state().Count() != 2 {
		t.Fatalf("%d members", w.state().Count())
	}
}

// Nothing is ordered, or taken back, for a channel: there are none yet.
func TestNoChannels(t *testing.T) {
	w := newWorld(t)
	a := w.hello(w.alice, wire.ReceivesNone)
	invite, _ := newInvite()
	kept := w.held()
	channel := signed.Hash{1}
	a.send(&wire.Append{ID: 1, Chain: channel, Entries: []signed.Object{w.sign(invite, w.alice)}})
	a.wantError(wire.CodeForbidden)
	a.send(&wire.Entries{Chain: channel, From: 0, Entries: []signed.Object{}, Head: kept.Chain().Head().Object})
	a.wantError(wire.CodeForbidden)
	if w.state().At() != kept.State().At() {
		t.Error("something was ordered")
	}
}

// This broker's word about another mesh of its own is none about this one.
func TestNothingOfAnotherMeshIsTakenBack(t *testing.T) {
	w := newWorld(t)
	mesh, alice := w.mesh, w.alice
	w.create()
	other := w.held()
	w.mesh, w.alice = mesh, alice
	before := w.state().At()
	a := w.hello(w.alice, wire.ReceivesNone)
	a.bring(other, 0)
	a.wantError(wire.CodeForbidden)
	if w.state().At() != before {
		t.Error("something was taken back")
	}
}

// A card is of the mesh, the peer and the session that tell it, and never older than
// the one before.
func TestCardsOfOthersRefused(t *testing.T) {
	w := newWorld(t)
	bob := w.join("bob", "desk")
	a, b := w.hello(w.alice, wire.ReceivesLive), w.hello(bob, wire.ReceivesLive)
	a.subscribe(1)
	for name, change := range map[string]func(*wire.CardBody){
		"mesh":    func(b *wire.CardBody) { b.Mesh[0]++ },
		"peer":    func(b *wire.CardBody) { b.Peer = w.alice.Public() },
		"session": func(b *wire.CardBody) { b.Session[0]++ },
	} {
		b.send(&wire.Presence{Cards: []signed.Object{b.card(bob, 9, change)}})
		if e := want[*wire.Error](b); e.Code != wire.CodeForbidden {
			t.Errorf("of another %s: %+v", name, e)
		}
	}
	own := func(counter uint64, tag string) signed.Object {
		return b.card(bob, counter, func(c *wire.CardBody) {
			c.Session, c.Label, c.Status, c.Tags = keys.SessionID{}, "", "", []string{tag}
		})
	}
	tags := func() string {
		card := a.change(bob.Public()).Card
		if card == nil {
			return ""
		}
		return strings.Join(must(wire.DecodeCard(*card)).Tags, " ")
	}
	b.send(&wire.Presence{Cards: []signed.Object{own(5, "new")}})
	for tags() != "new" {
	}
	b.send(&wire.Presence{Cards: []signed.Object{own(4, "old")}})
	b.send(&wire.Presence{Cards: []signed.Object{own(5, "same")}})
	b.send(&wire.Presence{Cards: []signed.Object{own(6, "newer")}})
	for got := tags(); got != "newer"; got = tags() {
		if got != "new" {
			t.Fatalf("the card of %q was told", got)
		}
	}
}

// A mesh is made by a genesis, an owner's invite and the first peer's join, and by
// nothing else.
func TestCreateTakesAMeshOnly(t *testing.T) {
	w := newWorld(t)
	objects, state := w.founding(w.b.Key())
	many := append([]signed.Object{}, objects...)
	for len(many) <= maxCreateEntries {
		invite, _ := newInvite()
		e := must(state.Sign(now(), invite, w.owner))
		state, _ = state.Apply(e)
		many = append(many, e.Object)
	}
	twoInvites := append(append([]signed.Object{}, objects[:2]...), func() signed.Object {
		r := must(chain.Decode(objects[1]))
		invite, _ := newInvite()
		return must(chain.Make(chain.Entry{Mesh: r.Entry.Mesh, N: 2, Prev: r.Hash, By: w.owner.Public(), Time: r.Entry.Time, Body: invite}, w.owner)).Object
	}())
	for name, entries := range map[string][]signed.Object{"nothing": nil, "17 entries": many, "nobody joins": twoInvites} {
		if _, err := w.b.CreateMesh(t.Context(), entries); !errors.Is(err, errCreate) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.b.CreateMesh(t.Context(), many[:maxCreateEntries]); err != nil {
		t.Errorf("16 entries: %v", err)
	}
}
