package profile

import (
	"errors"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/sqlite"
)

// Value reads what was kept under a name for the mesh, "" where there is
// nothing: what a command set for the peer (its status, its summary), who last
// confirmed the roster, and the like.
func (tx *Tx) Value(name string) (value string, err error) {
	err = tx.q.Get("SELECT value FROM value WHERE mesh = ? AND name = ?", []any{tx.mesh, name}, &value)
	if errors.Is(err, sqlite.ErrNoRows) {
		err = nil
	}
	return value, err
}

// SetValue keeps a value under a name; "" removes it.
func (tx *Tx) SetValue(name, value string) (err error) {
	if value == "" {
		_, err = tx.q.Exec("DELETE FROM value WHERE mesh = ? AND name = ?", tx.mesh, name)
		return err
	}
	_, err = tx.q.Exec("INSERT INTO value (mesh, name, value) VALUES (?, ?, ?)"+
		" ON CONFLICT DO UPDATE SET value = excluded.value", tx.mesh, name, value)
	return err
}

// NextCounter gives the counter of the next card: higher than all before, of
// all processes. atLeast is what the broker was seen to have, so that a
// profile restored from a backup is heard again.
func (tx *Tx) NextCounter(atLeast uint64) (n uint64, err error) {
	return n, tx.q.Get("UPDATE mesh SET card_counter = max(card_counter, ?) + 1 WHERE id = ? RETURNING card_counter",
		[]any{atLeast, tx.mesh}, &n)
}

// Card is somebody's card as last seen, verified by the caller.
type Card struct {
	Peer    keys.Public
	Session keys.SessionID // zero: the peer's card
	Counter uint64
	Time    int64 // signed
	Card    signed.Object
	Extras  []byte // what is sealed beside it, in the caller's encoding; nil: nothing
}

// PutCard keeps a card unless there is a newer one, and reports whether it did.
func (tx *Tx) PutCard(c Card) (bool, error) {
	n, err := tx.peer(c.Peer)
	if err != nil {
		return false, err
	}
	changed, err := tx.q.Exec("INSERT INTO card (mesh, peer, session, counter, time, signed, sig, extras) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"+
		" ON CONFLICT DO UPDATE SET counter = excluded.counter, time = excluded.time, signed = excluded.signed,"+
		" sig = excluded.sig, extras = excluded.extras WHERE excluded.counter > counter",
		tx.mesh, n, sessionKey(c.Session), c.Counter, c.Time, c.Card.Bytes, c.Card.Sig, c.Extras)
	return changed > 0, err
}

// Cards lists all cards kept for the mesh.
func (tx *Tx) Cards() (cards []Card, err error) {
	err = tx.q.Each("SELECT peer, session, counter, time, signed, sig, extras FROM card WHERE mesh = ?", []any{tx.mesh},
		func(r sqlite.Row) error {
			key, err := tx.key(r.Int64(0))
			cards = append(cards, Card{Peer: key, Session: sid(r.Bytes(1)), Counter: uint64(r.Int64(2)), Time: r.Int64(3),
				Card: signed.Object{Bytes: r.Bytes(4), Sig: r.Bytes(5)}, Extras: r.Bytes(6)})
			return err
		})
	return cards, err
}

// DropCards forgets a peer's cards; with a session, only that session's.
func (tx *Tx) DropCards(peer keys.Public, session keys.SessionID) error {
	n, err := tx.known(peer)
	if err != nil {
		return err
	}
	if session.IsZero() {
		_, err = tx.q.Exec("DELETE FROM card WHERE mesh = ? AND peer = ?", tx.mesh, n)
	} else {
		_, err = tx.q.Exec("DELETE FROM card WHERE mesh = ? AND peer = ? AND session = ?", tx.mesh, n, session[:])
	}
	return err
}

// sessionKey is a session's id as part of a key: empty for none.
func sessionKey(id keys.SessionID) []byte {
	if id.IsZero() {
		return []byte{}
	}
	return id[:]
}

// Trust is what the user decided about a sender.
type Trust struct {
	Who      string // user, or user@device
	Policy   delivery.Policy
	Verified int64 // when the safety number was compared; 0: it was not
	// Keys are the sorted keys over which it was compared.
	Keys []keys.Public
}

