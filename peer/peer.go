package peer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/profile"
	"github.com/claudemesh/claudemesh-go/roster"
	"github.com/claudemesh/claudemesh-go/wire"
)

// Peer is one session of one device of one user in one mesh. Make it by [Open].
//
// Locks, in the order in which they are taken: ledgerMu, mu; the locks of feeds,
// lines, pairs, the desk, the loop guard, askers, rates and the control socket are
// leaves. mu is never held during I/O. ledgerMu is held while state.db is written, so
// what is called after a commit must not take it.
type Peer struct {
	home     *home
	offline  bool
	mesh     keys.MeshID
	alias    string
	user     string // as in the config; the chain says the same
	device   string
	key      keys.PeerPrivate
	self     keys.Public
	live     *profile.Session
	session  keys.SessionID
	label    string
	client   string
	cwd      string
	receives wire.Receives

	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	group    sync.WaitGroup // run, work, and one a subscription
	feeds    feeds
	pairs    pairs
	desk     desk
	loop     loopGuard
	asks     askings
	rates    rates
	unsealed unsealedInbox

	view atomic.Pointer[roster.View] // of ledger

	ledgerMu ioLock // guards ledger
	ledger   *roster.Roster
	names    register // guarded by ledgerMu

	mu         sync.Mutex // guards the following
	changed    chan struct{}
	closed     bool
	condition  Condition
	tries      int           // complete tries to connect, successful or not
	hurry      chan struct{} // holds a token when the pause before the next try is to end
	attempts   []attempt     // of the last try, for doctor
	line       *line         // while welcomed
	ready      bool          // line's chain is up to date: messages may flow
	ahead      int64         // this clock, ahead of the broker's, Unix ms
	aheadSeen  bool
	outbox     *delivery.Outbox
	tracked    map[keys.MessageID]*tracking
	claims     map[claimKey]chan bool
	copies     map[claimKey]*copied // that came by this session's line, and are not granted
	arrivals   arrivals
	people     presence
	own        ownCard
	unsure     unsure
	confirming confirming
	warned     map[string]bool       // sentences told already
	told       map[keys.Public]int64 // who got a receipt within the last second, Unix ms
	receiptsAt int64                 // when receipts are due, Unix ms; 0: none wait
	againAt    int64                 // when to end the line, to send again what was not taken; Unix ms, 0: not
	notes      []note                // of the outbox's rows, that could not be written
	notesAt    int64                 // when to try again, Unix ms
	tidied     int64                 // when state.db was tidied last, Unix ms
}

// Open opens the profile and starts to dial; it does not wait for the broker.
// It fails with ErrNoMesh, UnknownNameError (mesh) or an error of the profile
// (unreadable, of a future version). ctx bounds Open alone, not the peer.
func Open(ctx context.Context, o Options) (*Peer, error) {
	h, err := openHome(ctx, o)
	if err != nil {
		return nil, err
	}
	p, err := h.openPeer(ctx, o)
	if err != nil {
		return nil, errors.Join(err, h.release())
	}
	return p, nil
}

// openPeer opens a peer, which lets go of the home when it is closed.
func (h *home) openPeer(ctx context.Context, o Options) (*Peer, error) {
	m, err := h.find(o.Mesh)
	if err != nil {
		return nil, err
	}
	label, cwd, err := labelOf(o)
	if err != nil {
		return nil, err
	}
	p := &Peer{
		home: h, offline: o.Offline, mesh: m.ID, alias: m.Alias, user: m.User, device: m.Device,
		key: m.PeerKey, self: m.PeerKey.Public(), label: label, client: o.Client, cwd: cwd,
		ledgerMu: make(ioLock, 1), changed: make(chan struct{}), hurry: make(chan struct{}, 1),
		tracked: make(map[keys.MessageID]*tracking), claims: make(map[claimKey]chan bool),
		warned: make(map[string]bool), told: make(map[keys.Public]int64),
	}
	if p.client == "" {
		p.client = "peer"
	}
	if p.receives, err = wireReceives(o.Receives); err != nil {
		return nil, err
	}
	if p.ledger, err = loadLedger(ctx, h.state, p.mesh, p.self); err != nil {
		return nil, err
	}
	view := p.ledger.View()
	p.view.Store(&view)
	p.condition = Condition{State: Offline, Host: hostOf(view.URLs()), Since: time.Now()}
	if err := p.startSession(ctx); err != nil {
		return nil, err
	}
	p.outbox = delivery.NewOutbox(h.clock.now())
	p.pairs.key = p.key
	p.loop.deepest = -1
	p.desk.wake = make(chan struct{}, 1)
	p.ctx, p.cancel = context.WithCancel(context.Background())
	if h.poked != nil {
		h.poked.register(p.session, p.wake)
	}
	p.group.Go(p.work)
	if !p.offline {
		p.group.Go(p.run)
	}
	p.mu.Lock()
	p.runOutboxLocked(profile.WordSelf)
	p.mu.Unlock()
	return p, nil
}

