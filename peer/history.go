package peer

import (
	"context"
	"slices"
	"strings"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/profile"
	"github.com/claudemesh/claudemesh-go/wire"
)

// historyMax is how many messages of the history are returned where the query does
// not say.
const historyMax = 20

// HistoryQuery says which messages of the history are wanted. The zero value means
// the newest.
type HistoryQuery struct {
	// With is the other side: user, user@device, user@device/session, /session of this
	// user's, key-…; or how they were addressed: @tag, *. Empty: anybody. Who was
	// revoked is found too.
	With string
	// Search holds words that must all begin a word of the text; capitals and accents
	// do not matter. Empty: any text.
	Search string
	// Before is the id of a message (m-…) that they stand before. Empty: the newest.
	Before string
	// Max is how many are wanted, the newest of them. 0: 20.
	Max int
}

// History returns this profile's own messages of the mesh, oldest first: those that
// were shown here or sent from here, for 30 days, unless history is off in the config.
// UnknownNameError, ErrNoSuchMessage, AmbiguousError.
func (p *Peer) History(ctx context.Context, q HistoryQuery) ([]Turn, error) {
	rows := profile.HistoryQuery{Words: strings.Fields(q.Search), Limit: q.Max}
	if rows.Limit <= 0 {
		rows.Limit = historyMax
	}
	if q.With != "" {
		if err := p.historyWith(&rows, q.With); err != nil {
			return nil, err
		}
	}
	var before keys.MessageID
	if q.Before != "" {
		var err error
		if before, err = p.named(ctx, q.Before, func(profile.Named) bool { return true }); err != nil {
			return nil, err
		}
	}
	if len(rows.Words) > 0 {
		if err := p.home.state.IndexHistory(ctx); err != nil {
			return nil, err
		}
	}
	var all []profile.Message
	err := p.home.state.View(ctx, p.mesh, func(tx *profile.Tx) error {
		if !before.IsZero() {
			found, err := tx.FindHistory(before)
			if err != nil {
				return err
			}
			rows.Before = found[0].Place
		}
		var err error
		all, err = tx.History(rows)
		return err
	})
	if err != nil {
		return nil, noMessage(err)
	}
	slices.Reverse(all)
	return p.turnsOf(ctx, all)
}

// historyWith says whom an address means in the history: everybody who ever had the
// name.
func (p *Peer) historyWith(rows *profile.HistoryQuery, text string) error {
	a, err := wire.ParseAddress(text)
	if err != nil {
		return &UsageError{Sentence: err.Error()}
	}
	if a.Mesh != "" && a.Mesh != p.alias {
		return &UnknownNameError{Name: a.Mesh + ":", Mesh: "this profile", Candidates: []string{p.alias}}
	}
	a.Mesh = ""
	rows.Label = a.Label
	switch a.Kind {
	case wire.AddressUser:
		if rows.With = p.formerKeys(a.User, a.Device); len(rows.With) == 0 {
			return p.unknownUser(a)
		}
	case wire.AddressLabel:
		rows.With = p.formerKeys(p.user, "")
	case wire.AddressKey:
		t := &target{}
		if err := p.resolveKey(t, a.Key); err != nil {
			return err
		}
		rows.With = []keys.Public{t.to[0].Key}
	default:
		rows.Audience = a.String()
	}
	return nil
}

// Read returns a message of the history, one's own too, by its id (m-… or a unique
// tail). ErrNoSuchMessage, AmbiguousError.
func (p *Peer) Read(ctx context.Context, id string) (Turn, error) {
	found, err := p.named(ctx, id, func(profile.Named) bool { return true })
	if err != nil {
		return Turn{}, err
	}
	var rows []profile.Message
	err = p.home.state.View(ctx, p.mesh, func(tx *profile.Tx) (err error) {
		rows, err = tx.FindHistory(found)
		return err
	})
	if err != nil {
		return Turn{}, noMessage(err)
	}
	turns, err := p.turnsOf(ctx, rows[:1])
	if err != nil {
		return Turn{}, err
	}
	return turns[0], nil
}
