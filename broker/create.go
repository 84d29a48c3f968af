package broker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/roster"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/store"
	"github.com/claudemesh/claudemesh-go/wire"
)

// tokenFor is how long a one-time token may be used, in milliseconds.
const tokenFor = 60 * 60 * 1000

// maxCreateEntries is how many entries may come with a new mesh.
const maxCreateEntries = 16

// createIsOpen says whether nobody but this machine reaches the broker, so
// that creating a mesh needs no token.
func (b *Broker) createIsOpen() bool {
	if b.opts.OpenCreate {
		return true
	}
	if len(b.opts.URLs) > 0 || len(b.opts.BehindProxy) > 0 || len(b.listeners) == 0 {
		return false
	}
	for _, l := range b.listeners {
		if !l.local {
			return false
		}
	}
	return true
}

// mayCreate says whether a request may create a mesh without a token: from a
// unix socket always, since its file lets in its owner alone.
func (b *Broker) mayCreate(q request) bool {
	return b.createIsOpen() || (q.via != nil && q.via.scheme == "unix")
}

// Token is the one-time token for creating the first mesh over the network, of
// the form "ct-…", made by this start and good for one hour. It is empty where
// none is needed, or where there is a mesh already.
func (b *Broker) Token() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.token
}

// NewToken makes a further one-time token for creating a mesh, good for one
// hour, and forgets those made before. Only its hash is kept.
func (b *Broker) NewToken(ctx context.Context) (string, error) {
	t, err := keys.NewCreateToken(b.Key(), rand.Reader)
	if err != nil {
		return "", fmt.Errorf("make a token: %w", err)
	}
	if err := b.store.DropTokens(ctx); err != nil {
		return "", fmt.Errorf("forget earlier tokens: %w", err)
	}
	if err := b.store.AddToken(ctx, t.Hash(), b.now()+tokenFor); err != nil {
		return "", fmt.Errorf("keep a token: %w", err)
	}
	return t.Export(), nil
}

// CreateMesh takes a new mesh from within the process: genesis, invite and
// join, in this order, further entries behind them allowed. It answers the
// broker's head over them. Sent again with the same entries it answers the
// present head.
func (b *Broker) CreateMesh(ctx context.Context, entries []signed.Object) (signed.Object, error) {
	if !b.enter(true) {
		return signed.Object{}, errBusy
	}
	defer b.tasks.Done()
	return b.create(ctx, entries, [32]byte{})
}

// errCreate is wrapped by errors about entries that make no mesh.
var errCreate = errors.New("a mesh is made by its genesis, an owner's invite and the first peer's join")

func (b *Broker) create(ctx context.Context, objects []signed.Object, token [32]byte) (signed.Object, error) {
	if len(objects) < 3 || len(objects) > maxCreateEntries {
		return signed.Object{}, fmt.Errorf("%d entries: %w", len(objects), errCreate)
	}
	genesis, err := chain.Decode(objects[0])
	if err != nil {
		return signed.Object{}, err
	}
	id := chain.MeshIDOf(genesis)
	r := roster.New(id, keys.Public{})
	now := b.now()
	p, err := r.Propose(objects, now, b.Key())
	if err != nil {
		if again, err := b.createdBefore(id, objects); err == nil {
			return again, nil // also where its time is over by now
		}
		return signed.Object{}, err
	}
	for i, t := range []chain.Type{chain.TypeGenesis, chain.TypeInvite, chain.TypeJoin} {
		if p.Entries()[i].Entry.Type() != t {
			return signed.Object{}, fmt.Errorf("entry %d is of type %s: %w", i, p.Entries()[i].Entry.Type(), errCreate)
		}
	}
	if again, err := b.createdBefore(id, objects); err == nil {
		return again, nil
	}
	head, err := p.Head(now, 1, b.key)
	if err != nil {
		return signed.Object{}, fmt.Errorf("sign the head: %w", err)
	}
	name := p.State().Name()
	err = b.store.CreateMesh(ctx, store.NewMesh{
		ID: id, Name: name, Created: now, Entries: storedEntries(p.Entries()), Head: storedHead(head), Token: token,
	})
	if err != nil {
		return signed.Object{}, err
	}
	b.mu.Lock()
	b.meshes[id] = &loading{}
	b.token = ""
	b.mu.Unlock()
	b.recorder.add(audit{mesh: id, event: auditCreate, actor: genesis.Entry.By, time: now})
	b.log.Info("mesh created", "mesh", id, "name", name)
	if b.feeds.any() {
		b.feeds.emit(Event{Time: now, Mesh: id, Name: name, Kind: EventCreated})
	}
	return head.Object, nil
}

// createdBefore answers the present head where a mesh was created by these
// very entries: whoever lost the answer asks again.
func (b *Broker) createdBefore(id keys.MeshID, objects []signed.Object) (signed.Object, error) {
	m, err := b.mesh(id)
	if err != nil {
		return signed.Object{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, o := range objects {
		e, ok := m.roster.Chain().Entry(uint64(i))
		if !ok || e.Hash != chain.HashOf(o.Bytes) {
			return signed.Object{}, store.ErrExists
		}
	}
	return m.head.Object, nil
}

// serveCreate answers POST /v1/meshes.
func (b *Broker) serveCreate(w http.ResponseWriter, r *http.Request, q request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	if !b.enter(false) {
		b.refuse(w, wire.CodeBusy, "")
		return
	}
	defer b.tasks.Done()
	var token [32]byte
	if !b.mayCreate(q) {
		t, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		parsed, err := keys.ParseCreateToken(t)
		if !ok || err != nil {
			b.refuse(w, wire.CodeToken, "")
			return
		}
		token = parsed.Hash()
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, wire.MaxCreateBody))
	if err != nil {
		code := wire.CodeMalformed
		if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
			code = wire.CodeTooLarge
		}
		b.refuse(w, code, "")
		return
	}
	var request wire.CreateRequest
	if err := signed.DecodeOpen(body, &request); err != nil {
		b.refuse(w, wire.CodeMalformed, "")
		return
	}
	head, err := b.create(b.living, request.Entries, token)
	if err != nil {
		b.createFailed(w, err)
		return
	}
	b.answer(w, http.StatusOK, wire.CreateAnswer{Head: head})
}

func (b *Broker) createFailed(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, store.ErrNotFound):
		b.refuse(w, wire.CodeToken, "")
	case errors.Is(err, store.ErrExists):
		b.refuse(w, wire.CodeExists, "")
	case errors.Is(err, errCreate):
		b.refuse(w, wire.CodeMalformed, err.Error())
	case isEntryError(err):
		code, text := refusal(err)
		b.refuse(w, code, text)
	default:
		b.log.Error("create a mesh", "err", err)
		b.refuse(w, wire.CodeStorage, "")
	}
}

// isEntryError says whether an error speaks of the entries, not of the store.
func isEntryError(err error) bool {
	for _, e := range []error{
		chain.ErrBroken, chain.ErrMalformed, chain.ErrUnknown, chain.ErrStopped, roster.ErrClock, roster.ErrNotOrderer,
		roster.ErrPlace, roster.ErrTime, roster.ErrNotEntitled, roster.ErrRevoked, roster.ErrPending,
		roster.ErrUnknownKey, roster.ErrKeyUsed, roster.ErrAlready, roster.ErrNameTaken, roster.ErrLapsed,
		roster.ErrCap, roster.ErrInviteClosed, roster.ErrInviteOther,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
