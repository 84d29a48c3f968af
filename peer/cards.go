package peer

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"slices"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/profile"
	"github.com/claudemesh/claudemesh-go/seal"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/wire"
)

// extrasScheme says that what stands beside a card is sealed as to several
// recipients. [CM-7]
const extrasScheme = 1

// Names of values that commands set for the whole peer.
const (
	valueStatus  = "status"
	valueSummary = "summary"
	valueTags    = "tags" // separated by blanks
)

// ownCard is what this session says about itself. Guarded by Peer.mu.
type ownCard struct {
	status      Status // its own; "": none was set
	summary     string // its own; "": none was set
	peerStatus  Status // set for the whole peer
	peerSummary string
	tags        []string // of the peer, sorted
	loaded      bool     // what is set for the peer was read
	extras      bool     // something sealed was sent on this line: taking it back means sending it empty
	dirty       bool     // to be signed anew
	renew       int64    // when, although nothing changed; Unix ms, 0: not
}

// effective is what the card says: do-not-disturb set for the peer holds for all of
// its sessions, else a session's own word goes first.
func (c *ownCard) effective() (Status, string) {
	status := cmp.Or(c.status, c.peerStatus, Idle)
	if c.peerStatus == DoNotDisturb {
		status = DoNotDisturb
	}
	return status, cmp.Or(c.summary, c.peerSummary)
}

// SetStatus says what this session is doing: it turns to Idle, Working or
// DoNotDisturb, signed in its card.
func (p *Peer) SetStatus(ctx context.Context, s Status) error {
	if _, err := deliveryStatus(s); err != nil {
		return err
	}
	p.mu.Lock()
	p.own.status = s
	p.own.dirty = true
	p.mu.Unlock()
	return p.noteStatus(ctx, s == Working)
}

// SetSummary says what this session works on, sealed to the members. Empty takes it
// away; then what was set for the whole peer is said.
func (p *Peer) SetSummary(ctx context.Context, text string) error {
	if err := checkSummary(text); err != nil {
		return err
	}
	p.mu.Lock()
	p.own.summary, p.own.dirty = text, true
	p.mu.Unlock()
	p.desk.kick()
	return ctx.Err()
}

func checkSummary(text string) error {
	if len(text) > seal.MaxSummary {
		return &UsageError{Sentence: fmt.Sprintf("a summary has %d bytes at most, this one has %d", seal.MaxSummary, len(text))}
	}
	return nil
}

// SetPeerStatus and SetPeerSummary set the same for the whole peer, which every
// session without its own takes over: what the commands status and summary do.
func (p *Peer) SetPeerStatus(ctx context.Context, s Status) error {
	if _, err := deliveryStatus(s); err != nil {
		return err
	}
	return p.setPeerValue(ctx, valueStatus, string(s))
}

// SetPeerSummary: see SetPeerStatus.
func (p *Peer) SetPeerSummary(ctx context.Context, text string) error {
	if err := checkSummary(text); err != nil {
		return err
	}
	return p.setPeerValue(ctx, valueSummary, text)
}

func (p *Peer) setPeerValue(ctx context.Context, name, value string) error {
	err := p.home.state.Update(ctx, p.mesh, func(tx *profile.Tx) error { return tx.SetValue(name, value) })
	if err != nil {
		return err
	}
	p.desk.add(p.reloadCard)
	p.pokeAll(ctx, pokeCard)
	return nil
}

// PeerCard returns status and summary as set for the whole peer.
func (p *Peer) PeerCard(ctx context.Context) (status Status, summary string, err error) {
	err = p.home.state.View(ctx, p.mesh, func(tx *profile.Tx) error {
		text, err := tx.Value(valueStatus)
		if err != nil {
			return err
		}
		status = Status(text)
		summary, err = tx.Value(valueSummary)
		return err
	})
	return status, summary, err
}

// reloadCard takes over what was set for the whole peer.
func (p *Peer) reloadCard() {
	status, summary, err := p.PeerCard(p.ctx)
	if err != nil {
		return // looked at again with the next card
	}
	tags, err := p.ownTags(p.ctx)
	if err != nil {
		return
	}
	p.mu.Lock()
	changed := p.own.peerStatus != status || p.own.peerSummary != summary || !slices.Equal(p.own.tags, tags)
	p.own.peerStatus, p.own.peerSummary, p.own.tags, p.own.loaded = status, summary, tags, true
	p.own.dirty = p.own.dirty || changed
	p.mu.Unlock()
	if changed {
		if err := p.noteStatus(p.ctx, false); err != nil && p.ctx.Err() == nil {
			p.home.log.Info("status", "mesh", p.alias, "err", err)
		}
	}
}

