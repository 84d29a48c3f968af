package profile

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/claudemesh/claudemesh-go/config"
	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
)

// The test binary is also the other processes of a profile: what one does is in
// its environment.
const (
	envRole   = "PROFILE_TEST_ROLE"
	envPlace  = "PROFILE_TEST_DIR"
	envNumber = "PROFILE_TEST_NUMBER"
)

func TestMain(m *testing.M) {
	role := os.Getenv(envRole)
	if role == "" {
		os.Exit(m.Run())
	}
	if err := child(role); err != nil {
		fmt.Fprintln(os.Stderr, role, err)
		os.Exit(1)
	}
	os.Exit(0)
}

const childRounds = 25

func child(role string) error {
	ctx := context.Background()
	p, err := Open(os.Getenv(envPlace))
	if err != nil {
		return err
	}
	number, err := strconv.Atoi(os.Getenv(envNumber))
	if err != nil {
		return err
	}
	switch role {
	case "config":
		return childConfig(ctx, p, number, childRounds)
	case "config forever":
		return childConfig(ctx, p, number, 1<<30)
	}
	s, err := p.OpenState(ctx)
	if err != nil {
		return err
	}
	switch role {
	case "session":
		return childSession(ctx, s, number)
	case "outbox forever":
		return childOutbox(ctx, s, number)
	case "inbox":
		return errors.Join(childInbox(ctx, s), s.Close())
	}
	return fmt.Errorf("no such role")
}

// childConfig adds an invite to the config, again and again.
func childConfig(ctx context.Context, p *Profile, number, rounds int) error {
	for i := range rounds {
		if err := p.Update(ctx, func(c *config.Config) error {
			m := &c.Meshes[0]
			m.Invites = append(m.Invites, config.Invite{ID: keys.Public{byte(number), byte(i), byte(i >> 8)}, Seed: []byte{1}})
			if len(m.Invites) > 200 {
				m.Invites = m.Invites[100:]
			}
			return nil
		}); err != nil {
			return err
		}
		fmt.Println(i)
	}
	return nil
}

// childSession is a session until its input ends or it is killed.
func childSession(ctx context.Context, s *State, number int) error {
	l, err := s.StartSession(ctx, mesh, SessionInfo{ID: session(byte(number)), Label: "web-shop", PID: os.Getpid(), Started: int64(number)})
	if err != nil {
		return err
	}
	fmt.Println(l.Label)
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	return errors.Join(l.End(ctx), s.Close())
}

// childOutbox writes messages of a session and says what is on the disk.
func childOutbox(ctx context.Context, s *State, number int) error {
	if _, err := s.StartSession(ctx, mesh, SessionInfo{ID: session(byte(number)), Label: "x"}); err != nil {
		return err
	}
	for i := 0; ; i++ {
		row := &delivery.OutboxRow{Session: session(byte(number)), ID: keys.MessageID{1, byte(number), byte(i >> 8), byte(i)},
			Sealed: bytes.Repeat([]byte{byte(i)}, 3000), To: []delivery.Target{{Key: bob}}}
		if err := s.Update(ctx, mesh, func(tx *Tx) error { return tx.PutOutbox(row) }); err != nil {
			return err
		}
		fmt.Println(i)
	}
}

// childInbox takes the same messages as other processes do, and says which of
// them were new.
func childInbox(ctx context.Context, s *State) error {
	for n := range childRounds {
		fresh := false
		if err := s.Update(ctx, mesh, func(tx *Tx) error {
			known, err := tx.Take(bob, id(byte(n)), 1<<50)
			if err != nil || known {
				return err
			}
			fresh = true
			return tx.PutInbox(inboxRow(byte(n)))
		}); err != nil {
			return err
		}
		if fresh {
			fmt.Println(n)
		}
	}
	return nil
}

