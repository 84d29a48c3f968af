package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/sqlite"
)

// AuditError says that the audit log was changed: the row does not fit the one
// before of its mesh and writer, or one between them is missing.
type AuditError struct {
	Mesh keys.MeshID
	ID   int64
}

// Error names the row.
func (e *AuditError) Error() string {
	return fmt.Sprintf("the audit log of mesh %s was changed: row %d does not fit the one before", e.Mesh, e.ID)
}

// auditDomain keeps the hashes apart from all others.
const auditDomain = "claudemesh/v1/audit\x00"

// AuditHash is the hash of an audit row of one writer (a broker process), over
// the hash of the row before of the same mesh and writer, zero for the first:
// SHA-256 of the domain, that hash, and each field behind its length (4 bytes,
// big-endian): writer, mesh, event, actor, target, metadata, time (8 bytes,
// big-endian).
func AuditHash(before [32]byte, writer string, a *Audit) [32]byte {
	b := append(make([]byte, 0, 512), auditDomain...)
	b = append(b, before[:]...)
	for _, field := range []string{writer, a.Mesh.String(), a.Event, a.Actor, a.Target, a.Metadata} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(field)))
		b = append(b, field...)
	}
	b = binary.BigEndian.AppendUint32(b, 8)
	b = binary.BigEndian.AppendUint64(b, uint64(a.Time))
	return sha256.Sum256(b)
}

// audits are the ends of the chains that this process writes. mu guards last,
// and is held over a commit: rows are hashed in the order in which they are
// written.
type audits struct {
	mu   sync.Mutex
	last map[keys.MeshID][32]byte
}

// Audit is [Store.Audit].
func (s *sqliteStore) Audit(ctx context.Context, rows []Audit) error {
	s.audit.mu.Lock()
	defer s.audit.mu.Unlock()
	var ends map[keys.MeshID][32]byte
	err := s.db.Do(ctx, func(q *sqlite.Tx) error {
		ends = map[keys.MeshID][32]byte{}
		for i := range rows {
			a := &rows[i]
			before, ok := ends[a.Mesh]
			if !ok {
				before = s.audit.last[a.Mesh]
			}
			h := AuditHash(before, s.writer, a)
			ends[a.Mesh] = h
			if _, err := q.Exec("INSERT INTO audit_log (mesh_id, event_type, actor_peer_id, target_peer_id, metadata,"+
				" created_at, writer, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
				a.Mesh.String(), a.Event, a.Actor, a.Target, a.Metadata, a.Time, s.writer, h[:]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for mesh, h := range ends {
		s.audit.last[mesh] = h
	}
	return nil
}

const auditColumns = "SELECT id, event_type, actor_peer_id, target_peer_id, metadata, created_at, hash, writer FROM audit_log "

// scanAudit reads auditColumns.
func scanAudit(mesh keys.MeshID, r sqlite.Row) (a Audit, writer string) {
	a = Audit{Mesh: mesh, ID: r.Int64(0), Event: r.Text(1), Actor: r.Text(2), Target: r.Text(3), Metadata: r.Text(4), Time: r.Int64(5)}
	copy(a.Hash[:], r.Bytes(6))
	return a, r.Text(7)
}

// AuditLog is [Store.AuditLog].
func (s *sqliteStore) AuditLog(ctx context.Context, mesh keys.MeshID, after int64, limit int) (all []Audit, err error) {
	err = s.db.Read(ctx, func(q *sqlite.Tx) error {
		return q.Each(auditColumns+"WHERE mesh_id = ? AND id > ? ORDER BY id LIMIT ?", []any{mesh.String(), after, limit},
			func(r sqlite.Row) error {
				a, _ := scanAudit(mesh, r)
				all = append(all, a)
				return nil
			})
	})
	return all, err
}

// CheckAudit is [Store.CheckAudit].
func (s *sqliteStore) CheckAudit(ctx context.Context, mesh keys.MeshID) error {
	ends := map[string][32]byte{}
	var wrong *AuditError
	err := s.db.Read(ctx, func(q *sqlite.Tx) error {
		return q.Each(auditColumns+"WHERE mesh_id = ? ORDER BY id", []any{mesh.String()}, func(r sqlite.Row) error {
			a, writer := scanAudit(mesh, r)
			if AuditHash(ends[writer], writer, &a) != a.Hash {
				wrong = &AuditError{Mesh: mesh, ID: a.ID}
				return sqlite.Stop()
			}
			ends[writer] = a.Hash
			return nil
		})
	})
	if err == nil && wrong != nil {
		err = wrong
	}
	return err
}
