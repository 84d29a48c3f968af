package profile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/sqlite"
	"github.com/claudemesh/claudemesh-go/wire"
)

// SessionInfo is one process of the profile in one mesh.
type SessionInfo struct {
	ID keys.SessionID
	// Label is unique among the live sessions of the mesh.
	Label    string
	PID      int
	Socket   string // where it is poked; "": it has none
	Client   string // "claudemesh/0.4.1"
	Receives wire.Receives
	Status   delivery.Status
	Active   int64 // last active
	Started  int64
}

// Session is a live session of this process. It is live while its lock in run/
// is held: until End, or the process's end of whatever kind.
type Session struct {
	SessionInfo
	Mesh keys.MeshID
	s    *State
	lock *Lock
}

// lockOf is the lock file of a session. Its name is used once.
func (s *State) lockOf(id keys.SessionID) string {
	return filepath.Join(s.run, lockPrefix+id.String()+lockSuffix)
}

const (
	lockPrefix = "s-"
	lockSuffix = ".lock"
)

// StartSession makes a session live. Its label gets a number where a live
// session of the mesh has it already: web-shop, web-shop-2.
func (s *State) StartSession(ctx context.Context, mesh keys.MeshID, info SessionInfo) (*Session, error) {
	// The lock before the row: whoever sees the row finds the lock held.
	lock, err := lockNew(s.lockOf(info.ID))
	if err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	label := info.Label
	err = s.Update(ctx, mesh, func(tx *Tx) error {
		live, err := tx.Live()
		if err != nil {
			return err
		}
		taken := map[string]bool{}
		for _, l := range live {
			taken[l.Label] = true
		}
		for n := 1; info.Label != ""; n++ {
			if info.Label = keys.NumberedSlug(label, n); !taken[info.Label] {
				break
			}
		}
		tx.forgetSessions()
		_, err = tx.q.Exec("INSERT INTO session (id, mesh, label, pid, socket, client, receives, status, active, started)"+
			" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			info.ID[:], tx.mesh, info.Label, info.PID, info.Socket, info.Client, uint8(info.Receives), uint8(info.Status),
			info.Active, info.Started)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, removeHeld(lock))
	}
	s.mu.Lock()
	s.own[info.ID] = true
	s.mu.Unlock()
	return &Session{SessionInfo: info, Mesh: mesh, s: s, lock: lock}, nil
}

