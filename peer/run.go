package peer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/profile"
	"github.com/claudemesh/claudemesh-go/roster"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/wire"
)

const (
	// firstPause and lastPause bound the pauses between tries to connect, which
	// double; each is spread over its second half.
	firstPause = 250 * time.Millisecond
	lastPause  = 30 * time.Second
	// wrongPause is the pause after something that trying again soon cannot mend.
	wrongPause = time.Minute
)

// run is the goroutine that dials and reads, until Close or until no try can
// succeed.
func (p *Peer) run() {
	pause := firstPause
	for p.ctx.Err() == nil {
		p.setCondition(Connecting, p.Condition().Err)
		begun := time.Now()
		p.mu.Lock()
		before := p.tries
		p.mu.Unlock()
		err := p.connection()
		if p.ctx.Err() != nil {
			return
		}
		wait := pause/2 + rand.N(pause/2)
		pause = min(2*pause, lastPause)
		if time.Since(begun) > lastPause { // it had worked
			pause = firstPause
		}
		var drained *drainError
		if errors.As(err, &drained) {
			wait, pause = rand.N(drained.within+time.Millisecond), firstPause
		}
		err = p.explain(err)
		p.mu.Lock()
		if p.tries == before { // else it was welcomed, and counted then: that it ended is no try
			p.tries++
		}
		p.mu.Unlock()
		if isFinal(err) {
			p.setCondition(Ended, err)
			return
		}
		var tampered *TamperError
		if errors.As(err, &tampered) {
			p.warn(tampered.Sentence)
			wait = wrongPause/2 + rand.N(wrongPause/2)
		}
		p.home.log.Debug("not connected", "mesh", p.alias, "err", err, "again_in", wait)
		p.setCondition(Offline, err)
		p.rest(wait)
	}
}

// rest waits before the next try, unless somebody is in a hurry.
func (p *Peer) rest(wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.hurry:
	case <-p.ctx.Done():
	}
}

// isFinal tells errors after which no further try can succeed.
func isFinal(err error) bool {
	var revoked *RevokedError
	var update *UpdateError
	return errors.As(err, &revoked) || errors.As(err, &update)
}

// drainError says that the broker went away and wants to be dialled again within a
// time.
type drainError struct{ within time.Duration }

// Error says it.
func (e *drainError) Error() string { return "the broker is restarting" }

// connection dials, serves one connection until it ends, and says why it ended.
func (p *Peer) connection() error {
	o, err := p.dialBroker()
	if err != nil {
		return err
	}
	p.ledgerMu.Lock()
	g := greeting{mesh: p.mesh, as: p.key, session: p.session, label: p.label, client: p.client, receives: p.receives,
		at: p.ledger.Chain().At(), life: p.ledger.Chain().Head().Head.Life, clock: p.home.clock.wall}
	p.ledgerMu.Unlock()
	w, err := o.greet(p.ctx, g)
	if err != nil {
		var refused *helloError
		if errors.As(err, &refused) && refused.entries != nil {
			// They may prove what it says.
			page := chain.Page{From: refused.entries.From, Entries: refused.entries.Entries, Head: refused.entries.Head}
			if _, e := p.takePage(p.ctx, page); e != nil {
				p.home.log.Debug("entries before a refusal", "err", e)
			}
		}
		return &dialError{at: o.endpoint, err: err}
	}
	l := newLine(o.socket, w, o.endpoint)
	var writer sync.WaitGroup
	writer.Go(l.write)
	stop := context.AfterFunc(p.ctx, l.finish)
	p.mu.Lock()
	p.line, p.ready = l, false
	p.ahead, p.aheadSeen = w.ahead, true
	p.condition.Host = o.endpoint.shown()
	p.mu.Unlock()
	err = p.talk(l)
	stop()
	p.setCondition(Connecting, nil) // what follows may wait for the disk
	p.mu.Lock()
	p.line, p.ready = nil, false
	p.outbox.Disconnected()
	p.runOutboxLocked(profile.WordSelf)
	p.changedLocked()
	p.mu.Unlock()
	l.down(&NotReachableError{Host: o.endpoint.shown(), Reason: "connection broken", Err: err})
	p.forgetPresence()
	if p.ctx.Err() != nil {
		l.finish()
		writer.Wait()
		return ErrClosed
	}
	l.hangUp(err)
	writer.Wait()
	p.dropCopies()
	return &dialError{at: o.endpoint, err: err, welcomed: true}
}

// endpoints lists where to dial, in order: the socket of this profile's own broker,
// then what the chain names, then what the config and links named.
func (p *Peer) endpoints() []endpoint {
	all := []endpoint{{url: unixScheme + p.home.BrokerSocket(), origin: unixScheme, scheme: "unix", network: "unix", address: p.home.BrokerSocket()}}
	urls := p.members().URLs()
	if m, err := p.home.find(p.mesh.String()); err == nil {
		for _, b := range m.Brokers {
			urls = append(urls, b.URLs...)
		}
	}
	seen := map[string]bool{unixScheme: true} // the own socket, whatever its path
	for _, text := range urls {
		e, err := parseEndpoint(text, false)
		if err == nil && !seen[e.url] {
			seen[e.url] = true
			all = append(all, e)
		}
	}
	return all
}

