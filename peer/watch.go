package peer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/roster"
	"github.com/claudemesh/claudemesh-go/wire"
)

// Until says what a watch waits for.
type Until string

// What can be waited for.
const (
	UntilIdle Until = "idle" // a session of the watched one is idle, by its card
	UntilBack Until = "back" // it is connected
	UntilDone Until = "done" // a session that worked while it was watched is idle
)

// WatchFor is how long a watch lasts at most.
const WatchFor = 24 * time.Hour

// Watch waits for somebody: see [Peer.Watch].
type Watch struct {
	Address string // canonical
	Until   Until
	// Expires is when it ends without a notice; it may be set earlier.
	Expires time.Time

	p       *Peer
	began   time.Time
	devices []roster.Member
	label   string                  // of the session; "": any
	working map[keys.SessionID]bool // seen at work since the watch was set
}

// Watched is what a watch waited for.
type Watched struct {
	Address string // who it is now: user@device[/label]
	Until   Until
	Time    time.Time // when it was noticed
}

// Watch looks from now on, for 24 hours at most, whether a user, a device or a session
// is idle, back or done; [Watch.Wait] returns once it is. Who is watched is told
// nothing. UnknownNameError, RevokedError.
func (p *Peer) Watch(ctx context.Context, address string, until Until) (*Watch, error) {
	switch until {
	case UntilIdle, UntilBack, UntilDone:
	default:
		return nil, &UsageError{Sentence: fmt.Sprintf("%q cannot be waited for: idle, back or done", until)}
	}
	a, err := wire.ParseAddress(address)
	if err != nil {
		return nil, &UsageError{Sentence: err.Error()}
	}
	w := &Watch{Until: until, p: p, began: time.Now(), label: a.Label, working: map[keys.SessionID]bool{}}
	w.Expires = w.began.Add(WatchFor)
	// A session that is away has no card: its label is taken as it is.
	a.Label = ""
	if a.Kind == wire.AddressLabel {
		a.Kind, a.User = wire.AddressUser, p.user
	}
	if a.Kind != wire.AddressUser && a.Kind != wire.AddressKey {
		return nil, &UsageError{Sentence: "watch a user, user@device, user@device/session or /session"}
	}
	failed := p.subscribe(ctx)
	if failed != nil && !isUnreachable(failed) {
		return nil, failed
	}
	t, err := p.resolve(ctx, a.String(), true)
	var unknown *UnknownNameError
	if errors.As(err, &unknown) && failed == nil {
		p.fetch() // perhaps it joined this very moment
		t, err = p.resolve(ctx, a.String(), true)
	}
	if err != nil {
		return nil, err
	}
	if w.devices = t.to; a.Device == "" && a.User == p.user {
		w.devices = p.members().User(p.user) // this device's other sessions too
	}
	if w.Address = t.address; w.label != "" {
		w.Address += "/" + w.label
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	w.lookLocked() // who works now is watched from now on
	return w, nil
}

// Wait returns when what the watch waits for is so, by the signed cards and, of
// connected or not, by the broker's word; through lost connections. It looks once
// also when ctx has ended. TimeoutError when it expires.
func (w *Watch) Wait(ctx context.Context) (Watched, error) {
	p := w.p
	limit, cancel := context.WithDeadlineCause(ctx, w.Expires,
		&TimeoutError{For: fmt.Sprintf("word that %s is %s", w.Address, w.Until), After: w.Expires.Sub(w.began).Round(time.Second)})
	defer cancel()
	for {
		var address string
		err := p.until(limit, func() (bool, error) {
			if p.condition.State == Ended {
				return false, p.condition.Err
			}
			if p.people.on == nil {
				return p.line != nil && p.ready, nil // ask who is there
			}
			address = w.lookLocked()
			return address != "", nil
		})
		if address != "" {
			return Watched{Address: address, Until: w.Until, Time: time.Now()}, nil
		}
		if err == nil {
			err = p.subscribe(limit)
		}
		switch {
		case ctx.Err() != nil:
			return Watched{}, ctx.Err()
		case limit.Err() != nil:
			return Watched{}, context.Cause(limit)
		case err != nil && !isUnreachable(err):
			return Watched{}, err
		}
	}
}

// lookLocked is who does what the watch waits for, "" for nobody.
func (w *Watch) lookLocked() string {
	found := ""
	for _, m := range w.devices {
		who := w.p.people.peers[m.Key]
		if who == nil {
			continue
		}
		if w.Until == UntilBack && w.label == "" && who.connected && m.Key != w.p.self {
			return m.Address()
		}
		for _, s := range who.sessions {
			if s.id == w.p.session || w.label != "" && s.card.Label != w.label {
				continue
			}
			if w.matches(s) && found == "" {
				if found = m.Address(); s.card.Label != "" {
					found += "/" + s.card.Label
				}
			}
		}
	}
	return found
}

// matches looks at one session, and remembers that it works.
func (w *Watch) matches(s sessionCard) bool {
	status := Status(s.card.Status)
	if status == "" {
		status = Idle
	}
	switch w.Until {
	case UntilBack:
		return w.label != ""
	case UntilIdle:
		return status == Idle
	}
	if status == Working {
		w.working[s.id] = true
	}
	return status == Idle && w.working[s.id]
}