// startSession makes the session known to the profile, and tidies up after those
// that ended without a word.
func (p *Peer) startSession(ctx context.Context) error {
	id, err := keys.NewSessionID(rand.Reader)
	if err != nil {
		return err
	}
	info := profile.SessionInfo{ID: id, Label: p.label, PID: os.Getpid(), Client: p.client, Receives: p.receives,
		Active: p.now(), Started: p.now()}
	if p.home.poked != nil {
		info.Socket = p.home.poked.path
	}
	if p.live, err = p.home.state.StartSession(ctx, p.mesh, info); err != nil {
		return err
	}
	p.session, p.label = id, p.live.Label
	if err := p.recoverInbox(ctx); err != nil {
		return errors.Join(err, p.live.End(ctx))
	}
	return nil
}

// closeWithin bounds what Close still wants to send.
const closeWithin = 3 * time.Second

// Close says goodbye to the broker, ends all goroutines and waits for them.
// Receipts that are due go out before, for a short while; what was not
// acknowledged stays in the outbox. A second call does nothing.
func (p *Peer) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
	defer cancel()
	p.flushReceipts(ctx)
	if p.home.poked != nil {
		p.home.poked.unregister(p.session)
	}
	p.feeds.close()
	p.cancel()
	p.group.Wait()
	p.setCondition(Ended, ErrClosed)
	p.pairs.wipe()
	ending, done := context.WithTimeout(context.Background(), closeWithin)
	defer done()
	err := p.live.End(ending)
	// What waits for this session, and what it has not sent, is for others now.
	p.pokeAll(ending, pokeInbox)
	return errors.Join(err, p.home.release())
}

// Condition returns the state of the connection.
func (p *Peer) Condition() Condition {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.condition
}

// setCondition changes the state of the connection and tells everybody.
func (p *Peer) setCondition(state ConnState, err error) {
	p.mu.Lock()
	if p.condition.State != state {
		p.condition.Since = time.Now()
	}
	p.condition.State, p.condition.Err = state, err
	p.changedLocked()
	for _, t := range p.tracked {
		t.news()
	}
	p.mu.Unlock()
	p.feeds.tell(Event{Kind: EventState})
}

// changedLocked wakes all that wait in until.
func (p *Peer) changedLocked() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// until waits until done, which is called with mu held, says so or fails.
func (p *Peer) until(ctx context.Context, done func() (bool, error)) error {
	for {
		p.mu.Lock()
		ok, err := done()
		changed := p.changed
		p.mu.Unlock()
		if ok || err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-p.ctx.Done():
			return ErrClosed
		}
	}
}

// Connected waits until the peer is online (or waiting for its admission) and
// what it held from the outbox is on its way. It returns the typed error of
// the last try when ctx ends or no try can succeed: NotReachableError,
// RevokedError, TamperError, UpdateError. With patience false it returns the error
// of the first complete try over all the broker's URLs.
func (p *Peer) Connected(ctx context.Context, patience bool) error {
	if p.offline {
		return &NotReachableError{Host: p.host(), Reason: "working offline"}
	}
	p.hurryUp()
	p.mu.Lock()
	before := p.tries
	p.mu.Unlock()
	err := p.until(ctx, func() (bool, error) {
		switch p.condition.State {
		case Online, Waiting:
			return true, nil
		case Ended:
			return false, p.condition.Err
		case Offline:
			if !patience && p.tries > before && p.condition.Err != nil {
				return false, p.condition.Err
			}
		}
		return false, nil
	})
	if err == nil || !errors.Is(err, ctx.Err()) {
		return err
	}
	if last := p.Condition().Err; last != nil {
		return last
	}
	return &NotReachableError{Host: p.host(), Reason: "no answer in time", Err: err}
}

