package peer

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
)

// rateWithin is how long back what was shown of a sender is counted.
const rateWithin = time.Minute

// Flood is what one sender has waiting beyond the rate at which its messages are
// shown.
type Flood struct {
	Address string // user@device
	Count   int    // how many more wait
	// Newest is the last of them, by its sender's clock.
	Newest      time.Time
	NewestShort string // its id, "m-8fk2"

	from keys.Public
	id   keys.MessageID
}

// rates counts what was shown to this session, by sender. Its lock is a leaf.
type rates struct {
	mu    sync.Mutex
	shown map[keys.Public][]int64 // ms of a steady clock, the oldest first
	rate  int                     // of the last Take that had one; 0: none
}

// left is how many messages of a sender may be shown now.
func (r *rates) leftLocked(t int64, from keys.Public) int {
	times := slices.DeleteFunc(r.shown[from], func(at int64) bool { return at <= t-rateWithin.Milliseconds() })
	if len(times) == 0 {
		delete(r.shown, from)
	} else {
		r.shown[from] = times
	}
	return r.rate - len(times)
}

// add counts what is shown.
func (r *rates) add(t int64, from keys.Public) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rate == 0 {
		return
	}
	if r.shown == nil {
		r.shown = make(map[keys.Public][]int64)
	}
	r.shown[from] = append(r.shown[from], t)
}

// limit takes out of what could be shown what is beyond a sender's rate, and what is
// beyond max; 0: no limit.
func (r *rates) limit(t int64, show []delivery.Showing, rows []delivery.InboxRow, rate, max int) (rest []delivery.Showing, floods []Flood) {
	if rate <= 0 {
		return show, nil
	}
	r.mu.Lock()
	r.rate = rate
	r.mu.Unlock()
	byPlace := rowsByPlace(rows)
	over := r.over(t, show, byPlace)
	for _, s := range show {
		row := byPlace[s.Place]
		if !over[s.Place] {
			if max == 0 || len(rest) < max {
				rest = append(rest, s)
			}
			continue
		}
		i := slices.IndexFunc(floods, func(f Flood) bool { return f.from == row.From })
		if i < 0 {
			i = len(floods)
			floods = append(floods, Flood{from: row.From})
		}
		f := &floods[i]
		f.Count++
		if sent := timeOf(row.Sent); !sent.Before(f.Newest) {
			f.Newest, f.id = sent, row.ID
		}
	}
	return rest, floods
}

// over gives the places of what is beyond its sender's rate now.
func (r *rates) over(t int64, show []delivery.Showing, rows map[int64]*delivery.InboxRow) map[int64]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rate == 0 {
		return nil
	}
	over := map[int64]bool{}
	left := map[keys.Public]int{}
	for _, s := range show {
		row := rows[s.Place]
		if row == nil {
			continue
		}
		if _, known := left[row.From]; !known {
			left[row.From] = r.leftLocked(t, row.From)
		}
		if left[row.From]--; left[row.From] < 0 {
			over[s.Place] = true
		}
	}
	return over
}

// nameFloods fills in names.
func (p *Peer) nameFloods(ctx context.Context, floods []Flood) ([]Flood, error) {
	for i := range floods {
		f := &floods[i]
		f.Address = p.addressOf(f.from)
		var err error
		if f.NewestShort, err = p.home.state.ShortName(ctx, f.id); err != nil {
			return nil, err
		}
	}
	return floods, nil
}
