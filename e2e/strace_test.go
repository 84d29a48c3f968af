//go:build system

package e2e

import (
	"bytes"
	numbers "encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

// TestNothingIsPromisedBeforeItIsSynced traces the real programs' system calls
// while messages go from one to another, and checks in the order in which the
// kernel saw them that no frame that promises something began to leave before
// the call that put it on the disk had returned [CM-8]:
//
//   - a sender's send, before its outbox has the message: else a crash loses
//     what a broker may have taken;
//   - the broker's ack "queued", before its queue has the message;
//   - a recipient's receipt "received", before its inbox has the message.
//
// Killing a process cannot prove that: the page cache survives it.
func TestNothingIsPromisedBeforeItIsSynced(t *testing.T) {
	alice, bob, carol := newPerson(t, "alice"), newPerson(t, "bob"), newPerson(t, "carol")

	brokers := alice.traced()
	up, _ := alice.up("--listen", "127.0.0.1:0", "--name", "alice")
	alice.prefix = nil
	link := alice.invite()
	for _, p := range []*person{bob, carol} {
		p.doWith(link+"\n", "join", "--name", p.name, "--device", "host")
	}

	var senders, recipients []*trace
	send := func(body string) {
		senders = append(senders, bob.traced())
		bob.do("send", "carol", body)
		bob.prefix = nil
	}
	for i := range 5 { // carol is away
		send(fmt.Sprintf("queued %d", i))
	}
	recipients = append(recipients, carol.traced())
	if got := carol.inbox(); len(got) != 5 {
		t.Fatalf("%d messages of 5", len(got))
	}
	recipients = append(recipients, carol.traced())
	follow := carol.start("inbox", "--follow")
	carol.prefix = nil
	for i := range 5 { // carol is there
		send(fmt.Sprintf("live %d", i))
		follow.wait(fmt.Sprintf("live %d", i))
	}
	follow.stop()
	up.stop()

	for _, part := range []struct {
		name     string
		traces   []*trace
		database string
		promise  func(wire.Frame) []keys.MessageID
		least    int // how many messages there are to be
	}{
		{"sender", senders, "state.db-wal", func(f wire.Frame) []keys.MessageID {
			if s, ok := f.(*wire.Send); ok && s.Class == wire.ClassMessage {
				return []keys.MessageID{s.ID}
			}
			return nil
		}, 10},
		{"broker", []*trace{brokers}, "broker.db-wal", func(f wire.Frame) []keys.MessageID {
			if a, ok := f.(*wire.Ack); ok && a.State == wire.StateQueued {
				return a.IDs
			}
			return nil
		}, 5},
		{"recipient", recipients, "state.db-wal", func(f wire.Frame) []keys.MessageID {
			if r, ok := f.(*wire.Receipt); ok && r.State == wire.VerdictReceived {
				return r.IDs
			}
			return nil
		}, 10},
	} {
		t.Run(part.name, func(t *testing.T) {
			promised, bitten := 0, 0
			for _, tr := range part.traces {
				calls := tr.calls(t)
				n, broken := promises(t, calls, part.database, part.promise)
				promised += n
				for _, b := range broken {
					t.Error(b)
				}
				// The same calls without the syncs: the check must see it.
				_, broken = promises(t, withoutSyncs(calls), part.database, part.promise)
				bitten += len(broken)
			}
			if promised < part.least {
				t.Errorf("%d promises were seen, there were to be %d", promised, part.least)
			}
			if bitten != promised {
				t.Errorf("without a sync %d of %d promises are found to be broken", bitten, promised)
			}
		})
	}
}

// trace is the system calls of one run of the program, as strace writes them.
type trace struct {
	text bytes.Buffer
	err  error
	done chan struct{} // closed once the program and all it started have ended
}

// traced lets the person's next command run under strace. The program stays the
// test's own child (-D), so that signals go to it.
func (p *person) traced() *trace {
	p.t.Helper()
	fifo := filepath.Join(p.t.TempDir(), "strace")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		p.t.Fatal(err)
	}
	p.prefix = []string{"strace", "-D", "-f", "-q", "-yy", "-xx", "-s", "1000000", "-e", "signal=none",
		"-e", "trace=write,writev,sendto,sendmsg,pwrite64,pwritev,pwritev2,fdatasync,fsync,ftruncate,unlink,unlinkat", "-o", fifo}
	if _, err := exec.LookPath("strace"); err != nil {
		p.t.Fatal(err)
	}
	tr := &trace{done: make(chan struct{})}
	go func() {
		defer close(tr.done)
		var f *os.File
		if f, tr.err = os.Open(fifo); tr.err == nil {
			_, tr.err = io.Copy(&tr.text, f)
			f.Close()
		}
	}()
	return tr
}

