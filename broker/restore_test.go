package broker

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/roster"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/wire"
)

// backup ends the broker, copies its folder, and starts it again; the function
// it gives puts the copy back.
func (w *world) backup() (restore func()) {
	w.t.Helper()
	if err := w.stop(); err != nil {
		w.t.Fatal(err)
	}
	copied := map[string][]byte{}
	for _, e := range must(os.ReadDir(w.opts.Dir)) {
		copied[e.Name()] = must(os.ReadFile(filepath.Join(w.opts.Dir, e.Name())))
	}
	w.start()
	return func() {
		w.t.Helper()
		if err := w.stop(); err != nil {
			w.t.Fatal(err)
		}
		for _, e := range must(os.ReadDir(w.opts.Dir)) {
			if strings.HasPrefix(e.Name(), "broker.db") {
				os.Remove(filepath.Join(w.opts.Dir, e.Name()))
			}
		}
		for name, data := range copied {
			if err := os.WriteFile(filepath.Join(w.opts.Dir, name), data, 0o600); err != nil {
				w.t.Fatal(err)
			}
		}
		w.start()
	}
}

// held is what a member holds: the chain as the broker has it now.
func (w *world) held() *roster.Roster {
	m := must(w.b.mesh(w.mesh))
	page := must(m.page(0, 0))
	r := roster.New(w.mesh, keys.Public{})
	if _, err := r.Append(chain.Page{Entries: page.Entries, Head: page.Head}, now()); err != nil {
		w.t.Fatal(err)
	}
	return r
}

// at puts what a roster holds into a hello.
func at(r *roster.Roster) func(*wire.HelloBody) {
	return func(b *wire.HelloBody) {
		b.At, b.Life = r.Chain().At(), r.Chain().Head().Head.Life
	}
}

// bring offers what a roster holds from a place on.
func (c *client) bring(r *roster.Roster, from uint64) {
	c.t.Helper()
	f := &wire.Entries{From: from, Entries: []signed.Object{}, Head: r.Chain().Head().Object}
	for _, e := range r.Chain().From(from, wire.MaxEntries) {
		f.Entries = append(f.Entries, e.Object)
	}
	c.send(f)
}

func TestRestored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		bob := w.join("bob", "desk")
		restore := w.backup()
		before := w.state().Next()
		carol := w.join("carol", "mac") // lost by what follows
		kept := w.held()
		restore()
		if w.state().Next() != before {
			t.Fatal("not restored")
		}

		a := w.hello(w.alice, wire.ReceivesLive, at(kept))
		if a.welcome.Missing != before {
			t.Fatalf("missing %d", a.welcome.Missing)
		}
		// Nothing is ordered in place of what may come back.
		link := must(keys.NewInvitePrivate(rand.Reader))
		invite := chain.Invite{Key: link.Public(), Rank: chain.RankMember, Uses: 1, Expires: now() + 60_000, Kinds: []chain.Kind{chain.KindAgent}}
		a.send(&wire.Append{ID: 1, Entries: []signed.Object{w.sign(invite, w.alice)}})
		if e := a.wantError(wire.CodeRestored); e.RetryAfter < 1 {
			t.Fatalf("%+v", e)
		}
		a.bring(kept, before)
		push := want[*wire.Entries](a)
		head := must(chain.DecodeHead(push.Head))
		if head.Head.Life <= kept.Chain().Head().Head.Life || head.Verify(w.b.Key()) != nil || len(push.Entries) != int(kept.Chain().Len()-before) {
			t.Fatalf("%+v", head.Head)
		}
		// The member's own roster takes that, and sees no fraud in it.
		if _, err := kept.Append(chain.Page{From: push.From, Entries: push.Entries, Head: push.Head}, now()); err != nil {
			t.Fatal(err)
		}
		if w.state().Count() != 3 {
			t.Fatalf("%d members", w.state().Count())
		}
		// Until all were heard nothing new is ordered, over a restart too.
		a.send(&wire.Append{ID: 2, Entries: []signed.Object{w.sign(invite, w.alice)}})
		a.wantError(wire.CodeRestored)
		a.bye()
		w.restart()
		for _, key := range []keys.Signer{w.alice, bob} {
			w.hello(key, wire.ReceivesNone, at(kept)).bye()
		}
		a = w.hello(w.alice, wire.ReceivesNone, at(kept))
		a.send(&wire.Append{ID: 3, Entries: []signed.Object{w.sign(invite, w.alice)}})
		a.wantError(wire.CodeRestored)
		w.hello(carol, wire.ReceivesNone, at(kept)).bye()
		a.append(w.sign(invite, w.alice))
		a.bye()
		w.restart()
		w.invite(1)
	})
}

