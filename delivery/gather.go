package delivery

import (
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

// ReceiptRow is what one message's sender is to be told by a sealed receipt,
// written in the transaction that makes it true.
type ReceiptRow struct {
	Place   int64
	Session keys.SessionID // the session that tells it
	To      keys.Public    // the message's sender
	ID      keys.MessageID
	Hash    [32]byte   // SHA-256 of what was sealed
	State   wire.State // seen, held or refused
	Why     wire.Why
	Time    int64 // since when, Unix ms
	Expires int64 // of the message; the receipt expires with it
}

// ReceiptsTogether is how many messages one sealed receipt speaks of at most:
// seal.MaxReceipts, which package peer checks.
const ReceiptsTogether = 16

// Gather gives the receipts that are due, as groups of places, one sealed
// receipt each, all of one group for one recipient; everything with flush.
// Rows past their expiry come in a group of their own (expired), to be dropped.
// Next is when to look again, 0: when something changes.
func Gather(now int64, rows []ReceiptRow, flush bool) (groups [][]int64, expired []int64, next int64) {
	waiting := map[keys.Public][]int64{}
	first := map[keys.Public]int64{}
	var order []keys.Public
	for i := range rows {
		r := &rows[i]
		if r.Expires <= now {
			expired = append(expired, r.Place)
			continue
		}
		if _, ok := first[r.To]; !ok {
			order = append(order, r.To)
			first[r.To] = r.Time
		}
		first[r.To] = min(first[r.To], r.Time)
		waiting[r.To] = append(waiting[r.To], r.Place)
	}
	for _, to := range order {
		places := waiting[to]
		for len(places) >= ReceiptsTogether {
			groups = append(groups, places[:ReceiptsTogether])
			places = places[ReceiptsTogether:]
		}
		due := first[to] + wire.ReceiptsWithin
		switch {
		case len(places) == 0:
		case flush || due <= now || first[to] > now: // a clock that went back does not keep it
			groups = append(groups, places)
		case next == 0 || due < next:
			next = due
		}
	}
	return groups, expired, next
}