// Trust reads what was decided about a user or a device; a Trust that says
// nothing where there is nothing.
func (tx *Tx) Trust(who string) (Trust, error) {
	t := Trust{Who: who}
	var raw []byte
	var policy int
	err := tx.q.Get("SELECT policy, verified, keys FROM trust WHERE mesh = ? AND who = ?", []any{tx.mesh, who},
		&policy, &t.Verified, &raw)
	if errors.Is(err, sqlite.ErrNoRows) {
		return t, nil
	}
	t.Policy, t.Keys = delivery.Policy(policy), splitKeys(raw)
	return t, err
}

// Policies reads what was decided about a device and about its user.
func (tx *Tx) Policies(device, user string) (ofDevice, ofUser delivery.Policy, err error) {
	of := sender{tx.mesh, device, user}
	if tx.memory != nil {
		if known, ok := tx.memory.policies[of]; ok {
			return known.device, known.user, nil
		}
	}
	err = tx.q.Each("SELECT who, policy FROM trust WHERE mesh = ? AND who IN (?, ?)", []any{tx.mesh, device, user},
		func(r sqlite.Row) error {
			if r.Text(0) == user {
				ofUser = delivery.Policy(r.Int64(1))
			} else {
				ofDevice = delivery.Policy(r.Int64(1))
			}
			return nil
		})
	if err == nil && tx.memory != nil {
		tx.memory.policies[of] = policies{ofDevice, ofUser}
	}
	return ofDevice, ofUser, err
}

// Trusts lists all that was decided, by name.
func (tx *Tx) Trusts() (all []Trust, err error) {
	err = tx.q.Each("SELECT who, policy, verified, keys FROM trust WHERE mesh = ? ORDER BY who", []any{tx.mesh},
		func(r sqlite.Row) error {
			all = append(all, Trust{Who: r.Text(0), Policy: delivery.Policy(r.Int64(1)), Verified: r.Int64(2),
				Keys: splitKeys(r.Bytes(3))})
			return nil
		})
	return all, err
}

// SetTrust writes what was decided.
func (tx *Tx) SetTrust(t Trust) error {
	clear(tx.memory.policies)
	raw := []byte{}
	for _, k := range t.Keys {
		raw = append(raw, k[:]...)
	}
	_, err := tx.q.Exec("INSERT INTO trust (mesh, who, policy, verified, keys) VALUES (?, ?, ?, ?, ?)"+
		" ON CONFLICT DO UPDATE SET policy = excluded.policy, verified = excluded.verified, keys = excluded.keys",
		tx.mesh, t.Who, uint8(t.Policy), t.Verified, raw)
	return err
}

// splitKeys reads keys that stand one behind the other.
func splitKeys(raw []byte) (all []keys.Public) {
	for ; len(raw) >= 32; raw = raw[32:] {
		all = append(all, keys.Public(raw[:32]))
	}
	return all
}

// DropMesh forgets everything about the mesh: it was left. Its integer stays,
// since other processes may know it. What was deleted is gone from the disk
// once the write-ahead log has been copied; see [State.Scrub].
func (tx *Tx) DropMesh() error {
	if err := tx.flush(); err != nil {
		return err
	}
	tx.memory.Forget()
	for _, query := range []string{
		"DELETE FROM entry WHERE chain IN (SELECT id FROM chain WHERE mesh = ?)",
		"DELETE FROM outbox_target WHERE place IN (SELECT place FROM outbox WHERE mesh = ?)",
	} {
		if _, err := tx.q.Exec(query, tx.mesh); err != nil {
			return err
		}
	}
	for _, table := range []string{"value", "chain", "ban", "session", "outbox", "sent", "sent_target", "inbox", "taken", "stream",
		"numbering", "receipt", "trust", "card", "history"} {
		if _, err := tx.q.Exec("DELETE FROM "+table+" WHERE mesh = ?", tx.mesh); err != nil {
			return err
		}
	}
	return nil
}

// Decided reports whether anything was decided about a user or a device, were it that
// all is as usual.
func (tx *Tx) Decided(who string) (bool, error) {
	var one int
	err := tx.q.Get("SELECT 1 FROM trust WHERE mesh = ? AND who = ?", []any{tx.mesh, who}, &one)
	if errors.Is(err, sqlite.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}
