package broker

import (
	"errors"
	"time"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/store"
	"github.com/claudemesh/claudemesh-go/wire"
)

// storing is what a mesh has asked of the store and not heard of yet.
type storing struct {
	ops   []delivery.Effect // to be submitted; what comes while a batch is under way shares the next
	spare []delivery.Effect
	busy  bool        // a batch is submitted and not answered
	began time.Time   // when it was submitted
	pause *time.Timer // armed after a failure; until it fires nothing is submitted
	full  int         // with so many ops the next batch waits for no more
	until time.Time   // and from then on
	await *time.Timer // armed while it waits
	acks  wire.Ack    // being gathered by run
	ackTo *session
}

// submit hands the store what is to be kept. While a batch is under way what
// comes waits for its answer, and goes together. mu is held.
func (m *mesh) submit() {
	if len(m.store.ops) == 0 || m.store.busy || m.store.pause != nil || m.awaits() {
		return
	}
	ops := m.store.ops
	m.store.ops, m.store.spare = m.store.spare[:0], nil
	m.store.busy, m.store.began = true, time.Now()
	began := m.store.began
	m.b.tasks.Add(1) // the end waits for the answer, and for what is submitted by it
	m.b.store.Submit(store.Batch{Mesh: m.id, Ops: ops}, func(claims []delivery.ClaimResult, err error) {
		m.b.metrics.committed(len(ops), began, err)
		if errors.Is(err, store.ErrClosed) {
			// The answer may come by this very goroutine, which holds mu.
			go m.committed(ops, claims, err)
			return
		}
		m.committed(ops, claims, err)
	})
}

// awaits tells whether the next batch waits for the senders who were just told of the
// last one. Who has as much under way as it may sends again at once, and would else come
// too late for this batch, so that every commit had half of what could share it. It
// waits half as long as the last commit took at most, and nobody who comes later. mu is
// held.
func (m *mesh) awaits() bool {
	q := &m.store
	wait := time.Until(q.until)
	if wait <= 0 || len(q.ops) >= q.full || m.draining || m.closed {
		m.b.stop(q.await)
		q.await = nil
		return false
	}
	if q.await == nil {
		q.await = m.b.after(wait, func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			q.await = nil
			m.submit()
		})
	}
	return true
}

// committed takes the store's answer to a batch.
func (m *mesh) committed(ops []delivery.Effect, claims []delivery.ClaimResult, err error) {
	defer m.b.tasks.Done() // of submit
	var seq uint64
	saved := 0
	for i := range ops {
		seq = max(seq, ops[i].Seq)
		if ops[i].Kind == delivery.EffectSave {
			saved++
		}
	}
	now := m.b.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.store.busy = false
	if err != nil {
		m.commitFailed(ops, seq, err, now)
	} else {
		ended := time.Now()
		m.store.full, m.store.until = len(m.store.ops)+saved, ended.Add(ended.Sub(m.store.began)/2)
		clear(ops)
		m.store.spare = ops[:0]
		m.delivery.Committed(now, seq, claims)
	}
	m.run(now)
	m.settle()
}

// storePause is how long after a failure nothing is asked of the store.
const storePause = time.Second

// commitFailed tells the machine that nothing of a batch is kept. What deletes
// is asked for again: forgotten, what is over would come to life at the next
// start. The rest is the machine's to ask for.
func (m *mesh) commitFailed(ops []delivery.Effect, seq uint64, err error, now int64) {
	m.b.log.Error("the store keeps nothing", "mesh", m.id, "err", err)
	if m.closed {
		m.store.ops = nil
		return
	}
	var again []delivery.Effect
	for i := range ops {
		switch ops[i].Kind {
		case delivery.EffectDrop, delivery.EffectTrim, delivery.EffectDropOutcome, delivery.EffectSweep:
			ops[i].Seq = 0 // answered by this failure
			again = append(again, ops[i])
		}
	}
	m.store.ops = append(again, m.store.ops...)
	m.store.pause = m.b.after(storePause, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.store.pause = nil
		m.submit()
	})
	m.delivery.CommitFailed(now, seq)
}
