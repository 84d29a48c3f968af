package peer

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/config"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/profile"
	"github.com/claudemesh/claudemesh-go/roster"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/wire"
)

// CreateOptions says what mesh to create, and where.
type CreateOptions struct {
	Dir    string // as in Options
	Name   string // of the mesh: a slug; also its alias here
	User   string // first peer; empty: login name as a slug
	Device string // empty: short host name as a slug
	// Broker is the URL to create at: http(s)://HOST[:PORT] or
	// unix:/path/broker.sock.
	Broker string
	// BrokerKey is the broker's key where the caller knows it (it runs the
	// broker). Zero: the broker's challenge says it, checked against Token's
	// fingerprint where there is one.
	BrokerKey Key
	// Token is the one-time token that the broker printed. Empty: none, which
	// a broker on loopback or a unix socket accepts.
	Token string
	// URLs is where members dial, for the genesis. Empty: Broker.
	URLs []string
	// Client as in Options.
	Client string
	// Dial as in Options.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Created is what CreateMesh made.
type Created struct {
	Mesh MeshInfo
	// RecoveryFile is the path of the file with the recovery key, which is to
	// be taken off the machine.
	RecoveryFile string
}

const (
	// firstInvite is how long the first peer's invite is open, in milliseconds.
	firstInvite = 10 * 60_000
	// createWithin bounds the request.
	createWithin = 20 * time.Second
)

// newMesh is a mesh that is being made.
type newMesh struct {
	o        CreateOptions
	folder   *profile.Profile
	state    *profile.State
	at       endpoint
	token    keys.CreateToken
	broker   keys.Public
	mesh     config.Mesh
	ledger   *roster.Roster
	entries  []signed.Object
	recovery string
}

// CreateMesh makes a mesh: owner key, recovery key, genesis, an owner's invite
// of one use and rank admin, and the first peer's join by it, in one request.
// The profile has it all on disk before the request goes out, so that a crash
// in between loses no key; the mesh becomes visible in the profile when the
// broker's signed head came back.
func CreateMesh(ctx context.Context, o CreateOptions) (*Created, error) {
	n := &newMesh{o: o}
	n.o.Dial = dialOf(o.Dial)
	if err := n.check(); err != nil {
		return nil, err
	}
	var err error
	if n.folder, err = profile.Open(o.Dir); err != nil {
		return nil, err
	}
	if n.state, err = n.folder.OpenState(ctx); err != nil {
		return nil, err
	}
	created, err := n.create(ctx)
	return created, errors.Join(err, n.state.Close())
}

// check looks at what was asked for.
func (n *newMesh) check() (err error) {
	typed := n.o.Name
	if n.o.Name, err = keys.Slug(typed); err != nil {
		return &UsageError{Sentence: fmt.Sprintf("%q cannot be a mesh's name: 1 to 32 of a-z, 0-9, '.', '_' and '-'", typed)}
	}
	if n.o.User, n.o.Device, err = personNames(n.o.User, n.o.Device); err != nil {
		return err
	}
	if n.at, err = parseEndpoint(n.o.Broker, false); err != nil {
		return &UsageError{Sentence: err.Error()}
	}
	if n.o.Token != "" {
		if n.token, err = keys.ParseCreateToken(n.o.Token); err != nil {
			return &UsageError{Sentence: "that is no token for creating a mesh: it starts with ct-; copy the whole of it"}
		}
	}
	if len(n.o.URLs) == 0 {
		n.o.URLs = []string{n.at.url}
		if n.at.scheme == "unix" {
			n.o.URLs = []string{chain.URLUnix}
		}
	}
	return nil
}

// pin is what is known of the broker's key.
func (n *newMesh) pin() pin {
	if !n.o.BrokerKey.IsZero() {
		return pin{key: n.o.BrokerKey}
	}
	return pin{print: n.token.Broker()}
}

func (n *newMesh) create(ctx context.Context) (*Created, error) {
	if n.pin().isZero() && !n.at.local() {
		return nil, &UsageError{Sentence: "a broker elsewhere wants the token that it printed at its start: --token -"}
	}
	var err error
	if n.broker, err = n.brokerKey(ctx); err != nil {
		return nil, err
	}
	if err := n.draft(ctx); err != nil {
		return nil, err
	}
	head, err := n.post(ctx)
	if err != nil {
		var refused *RefusedError
		if errors.As(err, &refused) {
			// It will never be: nothing of it stays, and the name is free again.
			err = errors.Join(err, n.discard(ctx))
		}
		return nil, err
	}
	return n.finish(ctx, head)
}

// brokerKey asks the broker for its key, unless it is known.
func (n *newMesh) brokerKey(ctx context.Context) (keys.Public, error) {
	if !n.o.BrokerKey.IsZero() {
		return n.o.BrokerKey, nil
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeWithin)
	defer cancel()
	o, err := open(ctx, n.at, n.pin(), n.o.Dial)
	if err != nil {
		return keys.Public{}, explainDial(n.at, "the token", err)
	}
	o.abort()
	return o.challenge.Broker, nil
}

// explainDial makes of why a broker could not be reached the error for people. what
// pins its key.
func explainDial(at endpoint, what string, err error) error {
	var refused *helloError
	if errors.Is(err, errOtherKey) {
		return &TamperError{Host: at.shown(), Err: err, Sentence: fmt.Sprintf(
			"%s answers with another key than %s names. Somebody may be in between, or it is another broker's; nothing was sent", at.shown(), what)}
	}
	if errors.As(err, &refused) {
		return &RefusedError{Code: string(refused.frame.Code), Message: refused.frame.Code.Info().Sentence}
	}
	return &NotReachableError{Host: at.shown(), Reason: reason(err), Err: err}
}

// draft makes keys and entries, or takes those of a try that got no answer, and has
// them on the disk.
func (n *newMesh) draft(ctx context.Context) error {
	settings, err := n.folder.Config()
	if err != nil {
		return err
	}
	if m, err := settings.Find(n.o.Name); err == nil {
		if !m.Draft {
			return &NameTakenError{What: "mesh", Name: n.o.Name}
		}
		if n.resume(ctx, m) {
			return nil
		}
		n.mesh = *m
		if err := n.discard(ctx); err != nil {
			return err
		}
	}
	recovery, err := n.make()
	if err != nil {
		return err
	}
	err = n.state.Update(ctx, n.mesh.ID, func(tx *profile.Tx) error {
		return tx.AppendChain(profile.Roster, 0, n.entries, profile.ChainHead{Head: signed.Object{Bytes: []byte{}, Sig: []byte{}}})
	})
	if err != nil {
		return err
	}
	n.recovery, err = n.folder.WriteRecovery(n.o.Name, n.mesh.ID, recovery)
	if errors.Is(err, os.ErrExist) {
		// Of a mesh of the same name that was left: it is not ours to replace.
		n.recovery, err = n.folder.WriteRecovery(n.o.Name+"-"+n.mesh.ID.String()[:8], n.mesh.ID, recovery)
	}
	if err != nil {
		return err
	}
	return n.folder.Update(ctx, func(c *config.Config) error {
		if _, err := c.Find(n.o.Name); err == nil {
			return &NameTakenError{What: "mesh", Name: n.o.Name}
		}
		c.Meshes = append(c.Meshes, n.mesh)
		return nil
	})
}

// resume takes over the keys and entries of an earlier try, if they are for the same
// broker and names.
func (n *newMesh) resume(ctx context.Context, m *config.Mesh) bool {
	ledger, err := loadLedger(ctx, n.state, m.ID, m.PeerKey.Public())
	if err != nil || ledger.Chain().Len() != 3 || ledger.State().BrokerKey() != n.broker ||
		!slices.Equal(ledger.State().URLs(), n.o.URLs) || m.User != n.o.User || m.Device != n.o.Device ||
		now()-ledger.State().Time() > firstInvite/2 {
		return false
	}
	n.mesh, n.ledger, n.recovery = *m, ledger, n.folder.RecoveryPath(n.o.Name)
	for _, e := range ledger.Chain().From(0, 3) {
		n.entries = append(n.entries, e.Object)
	}
	return true
}

// make makes the keys and the first three entries.
func (n *newMesh) make() (recovery keys.OwnerPrivate, err error) {
	var owner keys.OwnerPrivate
	var peer keys.PeerPrivate
	var invite keys.InvitePrivate
	if owner, err = keys.NewOwnerPrivate(rand.Reader); err != nil {
		return recovery, err
	}
	if recovery, err = keys.NewOwnerPrivate(rand.Reader); err != nil {
		return recovery, err
	}
	if peer, err = keys.NewPeerPrivate(rand.Reader); err != nil {
		return recovery, err
	}
	if invite, err = keys.NewInvitePrivate(rand.Reader); err != nil {
		return recovery, err
	}
	random, err := chain.NewRandom(rand.Reader)
	if err != nil {
		return recovery, err
	}
	t := now()
	genesis, err := chain.NewGenesis(t, owner, chain.Genesis{Name: n.o.Name, Recovery: recovery.Public(), Broker: n.broker,
		URLs: n.o.URLs, Random: random}, rand.Reader)
	if err != nil {
		return recovery, err
	}
	state, err := roster.State{}.Apply(genesis)
	if err != nil {
		return recovery, err
	}
	n.entries = []signed.Object{genesis.Object}
	for _, step := range []struct {
		body    chain.Body
		signers []keys.Signer
	}{
		{chain.Invite{Key: invite.Public(), Rank: chain.RankAdmin, Expires: t + firstInvite, Uses: 1,
			Kinds: []chain.Kind{chain.KindAgent}}, []keys.Signer{owner}},
		{chain.Join{User: n.o.User, Device: n.o.Device, Peer: peer.Public(), Kind: chain.KindAgent}, []keys.Signer{invite, peer}},
	} {
		e, err := state.Sign(t, step.body, step.signers...)
		if err != nil {
			return recovery, err
		}
		if state, err = state.Apply(e); err != nil {
			return recovery, err
		}
		n.entries = append(n.entries, e.Object)
	}
	n.mesh = config.Mesh{ID: state.Mesh(), Alias: n.o.Name, Brokers: []config.Broker{{URLs: n.o.URLs, Key: n.broker}},
		User: n.o.User, Device: n.o.Device, PeerKey: peer, OwnerKey: owner, Draft: true}
	n.ledger = roster.New(state.Mesh(), peer.Public())
	return recovery, nil
}

// discard forgets a draft.
func (n *newMesh) discard(ctx context.Context) error {
	err := n.folder.Update(ctx, func(c *config.Config) error {
		if m, err := c.Mesh(n.mesh.ID); err == nil && m.Draft {
			c.Remove(n.mesh.ID)
		}
		return nil
	})
	err = errors.Join(err, n.state.Update(ctx, n.mesh.ID, func(tx *profile.Tx) error { return tx.DropMesh() }))
	if n.recovery != "" {
		err = errors.Join(err, os.Remove(n.recovery))
		n.recovery = ""
	}
	return err
}

// post asks the broker to take the mesh.
func (n *newMesh) post(ctx context.Context) (signed.Object, error) {
	ctx, cancel := context.WithTimeout(ctx, createWithin)
	defer cancel()
	body, err := signed.Encode(wire.CreateRequest{Entries: n.entries})
	if err != nil {
		return signed.Object{}, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, n.at.httpURL(wire.PathMeshes), bytes.NewReader(body))
	if err != nil {
		return signed.Object{}, err
	}
	request.Header.Set("Content-Type", "application/json")
	if n.o.Client != "" {
		request.Header.Set("User-Agent", n.o.Client)
	}
	if !n.token.IsZero() {
		request.Header.Set("Authorization", "Bearer "+n.token.Export())
	}
	transport := transportTo(n.at, pin{key: n.broker}, n.o.Dial)
	defer transport.CloseIdleConnections()
	answer, err := (&http.Client{Transport: transport, CheckRedirect: noRedirect}).Do(request)
	if err != nil {
		return signed.Object{}, explainDial(n.at, "the token", err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, wire.MaxCreateBody))
	if err != nil {
		return signed.Object{}, explainDial(n.at, "the token", err)
	}
	if answer.StatusCode != http.StatusOK {
		return signed.Object{}, refusedRequest(n.at, answer.StatusCode, text)
	}
	var created wire.CreateAnswer
	if err := signed.DecodeOpen(text, &created); err != nil {
		return signed.Object{}, &NotReachableError{Host: n.at.shown(), Reason: reason(errNoBroker), Err: err}
	}
	return created.Head, nil
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// refusedRequest is for an answer other than 200.
func refusedRequest(at endpoint, status int, text []byte) error {
	var e struct {
		Code    wire.Code `json:"code"`
		Message string    `json:"message"`
	}
	if json.Unmarshal(text, &e) != nil || e.Code == "" {
		return &NotReachableError{Host: at.shown(), Reason: reason(errNoBroker), Err: fmt.Errorf("HTTP %d", status)}
	}
	info := e.Code.Info()
	if info.Retry != wire.RetryNever {
		return &NotReachableError{Host: at.shown(), Reason: info.Sentence}
	}
	return &RefusedError{Code: string(e.Code), Message: info.Sentence}
}

// finish puts the mesh into the profile for good.
func (n *newMesh) finish(ctx context.Context, head signed.Object) (*Created, error) {
	fresh := roster.New(n.mesh.ID, n.mesh.PeerKey.Public())
	if _, err := fresh.Append(chain.Page{Entries: n.entries, Head: head}, now()); err != nil {
		return nil, &TamperError{Host: n.at.shown(), Err: err, Sentence: fmt.Sprintf(
			"%s did not sign the mesh that it was given; it cannot be used", n.at.shown())}
	}
	c := fresh.Chain()
	err := n.state.Update(ctx, n.mesh.ID, func(tx *profile.Tx) error {
		return tx.AppendChain(profile.Roster, 0, n.entries, profile.ChainHead{N: c.Head().Head.N, Head: head})
	})
	if err != nil {
		return nil, err
	}
	var info MeshInfo
	err = n.folder.Update(ctx, func(c *config.Config) error {
		m, err := c.Mesh(n.mesh.ID)
		if err != nil {
			return err
		}
		m.Draft = false
		if c.Default == "" {
			c.Default = m.Alias
		}
		info = infoOf(m, fresh.View())
		info.Default = c.Default == m.Alias
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &Created{Mesh: info, RecoveryFile: n.recovery}, nil
}