// A restored broker that orders something before it hears of what it lost has
// signed two orders. It began a new life when it started, so nobody can make a
// proof of fraud of that.
func TestRestoredOrdersFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		bob := w.join("bob", "desk")
		restore := w.backup()
		w.join("carol", "mac")
		kept := w.held()
		<-timeAfter(2000) // a life is numbered by the time at which it begins
		restore()
		w.join("dave", "pc")
		b := w.hello(bob, wire.ReceivesLive, at(kept))
		page := must(must(w.b.mesh(w.mesh)).page(0, 0))
		b.bye()
		var fork *chain.ForkError
		var conflict *chain.ConflictError
		_, err := kept.Append(chain.Page{Entries: page.Entries, Head: page.Head}, now())
		if errors.As(err, &fork) || !errors.As(err, &conflict) {
			t.Fatalf("%v", err)
		}
	})
}

// The only one who holds what was lost may be a key that the broker does not
// know any more.
func TestRestoredByUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		restore := w.backup()
		before := w.state().Next()
		bob := w.join("bob", "desk")
		kept := w.held()
		restore()
		b := w.hello(bob, wire.ReceivesLive, at(kept))
		b.send(&wire.Sync{ID: 1})
		b.wantError(wire.CodeNotMember)
		b.bring(kept, before)
		want[*wire.Entries](b)
		a := w.hello(w.alice, wire.ReceivesReplies)
		id := a.message(bob.Public(), "you are back")
		if _, text := b.receive(); text != "you are back" {
			t.Fatalf("%q", text)
		}
		a.wantAck(id, wire.StateDelivered)
		w.opts.GoOn = true
		w.restart()
		w.invite(1)
	})
}

// Who names a place that nobody has, and has nothing to bring, gets nowhere.
func TestRestoredFalsely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		false_ := func(b *wire.HelloBody) { b.At, b.Life = signed.At{N: 99, Hash: signed.ShortHash{9}}, 7 }
		// A member may hold up the mesh for a moment, once.
		a := w.hello(w.alice, wire.ReceivesLive, false_)
		link := must(keys.NewInvitePrivate(rand.Reader))
		entry := func() signed.Object {
			return w.sign(chain.Invite{Key: link.Public(), Rank: chain.RankMember, Uses: 1, Expires: now() + 60_000,
				Kinds: []chain.Kind{chain.KindAgent}}, w.alice)
		}
		a.send(&wire.Append{ID: 1, Entries: []signed.Object{entry()}})
		a.wantError(wire.CodeRestored)
		<-timeAfter(suspectFor + 1)
		a.bye()
		a = w.hello(w.alice, wire.ReceivesLive, false_)
		a.append(entry())
		// A head that the broker did not sign is no proof.
		before := must(w.b.mesh(w.mesh)).life
		other := must(keys.NewBrokerPrivate(rand.Reader))
		h := must(chain.MakeHead(chain.Head{Mesh: w.mesh, N: 3, Hash: w.state().Tip(), Time: now(), Life: 9}, other))
		a.send(&wire.Entries{From: 4, Entries: []signed.Object{}, Head: h.Object})
		a.wantError(wire.CodeForbidden)
		if m := must(w.b.mesh(w.mesh)); m.life != before {
			t.Fatalf("life %d", m.life)
		}
		// A stranger waits for a moment, a few at a time, and is sent away.
		stranger := must(keys.NewPeerPrivate(rand.Reader))
		var waiting []*client
		for range bringers {
			waiting = append(waiting, w.hello(stranger, wire.ReceivesLive, false_))
		}
		more := w.greet(stranger, false_)
		more.wantClose(wire.CloseNotMember)
		for _, c := range waiting {
			c.wantError(wire.CodeNotMember)
			c.wantClose(wire.CloseNotMember)
			if len(c.kept) != 0 {
				t.Fatalf("told%s", c.keptTypes())
			}
		}
		again := w.hello(stranger, wire.ReceivesLive, false_)
		again.bye()
	})
}
