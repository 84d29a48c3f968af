package peer

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/claudemesh/claudemesh-go/wire"
)

const (
	// handshakeWithin bounds dialling one URL with everything up to the welcome.
	handshakeWithin = 10 * time.Second
	// stagger is how long one URL is tried before the next is tried beside it: a
	// broker on a local network names all of its addresses, and most do not answer.
	stagger = 300 * time.Millisecond
)

// opened is a connection up to the broker's challenge.
type opened struct {
	endpoint
	*socket
	challenge *wire.Challenge
}

// attempt is what came of dialling one endpoint.
type attempt struct {
	endpoint
	err error
}

// open dials an endpoint and reads the challenge. The broker's key is checked
// against the pin. [CM-7]
func open(ctx context.Context, e endpoint, p pin, dial dialFunc) (*opened, error) {
	s, err := dialSocket(ctx, e, p, dial)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, s.abort)
	challenge, err := readFrame[*wire.Challenge](s)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err == nil && !p.allows(challenge.Broker) {
		s.close(wire.CloseBroker)
		return nil, fmt.Errorf("%w (%s)", errOtherKey, challenge.Broker.Fingerprint())
	}
	if err == nil {
		err = challenge.Broker.Check()
	}
	if err != nil {
		s.hangUp(err)
		return nil, err
	}
	return &opened{endpoint: e, socket: s, challenge: challenge}, nil
}

// openAny dials the endpoints in their order, each a little after the one before,
// and gives the first that answers with the pinned key. The others are hung up.
// attempts tells what came of those that failed.
func openAny(ctx context.Context, endpoints []endpoint, p pin, dial dialFunc) (first *opened, attempts []attempt) {
	if len(endpoints) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeWithin)
	defer cancel()
	type result struct {
		*opened
		attempt
	}
	results := make(chan result)
	var group sync.WaitGroup
	start := func(e endpoint) {
		group.Go(func() {
			o, err := open(ctx, e, p, dial)
			results <- result{o, attempt{e, err}}
		})
	}
	next, running := 0, 0
	timer := time.NewTimer(0)
	defer timer.Stop()
	for first == nil && (next < len(endpoints) || running > 0) {
		var due <-chan time.Time
		if next < len(endpoints) {
			due = timer.C
		}
		select {
		case <-due:
			start(endpoints[next])
			next, running = next+1, running+1
			timer.Reset(stagger)
		case r := <-results:
			running--
			if first = r.opened; first == nil {
				attempts = append(attempts, r.attempt)
				timer.Reset(0)
			}
		}
	}
	cancel()
	for ; running > 0; running-- {
		if r := <-results; r.opened != nil {
			r.opened.abort()
		}
	}
	group.Wait()
	return first, attempts
}

// reason says in a few words why an endpoint did not answer.
func reason(err error) string {
	var dns *net.DNSError
	var unknownAuthority x509.UnknownAuthorityError
	var unstarted *startError
	switch {
	case errors.As(err, &unstarted):
		return unstarted.Error()
	case errors.As(err, &dns):
		return "its name does not resolve"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, os.ErrNotExist):
		return "not running"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return "no way there"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection broken"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, errSilent):
		return "no answer in time"
	case errors.Is(err, errOtherKey):
		return "another broker's key"
	case errors.Is(err, errNoBroker):
		return "no claudemesh broker answers there"
	case errors.Is(err, errCertificate), errors.As(err, &unknownAuthority):
		return "its certificate is not valid"
	}
	var closed *closedError
	if errors.As(err, &closed) {
		return closed.code.Info().Sentence
	}
	return "connection failed"
}
