package meshtest

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"sync"
	"time"

	"modernc.org/sqlite"

	"github.com/claudemesh/claudemesh-go/peer"
)

// Process is a process that can be killed: from then on nothing that it does is seen
// by anybody. Its connections are gone, and what it had not committed to its
// databases is not there. Its goroutines live on, in the dark; close what it opened to
// end them.
type Process struct {
	network *Network

	mu     sync.Mutex // guards the following; a leaf but for the network's lock
	killed bool
	spared int  // commits until it is killed; 0: it is not
	after  bool // the last of them still counts
	room   int  // pages that its databases may grow by; 0: as they like
	full   bool // its disk takes nothing
}

// Process makes a process on the network.
func (n *Network) Process() *Process { return &Process{network: n} }

// Dial connects to a listener, as [Network.Dial] does, as this process.
func (p *Process) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return p.network.dial(ctx, network, address, p)
}

// Listen opens a listener, as [Network.Listen] does, of this process.
func (p *Process) Listen(network, address string) (net.Listener, error) {
	return p.network.listen(network, address, p)
}

// Kill kills the process at once.
func (p *Process) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.killLocked()
}

// KillAt kills the process at its nth commit from now: with after when that is on the
// disk, before anybody was told; else just before it would be. 0: it lives on.
func (p *Process) KillAt(n int, after bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spared, p.after = n, after
}

// Narrow lets the databases that the process opens from now on grow by some pages of
// 4 KiB only: then its disk is full.
func (p *Process) Narrow(pages int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.room = pages
}

// Fill has the disk take nothing that the process commits, until it has room again.
func (p *Process) Fill(full bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.full = full
}

// Narrowed tells whether its databases may grow by some pages only.
func (p *Process) Narrowed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.room > 0
}

// Killed tells whether the process was killed.
func (p *Process) Killed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.killed
}

// Alive calls f unless the process was killed; it is not killed meanwhile. It tells
// whether it called it.
func (p *Process) Alive(f func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.killed {
		f()
	}
	return !p.killed
}

func (p *Process) killLocked() {
	if !p.killed {
		p.killed = true
		p.network.kill(p)
	}
}

// diskTakes is how long the disk takes for the commit at which a process is killed: what
// was said before it, and should not have been, is heard.
const diskTakes = time.Millisecond

// commit decides about a commit of the process: not 0 undoes it.
func (p *Process) commit() int32 {
	p.mu.Lock()
	last := p.spared == 1
	p.mu.Unlock()
	if last {
		<-time.After(diskTakes)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.killed || p.full {
		return 1
	}
	if p.spared == 0 {
		return 0
	}
	if p.spared--; p.spared > 0 {
		return 0
	}
	p.killLocked()
	if p.after {
		return 0
	}
	return 1
}

// opening says which process opens the databases of a folder just now: the driver's
// hook has nothing but the path.
var opening struct {
	sync.Mutex
	by map[string]*Process
}

func init() { sqlite.RegisterConnectionHook(connected) } // not while connections are opened

// Open calls open, which opens databases in a folder for the process, and nobody else
// does meanwhile.
func (p *Process) Open(folder string, open func()) {
	opening.Lock()
	if opening.by == nil {
		opening.by = map[string]*Process{}
	}
	opening.by[folder] = p
	opening.Unlock()
	defer func() {
		opening.Lock()
		defer opening.Unlock()
		delete(opening.by, folder)
	}()
	open()
}

// connected lets a process's fate decide about the commits of a new connection to a
// database.
func connected(conn sqlite.ExecQuerierContext, dsn string) error {
	u, err := url.Parse(dsn)
	if err != nil {
		return nil // not by a path: nobody's
	}
	opening.Lock()
	p := opening.by[filepath.Dir(filepath.FromSlash(u.Path))]
	opening.Unlock()
	if p == nil {
		return nil
	}
	conn.(sqlite.HookRegisterer).RegisterCommitHook(p.commit)
	p.mu.Lock()
	room := p.room
	p.mu.Unlock()
	if room == 0 {
		return nil
	}
	pages, err := pageCount(conn)
	if err != nil {
		return err
	}
	_, err = conn.ExecContext(context.Background(), fmt.Sprintf("PRAGMA max_page_count = %d", pages+int64(room)), nil)
	return err
}

// pageCount is how large a database is.
func pageCount(conn sqlite.ExecQuerierContext) (int64, error) {
	rows, err := conn.QueryContext(context.Background(), "PRAGMA page_count", nil)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	row := make([]driver.Value, 1)
	if err := rows.Next(row); err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	n, ok := row[0].(int64)
	if !ok {
		return 0, fmt.Errorf("a database of %v pages", row[0])
	}
	return n, nil
}

// OpenIn opens a session of the machine in a process of its own. Dir, Dial, Listen and,
// where there is none, Logger are filled in.
func (x *Machine) OpenIn(p *Process, o peer.Options) (opened *peer.Peer, err error) {
	o.Dial, o.Listen = p.Dial, p.Listen
	p.Open(x.Profile, func() { opened, err = x.TryOpen(o) })
	return opened, err
}