// noteStatus writes the status where the profile's other processes see it, and has
// the card signed anew.
func (p *Peer) noteStatus(ctx context.Context, active bool) error {
	p.mu.Lock()
	status, _ := p.own.effective()
	p.mu.Unlock()
	s, err := deliveryStatus(status)
	if err != nil {
		s = delivery.StatusIdle
	}
	at := int64(0)
	if active {
		at = p.now()
	}
	err = p.home.state.Update(ctx, p.mesh, func(tx *profile.Tx) error { return tx.SetSession(p.session, s, at) })
	p.desk.kick()
	p.lookSoon()
	return err
}

// renewCard signs the card anew when something in it changed, or after an hour.
func (p *Peer) renewCard(t int64) int64 {
	p.mu.Lock()
	l, ready := p.line, p.ready
	due := p.own.dirty || p.own.renew > 0 && p.own.renew <= t
	next := p.own.renew
	p.mu.Unlock()
	if !ready {
		return 0 // the next welcome signs it anew
	}
	if !due {
		return next
	}
	p.presentSelf(l, false)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.own.renew
}

// presentSelf tells the broker about this session: cards, what is sealed beside
// them, and first the operator's metadata. [CM-7]
func (p *Peer) presentSelf(l *line, first bool) {
	if p.receives != wire.ReceivesLive && p.receives != wire.ReceivesDrain {
		p.mu.Lock()
		p.own.dirty = false
		p.mu.Unlock()
		return
	}
	p.mu.Lock()
	loaded := p.own.loaded
	p.mu.Unlock()
	if !loaded {
		p.reloadCard()
	}
	t := p.now()
	p.mu.Lock()
	p.own.dirty = false
	p.own.renew = t + wire.CardRenew
	status, summary := p.own.effective()
	sealed := summary != "" || p.own.extras && !first
	p.own.extras = sealed
	p.mu.Unlock()
	f := &wire.Presence{}
	if err := p.signCards(f, t, status); err != nil {
		if p.ctx.Err() == nil {
			p.home.log.Error("signing a card", "mesh", p.alias, "err", err)
		}
		return
	}
	if sealed {
		extras, err := p.sealExtras(t, summary)
		if err != nil {
			p.home.log.Error("sealing a summary", "mesh", p.alias, "err", err)
		}
		f.Extras = extras
	}
	if first {
		p.operatorMetadata(f)
	}
	if err := l.send(f, nil); err != nil {
		p.home.log.Error("presence", "mesh", p.alias, "err", err)
	}
}

// signCards makes the peer's card and the session's.
func (p *Peer) signCards(f *wire.Presence, t int64, status Status) error {
	var counters [2]uint64
	seen := p.counterSeen()
	err := p.home.state.Update(p.ctx, p.mesh, func(tx *profile.Tx) (err error) {
		for i := range counters {
			if counters[i], err = tx.NextCounter(seen); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	p.mu.Lock()
	tags := p.own.tags
	p.mu.Unlock()
	at := p.members().At()
	for _, body := range []wire.CardBody{
		{Mesh: p.mesh, Peer: p.self, Counter: counters[0], Time: t, At: at, Tags: tags},
		{Mesh: p.mesh, Peer: p.self, Session: p.session, Counter: counters[1], Time: t, At: at, Label: p.label, Status: wire.Status(status)},
	} {
		raw, err := signed.Encode(body)
		if err != nil {
			return err
		}
		f.Cards = append(f.Cards, signed.Sign(signed.DomainCard, raw, p.key))
	}
	return nil
}

// counterSeen is the highest counter of own cards that the broker was seen to have: a
// profile restored from a backup goes on above it.
func (p *Peer) counterSeen() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.people.counters[cardKey{peer: p.self}]
}

// sealExtras seals the summary to all members.
func (p *Peer) sealExtras(t int64, summary string) (*wire.Extras, error) {
	content, err := seal.SealExtras(rand.Reader, seal.Extras{Mesh: p.mesh, From: p.self, Session: p.session, Time: t, Summary: summary})
	if err != nil {
		return nil, err
	}
	defer content.Wipe()
	out := &wire.Extras{Scheme: extrasScheme, Sealed: content.Sealed}
	for _, m := range p.members().Members() {
		if len(out.Boxes) == wire.MaxRecipients {
			break // of a mesh this large the others do without
		}
		err := p.pairs.with(m.Key, func(pair *seal.Pair) error {
			box, err := content.Box(rand.Reader, pair)
			out.Boxes = append(out.Boxes, wire.Recipient{Key: m.Key, Box: box})
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// operatorMetadata adds what the broker's operator may see of the process, unless
// the config leaves it out.
func (p *Peer) operatorMetadata(f *wire.Presence) {
	settings, err := p.home.Config()
	if err != nil || settings.Presence == "minimal" {
		return
	}
	f.PID, f.CWD, f.Client = int64(os.Getpid()), short(p.cwd), short(p.client)
	if host, err := os.Hostname(); err == nil {
		f.Host = short(host)
	}
}

// short cuts a text to what a frame takes.
func short(text string) string { return text[:min(len(text), wire.MaxText)] }