// dialBroker gives a connection up to the challenge of the broker that the chain
// names.
func (p *Peer) dialBroker() (*opened, error) {
	broker := pin{key: p.members().BrokerKey()}
	all := p.endpoints()
	o, ownErr := p.openOwn(all[0], broker) // alone and first
	if ownErr == nil {
		return o, nil
	}
	o, attempts := openAny(p.ctx, all[1:], broker, p.home.dial)
	var unstarted *startError
	if len(all) == 1 || errors.As(ownErr, &unstarted) {
		attempts = append([]attempt{{all[0], ownErr}}, attempts...)
	}
	p.mu.Lock()
	p.attempts = attempts
	p.mu.Unlock()
	if o != nil {
		return o, nil
	}
	worst := attempts[0]
	for _, a := range attempts {
		if errors.Is(a.err, errOtherKey) {
			worst = a
		}
	}
	return nil, &dialError{at: worst.endpoint, err: worst.err}
}

// dialError is why a connection failed, and where.
type dialError struct {
	at       endpoint
	err      error
	welcomed bool // it had worked before
}

// Error says it for logs.
func (e *dialError) Error() string { return fmt.Sprintf("%s: %v", e.at.url, e.err) }

// Unwrap returns what happened.
func (e *dialError) Unwrap() error { return e.err }

// talk is what happens on a welcomed line: the chain is brought up to date, then
// frames are dealt with until the line ends.
func (p *Peer) talk(l *line) error {
	early, err := p.catchUp(l)
	if err != nil {
		return err
	}
	if err := p.standing(); err != nil {
		return err
	}
	if err := p.takeOver(); err != nil {
		return err
	}
	p.mu.Lock()
	p.ready = true
	waits := !isMember(p.members(), p.self)
	if !waits {
		p.outbox.Connected(p.now(), l.Limits.InFlight)
		p.runOutboxLocked(profile.WordSelf)
	}
	p.arrivals.begin(l.Queued)
	p.mu.Unlock()
	if !waits {
		p.presentSelf(l, true)
	}
	p.welcomed(waits)
	if !waits {
		p.spawn(func() { p.askUndecided(l) })
	}
	d := &dispatcher{p: p, line: l}
	for _, e := range early {
		if err := d.frame(e.frame, e.payload); err != nil {
			return err
		}
	}
	return d.read()
}

// welcomed sets the condition of a peer that was let in.
func (p *Peer) welcomed(waits bool) {
	p.mu.Lock()
	p.tries++
	p.mu.Unlock()
	if waits {
		p.setCondition(Waiting, nil)
		return
	}
	p.setCondition(Online, nil)
	p.desk.add(p.reviewInbox) // what lacked an entry; and the desk sees receipts that waited
}

// earlyFrame is a frame that came before the chain was up to date.
type earlyFrame struct {
	frame   wire.Frame
	payload []byte
}

// catchUp brings the chain under the welcome's head before anything that came with
// the connection is looked at. What comes meanwhile is kept.
func (p *Peer) catchUp(l *line) (early []earlyFrame, err error) {
	ask := func(from uint64) (*wire.Entries, error) {
		if err := l.send(&wire.Sync{ID: 1, From: from}, nil); err != nil {
			return nil, err
		}
		for {
			frame, payload, err := l.readAny()
			if err != nil {
				return nil, err
			}
			switch f := frame.(type) {
			case *wire.Entries:
				if f.Re == 1 {
					return f, nil
				}
				continue // pushed: it will be asked for
			case *wire.Error:
				if f.Re == 1 {
					return nil, refusal(f)
				}
			}
			early = append(early, earlyFrame{frame, payload})
		}
	}
	var first *wire.Entries
	if l.head.Head.N < p.heldLen() {
		first = &wire.Entries{From: p.heldLen(), Head: l.Head} // perhaps all is here
	}
	err = p.syncLedger(p.ctx, ask, first)
	var behind *behindError
	if errors.As(err, &behind) {
		host := l.at.shown()
		p.warn(fmt.Sprintf("%s holds an older list of members of %s than this machine. It may have been restored from a backup, or withhold a revocation; what is held here stays.", host, p.alias))
		err = p.bring(l, behind.from)
	}
	return early, err
}

// spawn runs f in a goroutine that Close waits for.
func (p *Peer) spawn(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.group.Go(f)
	}
}

// standing tells whether this peer may still speak, by the chain.
func (p *Peer) standing() error {
	view := p.members()
	if r, revoked := view.Revoked(p.self); revoked {
		return p.revokedError(view, p.self, r)
	}
	if isMember(view, p.self) {
		return nil
	}
	if _, waits := view.Waiting(p.self, p.brokerNow()); waits {
		return nil
	}
	return p.lapsedError()
}