// call is one system call. Lines count in the order in which the kernel saw
// them: nothing that begins at a later line began earlier.
type call struct {
	name       string
	file       string // path, or the two ends of a connection
	data       []byte
	offset     int // where it writes, or how long it leaves the file
	begin, end int
	ok         bool
}

var (
	callLine   = regexp.MustCompile(`^(\d+) +(\w+)\((\d+)<((?:TCP|UNIX).*?\]|[^>]*)>(.*)$`)
	resumeLine = regexp.MustCompile(`^(\d+) +<\.\.\. (\w+) resumed>.*= (-?\d+)`)
	resultTail = regexp.MustCompile(`= (-?\d+)(?: \w+ \(.*\))?$`)
	unlinkLine = regexp.MustCompile(`^(\d+) +(unlink(?:at)?)\(.*"((?:\\x[0-9a-f]{2})+)".* = (-?\d+)`)
	hexString  = regexp.MustCompile(`"((?:\\x[0-9a-f]{2})*)"`)
)

// calls waits for the program's end and parses what it called.
func (tr *trace) calls(t *testing.T) []*call {
	t.Helper()
	<-tr.done
	if tr.err != nil {
		t.Fatal(tr.err)
	}
	var all []*call
	open := map[string]*call{} // by thread: begun, not ended
	for n, line := range strings.Split(tr.text.String(), "\n") {
		if m := resumeLine.FindStringSubmatch(line); m != nil {
			if c := open[m[1]]; c != nil && c.name == m[2] {
				c.end = n
				c.returned(m[3])
				delete(open, m[1])
			}
			continue
		}
		if m := unlinkLine.FindStringSubmatch(line); m != nil {
			all = append(all, &call{name: m[2], file: unhex(m[3]), begin: n, end: n, ok: m[4] == "0"})
			continue
		}
		m := callLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		c := &call{name: m[2], file: unhex(m[4]), offset: offsetOf(m[2], m[5]), begin: n, end: n}
		for _, s := range hexString.FindAllStringSubmatch(m[5], -1) {
			c.data = append(c.data, unhex(s[1])...)
		}
		all = append(all, c)
		if strings.Contains(m[5], "<unfinished ...>") {
			c.end = 1 << 60
			open[m[1]] = c
			continue
		}
		if result := resultTail.FindStringSubmatch(m[5]); result != nil {
			c.returned(result[1])
		}
	}
	return all
}

// returned takes a call's result: what it did not write, another one does.
func (c *call) returned(result string) {
	n, err := strconv.Atoi(result)
	if c.ok = err == nil && n >= 0; c.ok && len(c.data) > n {
		c.data = c.data[:n]
	}
}

// unhex decodes \x41\x42, and leaves other text as it is.
func unhex(s string) string {
	if !strings.HasPrefix(s, `\x`) {
		return s
	}
	b, err := hex.DecodeString(strings.ReplaceAll(s, `\x`, ""))
	if err != nil {
		return s
	}
	return string(b)
}

