package peer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/claudemesh/claudemesh-go/config"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/profile"
)

// home is a profile that is open in this process: its folder, its state.db, and
// the process's local socket. The peers of a [Set] share one.
type home struct {
	*profile.Profile
	state *profile.State
	log   *slog.Logger
	clock clocks
	dial  dialFunc
	start func(context.Context, Key) error // Options.StartBroker
	poked *control                         // nil where no socket could be made

	mu    sync.Mutex
	users int // peers and sets that have not let go
}

// openHome opens the profile that the options name.
func openHome(ctx context.Context, o Options) (*home, error) {
	folder, err := profile.Open(o.Dir)
	if err != nil {
		return nil, err
	}
	// A config of a newer version is refused before anything is touched.
	if _, err := folder.Config(); err != nil {
		return nil, err
	}
	state, err := folder.OpenState(ctx)
	if err != nil {
		return nil, err
	}
	h := &home{Profile: folder, state: state, log: o.Logger, clock: newClocks(o.clock), dial: o.Dial, start: o.StartBroker, users: 1}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	if h.dial == nil {
		h.dial = new(net.Dialer).DialContext
	}
	listen := o.Listen
	if listen == nil {
		listen = net.Listen
	}
	inRun := func(network, address string) (net.Listener, error) {
		l, err := listen(network, address)
		if errors.Is(err, fs.ErrNotExist) && folder.RemakeRun() == nil {
			l, err = listen(network, address)
		}
		return l, err
	}
	if h.poked, err = openControl(folder.Socket(o.ClientPID), inRun, h.dial); err != nil {
		// Without it messages that another process takes are found by looking now
		// and then.
		h.log.Warn("no local socket", "err", err)
	}
	return h, nil
}

// hold counts one more user.
func (h *home) hold() *home {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.users++
	return h
}

// release lets go; the last one closes.
func (h *home) release() error {
	h.mu.Lock()
	h.users--
	last := h.users == 0
	h.mu.Unlock()
	if !last {
		return nil
	}
	if h.poked != nil {
		h.poked.close()
	}
	return h.state.Close()
}

// find returns the mesh that a name means, the default one for "".
func (h *home) find(name string) (*config.Mesh, error) {
	settings, err := h.Config()
	if err != nil {
		return nil, err
	}
	return findMesh(settings, name)
}

// findMesh returns the mesh of a config that a name means, the default one for "".
func findMesh(settings *config.Config, name string) (*config.Mesh, error) {
	if name == "" {
		if m := settings.DefaultMesh(); m != nil {
			return m, nil
		}
		return nil, ErrNoMesh
	}
	m, err := settings.Find(strings.ToLower(name))
	if err == nil && !m.Draft {
		return m, nil
	}
	unknown := &UnknownNameError{Name: name, Mesh: "this profile"}
	for _, m := range settings.Meshes {
		if !m.Draft {
			unknown.Candidates = append(unknown.Candidates, m.Alias)
		}
	}
	if unknown.Candidates == nil {
		return nil, ErrNoMesh
	}
	unknown.Suggestion = suggest(name, unknown.Candidates)
	return nil, unknown
}

// slugOf makes a slug of any text: what is not allowed becomes a dash. It is empty
// where nothing is left.
func slugOf(text string) string {
	var b strings.Builder
	for _, c := range []byte(strings.ToLower(text)) {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
			b.WriteByte(c)
		default:
			b.WriteByte('-')
		}
	}
	s := strings.Trim(b.String(), "-._")
	if len(s) > keys.MaxSlug {
		s = strings.TrimRight(s[:keys.MaxSlug], "-._")
	}
	return s
}

// labelOf is the label of a session: the given one, else the base name of the
// folder it works in.
func labelOf(o Options) (label, cwd string, err error) {
	if cwd = o.Cwd; cwd == "" {
		if cwd, err = os.Getwd(); err != nil {
			cwd = ""
		}
	}
	if o.Label == "" {
		return slugOf(filepath.Base(cwd)), cwd, nil
	}
	if label, err = keys.Slug(o.Label); err != nil {
		return "", "", &UsageError{Sentence: fmt.Sprintf("%q is no label: 1 to 32 of a-z, 0-9, '.', '_' and '-'", o.Label)}
	}
	return label, cwd, nil
}