// onlineLine waits, for one complete try, for a line on which the peer can act as a
// member.
func (p *Peer) onlineLine(ctx context.Context) (*line, error) {
	if err := p.Connected(ctx, false); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.condition.State == Waiting {
		return nil, p.waitingError()
	}
	if p.line == nil || !p.ready {
		return nil, &NotReachableError{Host: p.condition.Host, Reason: "connection broken"}
	}
	return p.line, nil
}

// waitingError says that this peer's join still waits for a yes.
func (p *Peer) waitingError() *WaitingError {
	return &WaitingError{Mesh: p.alias, Address: p.address(), Number: keys.AdmitNumber(p.mesh, p.self)}
}

// hurryUp ends the pause before the next try to connect.
func (p *Peer) hurryUp() {
	select {
	case p.hurry <- struct{}{}:
	default:
	}
}

// Events returns a channel of what changes from now until ctx ends or the
// peer is closed, when the channel is closed. A slow reader loses older
// events, never the newest of each kind.
func (p *Peer) Events(ctx context.Context) <-chan Event {
	return p.feeds.subscribe(ctx, &p.group, p.ctx.Done())
}

// warn tells a sentence to the user, once.
func (p *Peer) warn(sentence string) {
	p.mu.Lock()
	told := p.warned[sentence]
	p.warned[sentence] = true
	p.mu.Unlock()
	if told {
		return
	}
	p.home.log.Warn(sentence, "mesh", p.alias)
	p.feeds.tell(Event{Kind: EventWarning, Text: sentence})
}

// host is the broker for people.
func (p *Peer) host() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.condition.Host
}

// address is user@device of this peer.
func (p *Peer) address() string { return p.user + "@" + p.device }

// brokerNow is the broker's clock, as far as it is known: what entries are dated by.
func (p *Peer) brokerNow() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now() - p.ahead
}

// Self is who this peer is.
type Self struct {
	Mesh     MeshID
	MeshName string // alias in this profile
	Name     string // of the mesh itself, from its genesis
	User     string
	Device   string
	Label    string
	Session  SessionID
	Key      Key
	Address  string // "alice@laptop/payments-api"
	Hosts    []string
	// Rank is 1 member, 2 admin; 0 while waiting for a yes, and once revoked.
	Rank int
	// Owner: an owner's key of the mesh is on this machine.
	Owner bool
}

// Self returns who this peer is; no broker is asked.
func (p *Peer) Self() Self {
	view := p.members()
	s := Self{Mesh: p.mesh, MeshName: p.alias, Name: view.Name(), User: p.user, Device: p.device, Label: p.label,
		Session: p.session, Key: p.self, Address: p.address(), Rank: int(view.Rank(p.self))}
	if p.label != "" {
		s.Address += "/" + p.label
	}
	for _, text := range view.URLs() {
		if e, err := parseEndpoint(text, true); err == nil {
			s.Hosts = append(s.Hosts, e.shown())
		}
	}
	if owner, err := p.ownerKey(); err == nil {
		s.Owner = view.Rank(owner.Public()) >= chain.RankOwner
	}
	return s
}

// ownerKey is the owner's key, where it is on this machine; ErrNoOwnerKey.
func (p *Peer) ownerKey() (keys.OwnerPrivate, error) {
	m, err := p.home.find(p.mesh.String())
	if err != nil {
		return keys.OwnerPrivate{}, err
	}
	if m.OwnerKey.IsZero() {
		return keys.OwnerPrivate{}, ErrNoOwnerKey
	}
	return m.OwnerKey, nil
}

// wireReceives translates an option.
func wireReceives(r Receives) (wire.Receives, error) {
	if r == "" {
		r = Nothing
	}
	var w wire.Receives
	if err := w.UnmarshalText([]byte(r)); err != nil {
		return 0, fmt.Errorf("receives %q: %w", r, err)
	}
	return w, nil
}
