package broker

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

// pathYield is where a unix socket is asked to let go; no part of the protocol
// between strangers.
const pathYield = "/v1/yield"

// Yield asks the broker behind a unix socket to end in good order, so that
// another can serve its data. It says whether that broker will; one that was not
// made with [Options.Yields] will not. Its end is awaited by the lock of its
// folder. An error means that nobody answers there.
func Yield(ctx context.Context, socket string) (bool, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://localhost"+pathYield, nil)
	if err != nil {
		return false, err
	}
	answer, err := onSocket(socket).Do(request)
	if err != nil {
		return false, fmt.Errorf("ask the broker at %s to go: %w", socket, err)
	}
	defer answer.Body.Close()
	return answer.StatusCode == http.StatusAccepted, nil
}

// Serves tells whether a broker behind a unix socket takes requests: one that is only
// about to, or about to end, may fail at it.
func Serves(ctx context.Context, socket string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+wire.PathHealth, nil)
	if err != nil {
		return false
	}
	answer, err := onSocket(socket).Do(request)
	if err != nil {
		return false
	}
	answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

// onSocket is a client for one request to a unix socket.
func onSocket(socket string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
		DisableKeepAlives: true,
	}}
}

// serveYield ends the broker, for whoever reaches its socket: its owner alone.
func (b *Broker) serveYield(w http.ResponseWriter, r *http.Request, q request) {
	if !b.opts.Yields || q.via == nil || q.via.scheme != "unix" {
		http.NotFound(w, r)
		return
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusAccepted)
	// The answer first: ending closes what it is written to.
	_ = http.NewResponseController(w).Flush()
	b.log.Info("gives way to another broker")
	b.endNow()
}

// KeyIn is the public key of the broker whose data folder this is; fs.ErrNotExist
// where none was made yet.
func KeyIn(dir string) (keys.Public, error) {
	key, err := readKey(filepath.Join(dir, keyFile))
	if err != nil {
		return keys.Public{}, err
	}
	return key.Public(), nil
}