// lockNew takes the lock on a file of a new name. Somebody who tidies up may
// take the file away between its making and its locking; then it is made
// again.
func lockNew(path string) (*Lock, error) {
	for {
		l, err := lockFile(path)
		switch {
		case errors.Is(err, ErrHeld):
			continue // whoever tidies up is looking whether it is held
		case errors.Is(err, fs.ErrNotExist):
			if err := remakeRun(filepath.Dir(path)); err != nil {
				return nil, err
			}
			continue
		case err != nil:
			return nil, err
		}
		mine, err := l.f.Stat()
		if err == nil {
			var there fs.FileInfo
			if there, err = os.Stat(path); err == nil && os.SameFile(mine, there) {
				return l, nil
			}
		}
		if e := l.Release(); e != nil {
			return nil, e
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
}

// End ends the session: its row goes, then its lock. Its rows in the outbox
// stay, for the next process that connects.
func (l *Session) End(ctx context.Context) error {
	err := l.s.Update(ctx, l.Mesh, func(tx *Tx) error {
		tx.forgetSessions()
		_, err := tx.q.Exec("DELETE FROM session WHERE id = ?", l.ID[:])
		return err
	})
	l.s.mu.Lock()
	delete(l.s.own, l.ID)
	l.s.mu.Unlock()
	return errors.Join(err, removeHeld(l.lock))
}

// activeWithin is how exactly it is noted when a session was last active, where it is
// the last one anyway: milliseconds.
const activeWithin = 1000

// SetActive is SetSession for a session that is active again and again: it writes where
// the status is another, where another session was active since, or after activeWithin.
func (tx *Tx) SetActive(id keys.SessionID, status delivery.Status, active int64) error {
	last := tx.memory.active[tx.mesh]
	if last.session == id && last.status == status && last.at <= active && active <= last.at+activeWithin {
		return nil
	}
	if err := tx.SetSession(id, status, active); err != nil {
		return err
	}
	tx.memory.active[tx.mesh] = activity{id, status, active}
	return nil
}

// SetSession notes a session's status and, unless zero, when it was last
// active.
func (tx *Tx) SetSession(id keys.SessionID, status delivery.Status, active int64) error {
	tx.forgetSessions()
	_, err := tx.q.Exec("UPDATE session SET status = ?, active = max(active, ?) WHERE id = ?", uint8(status), active, id[:])
	return err
}

// SetSocket notes where a session is poked.
func (tx *Tx) SetSocket(id keys.SessionID, socket string) error {
	tx.forgetSessions()
	_, err := tx.q.Exec("UPDATE session SET socket = ? WHERE id = ?", socket, id[:])
	return err
}

// Live lists the live sessions of the mesh, oldest first.
func (tx *Tx) Live() ([]SessionInfo, error) {
	all, err := tx.sessions()
	if err != nil {
		return nil, err
	}
	live := all[:0]
	for _, l := range all {
		held, err := tx.s.isLive(l.ID)
		if err != nil {
			return nil, err
		}
		if held {
			live = append(live, l)
		}
	}
	return live, nil
}

// LiveRows is Live as package delivery wants it.
func (tx *Tx) LiveRows() ([]delivery.SessionRow, error) {
	live, err := tx.Live()
	rows := make([]delivery.SessionRow, 0, len(live))
	for _, l := range live {
		rows = append(rows, delivery.SessionRow{ID: l.ID, Label: l.Label, Receives: l.Receives, Status: l.Status, Active: l.Active})
	}
	return rows, err
}

// sessions lists all rows, of ended processes too.
func (tx *Tx) sessions() (all []SessionInfo, err error) {
	if tx.memory != nil {
		if all, known := tx.memory.sessions[tx.mesh]; known {
			return slices.Clone(all), nil
		}
	}
	err = tx.q.Each("SELECT id, label, pid, socket, client, receives, status, active, started FROM session"+
		" WHERE mesh = ? ORDER BY started, id", []any{tx.mesh}, func(r sqlite.Row) error {
		all = append(all, SessionInfo{ID: sid(r.Bytes(0)), Label: r.Text(1), PID: r.Int(2), Socket: r.Text(3),
			Client: r.Text(4), Receives: wire.Receives(r.Int64(5)), Status: delivery.Status(r.Int64(6)),
			Active: r.Int64(7), Started: r.Int64(8)})
		return nil
	})
	if err == nil && tx.memory != nil {
		tx.memory.sessions[tx.mesh] = slices.Clone(all)
	}
	return all, err
}

// forgetSessions has the sessions read anew, since one of them changes.
func (tx *Tx) forgetSessions() {
	delete(tx.memory.active, tx.mesh)
	delete(tx.memory.sessions, tx.mesh)
}

// isLive reports whether a process holds a session's lock.
func (s *State) isLive(id keys.SessionID) (bool, error) {
	s.mu.Lock()
	own := s.own[id]
	s.mu.Unlock()
	if own {
		return true, nil
	}
	return isHeld(s.lockOf(id))
}

// tidySessions forgets ended sessions and their lock files. What they have in
// the outbox stays, and names them.
func (tx *Tx) tidySessions() error {
	all, err := tx.sessions()
	if err != nil {
		return err
	}
	for _, l := range all {
		held, err := tx.s.isLive(l.ID)
		if err != nil {
			return err
		}
		if held {
			continue
		}
		tx.forgetSessions()
		if _, err := tx.q.Exec("DELETE FROM session WHERE id = ?", l.ID[:]); err != nil {
			return err
		}
	}
	return nil
}

// tidyLocks removes lock files that nobody holds: of sessions that were killed.
func (s *State) tidyLocks() error {
	entries, err := os.ReadDir(s.run)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), lockPrefix) || !strings.HasSuffix(e.Name(), lockSuffix) {
			continue
		}
		path := filepath.Join(s.run, e.Name())
		// Removed while it is held here: whoever has just made it and waits for
		// the lock finds another file there, and makes it again.
		l, err := lockExisting(path, false)
		if errors.Is(err, ErrHeld) || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := removeHeld(l); err != nil {
			return err
		}
	}
	return nil
}