func withoutSyncs(calls []*call) []*call {
	var rest []*call
	for _, c := range calls {
		if c.name != "fdatasync" && c.name != "fsync" {
			rest = append(rest, c)
		}
	}
	return rest
}

// sent is a frame and the call that completed it.
type sent struct {
	frame wire.Frame
	by    *call
}

// promises finds the frames that promise something, and says of which messages
// the promise began to leave before a database's log had them and was synced.
func promises(t *testing.T, calls []*call, database string, of func(wire.Frame) []keys.MessageID) (n int, broken []string) {
	t.Helper()
	for _, s := range frames(t, calls) {
		for _, id := range of(s.frame) {
			n++
			if !synced(calls, database, id, s.by.begin) {
				broken = append(broken, fmt.Sprintf("%s of %s left (line %d) before %s was synced", s.frame.FrameType(), id, s.by.begin+1, database))
			}
		}
	}
	return n, broken
}

// synced reports whether before a line a database's log got an id written, and
// then was synced.
func synced(calls []*call, database string, id keys.MessageID, before int) bool {
	written := -1
	for _, c := range calls {
		if !c.ok || c.end >= before || !strings.HasSuffix(c.file, database) {
			continue
		}
		switch c.name {
		case "pwrite64", "pwritev", "write":
			if written < 0 && bytes.Contains(c.data, id[:]) {
				written = c.end
			}
		case "fdatasync", "fsync":
			if written >= 0 && c.begin > written {
				return true
			}
		}
	}
	return false
}

// frames parses what left over WebSocket connections.
func frames(t *testing.T, calls []*call) (all []sent) {
	t.Helper()
	streams := map[string]*stream{}
	for _, c := range calls {
		if !c.ok || !strings.HasPrefix(c.file, "TCP") && !strings.HasPrefix(c.file, "UNIX") || c.name == "pwrite64" {
			continue
		}
		s := streams[c.file]
		if s == nil {
			s = &stream{}
			streams[c.file] = s
		}
		s.data = append(s.data, c.data...)
		for {
			message, isBinary, ok := s.next()
			if !ok {
				break
			}
			f, _, err := wire.Decode(message, isBinary)
			if err != nil {
				t.Fatalf("a frame that cannot be read: %v", err)
			}
			all = append(all, sent{f, c})
		}
	}
	return all
}

// stream is what was written to one connection and not parsed yet.
type stream struct {
	data     []byte
	upgraded bool
}

// next takes the next WebSocket message (RFC 6455, 5.2) off the stream. Both
// ends write a message as one fragment.
func (s *stream) next() (message []byte, isBinary, ok bool) {
	if !s.upgraded {
		end := bytes.Index(s.data, []byte("\r\n\r\n"))
		if end < 0 || !bytes.Contains(bytes.ToLower(s.data[:end]), []byte("upgrade: websocket")) {
			return nil, false, false
		}
		s.data, s.upgraded = s.data[end+4:], true
	}
	for len(s.data) >= 2 {
		opcode, masked, size, at := s.data[0]&0x0f, s.data[1]&0x80 != 0, int(s.data[1]&0x7f), 2
		switch {
		case size == 126 && len(s.data) >= 4:
			size, at = int(numbers.BigEndian.Uint16(s.data[2:])), 4
		case size == 127 && len(s.data) >= 10:
			size, at = int(numbers.BigEndian.Uint64(s.data[2:])), 10
		case size >= 126:
			return nil, false, false
		}
		mask := []byte{0, 0, 0, 0}
		if masked {
			if len(s.data) < at+4 {
				return nil, false, false
			}
			mask = s.data[at : at+4]
			at += 4
		}
		if len(s.data) < at+size {
			return nil, false, false
		}
		message = bytes.Clone(s.data[at : at+size])
		for i := range message {
			message[i] ^= mask[i%4]
		}
		s.data = s.data[at+size:]
		if opcode == 1 || opcode == 2 {
			return message, opcode == 2, true
		}
		// A ping, pong or close.
	}
	return nil, false, false
}
