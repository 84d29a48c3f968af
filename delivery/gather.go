package delivery

import (
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

// ReceiptRow is what the sender of messages is to be told of them by a sealed receipt,
// written in the transaction that makes it true.
type ReceiptRow struct {
	Place   int64
	Session keys.SessionID // the session that tells it
	To      keys.Public    // the messages' sender
	Of      []Receipted    // at least one, ReceiptsTogether at most
	State   wire.State     // seen, held or refused
	Why     wire.Why
	Time    int64 // since when, Unix ms
	Expires int64 // of the last of the messages; the receipt expires with it
}

// Receipted names a message of which a receipt speaks.
type Receipted struct {
	ID   keys.MessageID
	Hash [32]byte // SHA-256 of what was sealed
}

// ReceiptsTogether is how many messages one sealed receipt speaks of at most:
// seal.MaxReceipts, which package peer checks.
const ReceiptsTogether = 16

// Gather gives the receipts that are due, as groups of places, one sealed
// receipt each, all of one group for one recipient; everything with flush.
// Rows past their expiry come in a group of their own (expired), to be dropped.
// Next is when to look again, 0: when something changes.
func Gather(now int64, rows []ReceiptRow, flush bool) (groups [][]int64, expired []int64, next int64) {
	waiting := map[keys.Public]*gathered{}
	var order []*gathered
	for i := range rows {
		r := &rows[i]
		if r.Expires <= now {
			expired = append(expired, r.Place)
			continue
		}
		g := waiting[r.To]
		if g == nil {
			g = &gathered{first: r.Time}
			waiting[r.To], order = g, append(order, g)
		}
		g.first = min(g.first, r.Time)
		if g.messages+len(r.Of) > ReceiptsTogether {
			groups = append(groups, g.take())
		}
		g.places, g.messages = append(g.places, r.Place), g.messages+len(r.Of)
	}
	for _, g := range order {
		due := g.first + wire.ReceiptsWithin
		switch {
		case flush || g.messages == ReceiptsTogether || due <= now || g.first > now: // a clock that went back does not keep it
			groups = append(groups, g.take())
		case next == 0 || due < next:
			next = due
		}
	}
	return groups, expired, next
}

// gathered are rows for one recipient that fit one receipt.
type gathered struct {
	places   []int64
	messages int
	first    int64 // the time of the oldest of all its rows
}

// take gives the places of a group, and begins the next.
func (g *gathered) take() []int64 {
	places := g.places
	g.places, g.messages = nil, 0
	return places
}
