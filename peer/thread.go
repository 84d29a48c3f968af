package peer

import (
	"context"

	"github.com/claudemesh/claudemesh-go/profile"
)

// threadTurns is how many turns of a thread are read at most, the newest.
const threadTurns = 200

// Turn is one message of a thread, from the history.
type Turn struct {
	Message
	// Outgoing: it was sent from this profile, to With.
	Outgoing bool
	// With is the other side's address.
	With string
}

// Thread returns the messages of the thread that a message of this profile belongs
// to, oldest first: those that were shown here or sent from here, as far as the
// history is kept. [CM-8.36] id is m-… or a unique tail. ErrNoSuchMessage, AmbiguousError.
func (p *Peer) Thread(ctx context.Context, id string) ([]Turn, error) {
	found, err := p.named(ctx, id, func(profile.Named) bool { return true })
	if err != nil {
		return nil, err
	}
	root := found
	var rows []profile.Message
	err = p.home.state.View(ctx, p.mesh, func(tx *profile.Tx) error {
		own, err := tx.FindHistory(found)
		for i := range own {
			if !own[i].Thread.IsZero() {
				root = own[i].Thread
			}
		}
		if err == nil {
			rows, err = tx.Thread(root, threadTurns)
		}
		return err
	})
	if err != nil {
		return nil, noMessage(err)
	}
	return p.turnsOf(ctx, rows)
}

// Before returns the turns of m's thread that came before it, oldest first, the last
// max of them.
func (p *Peer) Before(ctx context.Context, m Message, max int) ([]Turn, error) {
	if m.Thread.IsZero() {
		return nil, nil
	}
	var rows []profile.Message
	err := p.home.state.View(ctx, p.mesh, func(tx *profile.Tx) (err error) {
		rows, err = tx.Thread(m.Thread, max+1) // m may be among them
		return err
	})
	if err != nil {
		return nil, noMessage(err)
	}
	turns, err := p.turnsOf(ctx, rows)
	for i := range turns {
		if turns[i].ID == m.ID && turns[i].From.Key == m.From.Key {
			turns = append(turns[:i], turns[i+1:]...)
			break
		}
	}
	return turns[len(turns)-min(len(turns), max):], err
}

// turnsOf makes turns of rows of the history.
func (p *Peer) turnsOf(ctx context.Context, rows []profile.Message) ([]Turn, error) {
	turns := make([]Turn, 0, len(rows))
	for i := range rows {
		t := Turn{Message: p.fromHistory(&rows[i]), Outgoing: rows[i].Outgoing, With: rows[i].Address}
		var err error
		if t.Short, err = p.home.state.ShortName(ctx, t.ID); err != nil {
			return nil, err
		}
		turns = append(turns, t)
	}
	return turns, nil
}