// lapsedError says that this peer's join waited too long for a yes.
func (p *Peer) lapsedError() *RevokedError {
	return &RevokedError{Address: p.address(), Mesh: p.alias, Self: true, Lapsed: true}
}

// takeOver gives this session the outbox rows and receipts of sessions that ended.
func (p *Peer) takeOver() error {
	p.mu.Lock()
	up := p.line != nil
	p.mu.Unlock()
	if !up {
		return nil // whoever connects takes them
	}
	var gone []keys.SessionID
	err := p.home.state.Update(p.ctx, p.mesh, func(tx *profile.Tx) error {
		owners, err := tx.OutboxOwners(p.session)
		if err != nil {
			return err
		}
		live, err := tx.LiveRows()
		if err != nil {
			return err
		}
		if gone = delivery.Orphans(owners, live); len(gone) == 0 {
			return nil
		}
		_, err = tx.TakeOver(p.session, gone...)
		return err
	})
	if err != nil || len(gone) == 0 {
		return err
	}
	p.mu.Lock()
	p.outbox.Taken(p.now())
	p.runOutboxLocked(profile.WordSelf)
	p.mu.Unlock()
	p.receiptsDue()
	return nil
}

// explain makes of why a connection failed or ended the error for people.
func (p *Peer) explain(err error) error {
	var at endpoint
	var dialled *dialError
	if errors.As(err, &dialled) {
		at = dialled.at
	}
	host := at.shown()
	if at.url == "" {
		host = p.host()
	}
	view := p.members()
	if r, revoked := view.Revoked(p.self); revoked {
		return p.revokedError(view, p.self, r)
	}
	if view.Standing(p.self, p.brokerNow()) == roster.Lapsed {
		return p.lapsedError()
	}
	var known interface{ Class() Class }
	var refused *helloError
	switch {
	case errors.As(err, &known):
		return err
	case errors.Is(err, errOtherKey):
		return &TamperError{Host: host, Err: err, Sentence: fmt.Sprintf(
			"%s answers with another key than the one that %s is pinned to. Somebody may be in between; nothing was sent. Details: claudemesh doctor --mesh %s", host, p.alias, p.alias)}
	case errors.As(err, &refused):
		return p.explainRefusal(host, refused)
	case errors.Is(err, chain.ErrStopped):
		return &UpdateError{Mesh: p.alias, Err: err}
	}
	if sentence := p.explainChain(host, err); sentence != "" {
		return &TamperError{Host: host, Sentence: sentence, Err: err}
	}
	return &NotReachableError{Host: host, Reason: reason(err), Err: err}
}

// explainRefusal is for a hello that the broker did not accept.
func (p *Peer) explainRefusal(host string, e *helloError) error {
	switch e.frame.Code {
	case wire.CodeBusy, wire.CodeRate, wire.CodeStorage, wire.CodeInternal, wire.CodeRestored:
		return &NotReachableError{Host: host, Reason: e.frame.Code.Info().Sentence, Err: e}
	case wire.CodeRevoked, wire.CodeNotMember, wire.CodeUnknownMesh:
		// The broker's word alone: the chain, as far as it was given, does not say so.
		return &TamperError{Host: host, Err: e, Sentence: fmt.Sprintf(
			"%s says that %s does not belong to %s, and proves nothing of it. Ask another member; details: claudemesh doctor --mesh %s",
			host, p.address(), p.alias, p.alias)}
	}
	return &RefusedError{Code: string(e.frame.Code), Message: e.frame.Code.Info().Sentence}
}

// explainChain is for what a broker says about the chain that cannot be; "" where
// the error is no such thing.
func (p *Peer) explainChain(host string, err error) string {
	var fork *chain.ForkError
	var conflict *chain.ConflictError
	switch {
	case errors.As(err, &fork):
		return fmt.Sprintf("%s has signed two different lists of members of %s: it shows members different ones. Ask an owner, who can mend it: claudemesh mesh heal; details: claudemesh doctor --mesh %s", host, p.alias, p.alias)
	case errors.As(err, &conflict):
		return fmt.Sprintf("%s was restored and goes on with another list of members of %s than this machine holds. Ask an owner, who can mend it: claudemesh mesh heal; details: claudemesh doctor --mesh %s", host, p.alias, p.alias)
	case errors.Is(err, roster.ErrHealRefused), errors.Is(err, roster.ErrOverruled), errors.Is(err, roster.ErrNotOrderer):
		return fmt.Sprintf("%s goes on with a list of members of %s that a revoked key made. Nothing of it was taken; ask an owner; details: claudemesh doctor --mesh %s", host, p.alias, p.alias)
	case errors.Is(err, chain.ErrBroken), errors.Is(err, chain.ErrShort), errors.Is(err, signed.ErrForm):
		return fmt.Sprintf("%s gave a list of members of %s whose signatures do not check out. Nothing of it was taken; details: claudemesh doctor --mesh %s", host, p.alias, p.alias)
	}
	return ""
}
