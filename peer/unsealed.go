package peer

import (
	"sync"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/profile"
	"github.com/claudemesh/claudemesh-go/seal"
	"github.com/claudemesh/claudemesh-go/signed"
)

// How much of the inbox is kept opened.
const (
	unsealedRows  = 2 * inboxPage
	unsealedBytes = 4 << 20
)

// unsealed is a message of the inbox as it was opened, and the hash of what was sealed,
// which its receipt names.
type unsealed struct {
	message seal.Message
	hash    signed.Hash
}

// unsealedInbox keeps messages of the inbox that this process opened, by place, so that
// each is opened once. A place keeps its message for ever; where the commit that gave it
// failed it may be another message's later, which sender and id tell. Its lock is a leaf.
type unsealedInbox struct {
	mu    sync.Mutex
	rows  map[int64]*unsealed
	bytes int // of their bodies
}

// keep keeps one. Where there are too many others go: they are opened again.
func (o *unsealedInbox) keep(place int64, row *unsealed) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.rows == nil {
		o.rows = make(map[int64]*unsealed)
	}
	o.dropLocked(place)
	o.rows[place] = row
	o.bytes += len(row.message.Body)
	for other := range o.rows {
		if len(o.rows) <= unsealedRows && o.bytes <= unsealedBytes {
			return
		}
		if other != place {
			o.dropLocked(other)
		}
	}
}

// drop lets go of one that left the inbox.
func (o *unsealedInbox) drop(place int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dropLocked(place)
}

func (o *unsealedInbox) dropLocked(place int64) {
	if row := o.rows[place]; row != nil {
		o.bytes -= len(row.message.Body)
		delete(o.rows, place)
	}
}

// get gives the message of a row, nil where it is not kept.
func (o *unsealedInbox) get(at *delivery.InboxRow) *unsealed {
	o.mu.Lock()
	defer o.mu.Unlock()
	if row := o.rows[at.Place]; row != nil && row.message.ID == at.ID && row.message.From == at.From {
		return row
	}
	return nil
}

// openRow opens the message of a row of the inbox. failed says that it does not open.
func (p *Peer) openRow(tx *profile.Tx, at *delivery.InboxRow) (row *unsealed, failed, err error) {
	if row := p.unsealed.get(at); row != nil {
		return row, nil, nil
	}
	stored, err := tx.Inbox(at.Place)
	if err != nil {
		return nil, nil, err
	}
	m, failed := p.openParcel(&parcel{from: stored.From, id: stored.ID, box: stored.Box, sealed: stored.Sealed})
	if failed != nil {
		return nil, failed, nil
	}
	row = &unsealed{message: m, hash: seal.HashSealed(stored.Sealed)}
	p.unsealed.keep(at.Place, row)
	return row, nil, nil
}