// process is a started child.
type process struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func start(t *testing.T, p *Profile, role string, number int) *process {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &process{t: t, cmd: exec.Command(exe)}
	c.cmd.Env = append(os.Environ(), envRole+"="+role, envPlace+"="+p.Dir(), envNumber+"="+strconv.Itoa(number))
	c.cmd.Stderr = os.Stderr
	in, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.in, c.out = in, bufio.NewScanner(out)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

// line is the next line that it says; "" at the end.
func (c *process) line() string {
	c.out.Scan()
	return c.out.Text()
}

// wait lets it end by itself.
func (c *process) wait() {
	c.t.Helper()
	if err := errors.Join(c.in.Close(), c.cmd.Wait()); err != nil {
		c.t.Fatal(err)
	}
}

// kill kills it, and returns the last line that it said.
func (c *process) kill() (last string) {
	c.t.Helper()
	if err := c.cmd.Process.Kill(); err != nil {
		c.t.Fatal(err)
	}
	for c.out.Scan() {
		last = c.out.Text()
	}
	if err := c.cmd.Wait(); err == nil {
		c.t.Fatal("it was not killed")
	}
	return last
}

func TestProcessesShareTheConfig(t *testing.T) {
	p := newProfile(t)
	update(t, p, func(c *config.Config) error {
		c.Meshes = []config.Mesh{fullMesh(t, 1, "acme")}
		c.Meshes[0].Invites = nil
		return nil
	})
	var all []*process
	for i := range 4 {
		all = append(all, start(t, p, "config", i))
	}
	for _, c := range all {
		for c.line() != "" {
		}
		c.wait()
	}
	if c := configOf(t, p); len(c.Meshes[0].Invites) != 4*childRounds {
		t.Fatalf("%d of %d changes are there", len(c.Meshes[0].Invites), 4*childRounds)
	}
}

func TestKilledWriterLeavesAWholeConfig(t *testing.T) {
	p := newProfile(t)
	update(t, p, func(c *config.Config) error { c.Meshes = []config.Mesh{fullMesh(t, 1, "acme")}; return nil })
	for round := range 10 {
		c := start(t, p, "config forever", round)
		for range 3 + round {
			c.line()
		}
		last, err := strconv.Atoi(c.kill())
		if err != nil {
			last = 2 + round
		}
		invites := configOf(t, p).Meshes[0].Invites
		want := keys.Public{byte(round), byte(last), byte(last >> 8)}
		if !slices.ContainsFunc(invites, func(v config.Invite) bool { return v.ID == want }) {
			t.Fatalf("round %d: change %d was said, and is not there", round, last)
		}
	}
	// And the lock of the dead is free.
	update(t, p, func(c *config.Config) error { c.Meshes[0].User = "still"; return nil })
	if left, err := filepath.Glob(filepath.Join(p.Dir(), ".*")); err != nil || len(left) != 0 {
		t.Errorf("keys left behind in %v (%v)", left, err)
	}
}

func TestLabelsAreUniqueAmongTheLiving(t *testing.T) {
	p := newProfile(t)
	s := openState(t, p)
	first := start(t, p, "session", 1)
	if got := first.line(); got != "web-shop" {
		t.Fatal(got)
	}
	second := start(t, p, "session", 2)
	if got := second.line(); got != "web-shop-2" {
		t.Fatal(got)
	}
	own, err := s.StartSession(t.Context(), mesh, SessionInfo{ID: session(3), Label: "web-shop", Started: 3})
	if err != nil || own.Label != "web-shop-3" {
		t.Fatal(own, err)
	}
	live := func() (labels []string) {
		t.Helper()
		do(t, s, func(tx *Tx) error {
			all, err := tx.Live()
			for _, l := range all {
				labels = append(labels, l.Label)
			}
			return err
		})
		return labels
	}
	if got := live(); !slices.Equal(got, []string{"web-shop", "web-shop-2", "web-shop-3"}) {
		t.Fatal(got)
	}
	first.kill()
	if got := live(); !slices.Equal(got, []string{"web-shop-2", "web-shop-3"}) {
		t.Fatal(got)
	}
	fourth, err := s.StartSession(t.Context(), mesh, SessionInfo{ID: session(4), Label: "web-shop", Started: 4})
	if err != nil || fourth.Label != "web-shop" {
		t.Fatal(fourth, err)
	}
	second.wait()
	if got := live(); !slices.Equal(got, []string{"web-shop-3", "web-shop"}) {
		t.Fatal(got)
	}
	if err := s.Tidy(t.Context(), mesh, 0); err != nil {
		t.Fatal(err)
	}
	if got := live(); len(got) != 2 {
		t.Fatalf("tidied away the living: %v", got)
	}
	locks, err := filepath.Glob(filepath.Join(p.Run(), lockPrefix+"*"))
	if err != nil || len(locks) != 2 {
		t.Fatalf("locks %v, %v", locks, err)
	}
	if err := errors.Join(own.End(t.Context()), fourth.End(t.Context())); err != nil {
		t.Fatal(err)
	}
	if got := live(); len(got) != 0 {
		t.Fatal(got)
	}
}

func TestSessionsOfAnotherMeshDoNotCount(t *testing.T) {
	s := newState(t)
	a, err := s.StartSession(t.Context(), mesh, SessionInfo{ID: session(1), Label: "x"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.StartSession(t.Context(), keys.MeshID{2}, SessionInfo{ID: session(2), Label: "x"})
	if err != nil || b.Label != "x" {
		t.Fatal(b, err)
	}
	do(t, s, func(tx *Tx) error {
		return errors.Join(tx.SetSession(session(1), delivery.StatusWorking, 50), tx.SetSession(session(1), delivery.StatusIdle, 0), tx.SetSocket(session(1), "/s"))
	})
	do(t, s, func(tx *Tx) error {
		live, err := tx.Live()
		if err == nil && (len(live) != 1 || live[0].Status != delivery.StatusIdle || live[0].Active != 50 || live[0].Socket != "/s") {
			t.Errorf("%+v", live)
		}
		return err
	})
	if err := errors.Join(a.End(t.Context()), b.End(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// Who is active again and again is the last one at any time, and seldom writes it.
func TestActive(t *testing.T) {
	s := newState(t)
	for n := byte(1); n <= 2; n++ {
		l, err := s.StartSession(t.Context(), mesh, SessionInfo{ID: session(n), Started: int64(n)})
		if err != nil {
			t.Fatal(err)
		}
		defer l.End(context.WithoutCancel(t.Context()))
	}
	for i, step := range []struct {
		session byte
		status  delivery.Status
		active  int64
		want    [2]int64
	}{
		{1, 0, 5000, [2]int64{5000, 0}},
		{1, 0, 5900, [2]int64{5000, 0}}, // it is the last one already
		{2, 0, 5950, [2]int64{5000, 5950}},
		{1, 0, 5960, [2]int64{5960, 5950}},
		{1, 0, 5970, [2]int64{5960, 5950}},
		{1, delivery.StatusWorking, 5980, [2]int64{5980, 5950}},
		{1, delivery.StatusWorking, 6981, [2]int64{6981, 5950}},
		{1, delivery.StatusWorking, 3000, [2]int64{6981, 5950}}, // a clock that went back
	} {
		do(t, s, func(tx *Tx) error {
			if err := tx.SetActive(session(step.session), step.status, step.active); err != nil {
				return err
			}
			live, err := tx.Live()
			if err == nil && (live[0].Active != step.want[0] || live[1].Active != step.want[1] || live[step.session-1].Status != step.status) {
				t.Errorf("step %d: %+v, want %v", i, live, step.want)
			}
			return err
		})
	}
}

func TestKilledSendersRowsAreTakenOver(t *testing.T) {
	p := newProfile(t)
	s := openState(t, p)
	var said [3]int
	for i := range said {
		c := start(t, p, "outbox forever", i+1)
		for range 20 {
			c.line()
		}
		var err error
		if said[i], err = strconv.Atoi(c.kill()); err != nil {
			said[i] = 19
		}
	}
	own, err := s.StartSession(t.Context(), mesh, SessionInfo{ID: session(9), Label: "x"})
	if err != nil {
		t.Fatal(err)
	}
	do(t, s, func(tx *Tx) error {
		owners, err := tx.OutboxOwners(keys.SessionID{})
		if err != nil {
			return err
		}
		live, err := tx.LiveRows()
		if err != nil {
			return err
		}
		gone := delivery.Orphans(owners, live)
		if len(gone) != len(said) {
			t.Errorf("orphans %v", gone)
		}
		_, err = tx.TakeOver(session(9), gone...)
		return err
	})
	// All that was said is there, whole, each sender's in order.
	var next [4]int
	do(t, s, func(tx *Tx) error {
		rows, _, err := tx.Outbox(session(9), 0, 1<<20, 1<<40)
		for _, r := range rows {
			from, i := r.ID[1], int(r.ID[2])<<8|int(r.ID[3])
			if i != next[from] || !bytes.Equal(r.Sealed, bytes.Repeat([]byte{byte(i)}, 3000)) {
				t.Errorf("sender %d: row %d, want %d", from, i, next[from])
			}
			next[from]++
		}
		return err
	})
	for i, last := range said {
		if next[i+1] <= last {
			t.Errorf("sender %d said %d, %d rows are there", i+1, last, next[i+1])
		}
	}
	if err := own.End(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestProcessesTakeAMessageOnce(t *testing.T) {
	p := newProfile(t)
	s := openState(t, p)
	var all []*process
	for range 4 {
		all = append(all, start(t, p, "inbox", 0))
	}
	var fresh []string
	for _, c := range all {
		for line := c.line(); line != ""; line = c.line() {
			fresh = append(fresh, line)
		}
		c.wait()
	}
	slices.Sort(fresh)
	if got := slices.Compact(slices.Clone(fresh)); len(got) != childRounds || len(fresh) != childRounds {
		t.Fatalf("new was said of %s", strings.Join(fresh, " "))
	}
	var n int
	do(t, s, func(tx *Tx) (err error) { n, err = tx.CountInbox(); return err })
	if n != childRounds {
		t.Fatalf("%d messages", n)
	}
}
