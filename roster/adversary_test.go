package roster_test

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/roster"
)

// A seeded random adversary over chain and roster, without I/O: a broker that lies
// or is restored, thieves with members', admins', owners' and invites' keys, members
// that race. After every step the promises of design 5 are checked over what honest
// clients hold (invariants_test.go); at the end the faults stop, the recovery key
// heals, and all clients must agree.
//
//	go test ./roster -run Adversary -schedules 100000
//	go test ./roster -run Adversary -seed 4711        # one schedule again, with its story
var (
	schedules = flag.Int("schedules", 30, "how many schedules TestAdversary runs")
	oneSeed   = flag.Uint64("seed", 0, "run this schedule only, and tell its story")
)

// failedOnce are the seeds of schedules that found something, with what it was.
var failedOnce = []uint64{
	3537, // a banned owner went back to before its ban, and healed through an owner that it named there
}

func TestAdversary(t *testing.T) {
	if *oneSeed != 0 {
		run(t, *oneSeed, true, (*world).step, (*world).rarely)
		return
	}
	for _, seed := range failedOnce {
		run(t, seed, false, (*world).step)
	}
	var next atomic.Uint64
	var bad atomic.Bool
	var total tally
	t.Run("workers", func(t *testing.T) {
		for i := range runtime.GOMAXPROCS(0) {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				defer func() { bad.Store(bad.Load() || t.Failed()) }()
				for !bad.Load() && !t.Failed() {
					seed := next.Add(1)
					if seed > uint64(*schedules) {
						return
					}
					w := run(t, seed, false, (*world).step, (*world).rarely)
					total.add(&w.tally)
				}
			})
		}
	})
	t.Logf("%d schedules: %v", *schedules, &total)
	if *schedules >= 30 {
		total.check(t) // an adversary that does nothing proves nothing
	}
}

// run runs one schedule: in each turn all of steps.
func run(t *testing.T, seed uint64, loud bool, steps ...func(*world)) *world {
	w := newWorld(t, seed)
	defer func() {
		if t.Failed() || loud {
			w.printStory()
		}
	}()
	for range 30 + w.rng.IntN(30) {
		for _, step := range steps {
			if step(w); t.Failed() {
				return w
			}
		}
	}
	w.end()
	return w
}

// world is one schedule.
type world struct {
	t       *testing.T
	seed    uint64
	rng     *rand.Rand
	rare    *rand.Rand // of what rarely happens
	now     int64
	lying   bool // the broker may cheat
	mesh    keys.MeshID
	faces   []*orderer // what brokers show: one if honest
	clients []*holder
	stolen  []string
	names   map[keys.Public]string
	lives   map[keys.Public]uint64 // highest life that a broker's key used
	fraud   map[keys.Public]bool   // it signed two orders in one life
	digests map[string]string      // what the state at a place is, to all
	serial  int
	tally   tally
	story   []string
}

// holder is an honest client.
type holder struct {
	name string // of its key; empty: the owner's machine, which has no peer key
	r    *roster.Roster
	face *orderer
}

var secretsCache sync.Map

// cached is secret without making the key again.
func cached(name string) keys.Signer {
	if s, ok := secretsCache.Load(name); ok {
		return s.(keys.Signer)
	}
	s := secret(name)
	secretsCache.Store(name, s)
	return s
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 7)), rare: rand.New(rand.NewPCG(seed, 9)), names: map[keys.Public]string{},
		lives: map[keys.Public]uint64{}, fraud: map[keys.Public]bool{}, digests: map[string]string{}}
	w.lying = w.rng.IntN(3) > 0
	for _, name := range []string{"owner", "recovery", "broker"} {
		w.key(name)
	}
	first := beginning()
	w.mesh, w.now = chain.MeshIDOf(first[0]), start
	b := emptyOrderer(t, "broker", w.mesh)
	w.lives[b.key.Public()] = 1
	w.faces = []*orderer{b}
	w.key("i0")
	w.key("link")
	for _, e := range first {
		if join, ok := e.Entry.Body.(chain.Join); ok {
			w.key(join.User + "@" + join.Device)
		}
	}
	b.cheat(w.now, first...)
	page := b.page(0, w.now)
	for _, name := range []string{"", "alice@laptop", "bob@desk", "carol@mac"} {
		c := &holder{name: name, face: b}
		var self keys.Public
		if name != "" {
			self = w.key(name)
		}
		var err error
		c.r, err = roster.Load(w.mesh, self, page.Entries, page.Head)
		w.must(err)
		w.clients = append(w.clients, c)
	}
	return w
}

// beginning is how every schedule begins: the owner's first peer and two members by
// its link.
var beginning = sync.OnceValue(func() []chain.Signed {
	var state roster.State
	var entries []chain.Signed
	add := func(e chain.Signed, err error) {
		if err == nil {
			state, err = state.Apply(e)
		}
		if err != nil {
			panic(err)
		}
		entries = append(entries, e)
	}
	sign := func(body chain.Body, names ...string) {
		var signers []keys.Signer
		for _, name := range names {
			signers = append(signers, cached(name))
		}
		add(state.Sign(start, body, signers...))
	}
	i0, link := invite("i0", start), invite("link", start)
	i0.Rank, i0.Uses = chain.RankAdmin, 1
	link.Expires, link.Uses = start+30*day, 100
	add(newGenesis())
	sign(i0, "owner")
	sign(join("alice", "laptop"), "i0", "alice@laptop")
	sign(link, "alice@laptop")
	sign(join("bob", "desk"), "link", "bob@desk")
	sign(join("carol", "mac"), "link", "carol@mac")
	return entries
})

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.failf("%v", err)
	}
}

func (w *world) failf(format string, args ...any) {
	w.t.Helper()
	w.t.Errorf("seed %d: %s", w.seed, fmt.Sprintf(format, args...))
}

func (w *world) tell(format string, args ...any) {
	w.story = append(w.story, fmt.Sprintf(format, args...))
}

func (w *world) printStory() {
	w.t.Logf("seed %d, lying %v:\n%s", w.seed, w.lying, strings.Join(w.story, "\n"))
}

func (w *world) key(name string) keys.Public {
	key := cached(name).Public()
	w.names[key] = name
	return key
}

// fresh makes a name nobody had.
func (w *world) fresh(format string) string {
	w.serial++
	return fmt.Sprintf(format, w.serial)
}

func (w *world) addClient(name string, face *orderer) {
	c := &holder{name: name, face: face}
	var self keys.Public
	if name != "" {
		self = w.key(name)
	}
	c.r = roster.New(w.mesh, self)
	w.clients = append(w.clients, c)
	w.sync(c)
}

// sign signs what would count; the zero entry where it would not.
func (w *world) sign(r *roster.Roster, body chain.Body, signers ...string) chain.Signed {
	e, err := r.State().Sign(w.now, body, w.signers(signers)...)
	if err != nil {
		return chain.Signed{}
	}
	return e
}

// force signs whatever comes of it.
func (w *world) force(r *roster.Roster, body chain.Body, signers ...string) chain.Signed {
	e, err := chain.Make(r.State().Draft(w.now, w.key(signers[0]), body), w.signers(signers)...)
	if err != nil {
		return chain.Signed{}
	}
	return e
}

func (w *world) signers(names []string) []keys.Signer {
	list := make([]keys.Signer, len(names))
	for i, name := range names {
		list[i] = cached(name)
	}
	return list
}

func (w *world) invite(name string) chain.Invite {
	return chain.Invite{Key: w.key(name), Rank: chain.RankMember, Expires: w.now + 1 + w.rng.Int64N(2*day),
		Uses: 1 + w.rng.Int64N(4), Kinds: []chain.Kind{chain.KindAgent}, Approve: w.rng.IntN(5) == 0}
}

func (w *world) join(name string) chain.Join {
	user, device, _ := strings.Cut(name, "@")
	return chain.Join{User: user, Device: device, Peer: w.key(name), Kind: chain.KindAgent}
}

func pick[E any](w *world, list []E) (e E) {
	if len(list) == 0 {
		return e
	}
	return list[w.rng.IntN(len(list))]
}

var users = []string{"alice", "bob", "carol", "dave", "erin"}

// step does one random thing, and checks every client that it touched.
func (w *world) step() {
	w.now += w.rng.Int64N(3600 * second)
	if w.rng.IntN(40) == 0 {
		w.now += 4 * day
	}
	steps := []struct {
		weight int
		do     func()
	}{
		{30, w.honestAct}, {20, func() { w.sync(pick(w, w.clients)) }}, {10, w.newcomer}, {12, w.gossip}, {4, w.restore},
		{3, w.steal}, {3, w.honestHeal}, {1, w.anotherClient},
	}
	if w.lying {
		steps = append(steps, []struct {
			weight int
			do     func()
		}{{20, w.thiefAct}, {6, w.fork}, {8, w.reconnect}, {12, w.corrupt}, {6, w.garbage}, {8, w.thiefHeal}}...)
	}
	sum := 0
	for _, s := range steps {
		sum += s.weight
	}
	n := w.rng.IntN(sum)
	for _, s := range steps {
		if n -= s.weight; n < 0 {
			s.do()
			return
		}
	}
}

// anotherClient makes a client of a member that is none yet.
func (w *world) anotherClient() {
	face := pick(w, w.faces)
	for _, m := range face.r.State().Members() {
		name := w.names[m.Key]
		if !slices.ContainsFunc(w.clients, func(c *holder) bool { return c.name == name }) && !slices.Contains(w.stolen, name) {
			w.addClient(name, face)
			return
		}
	}
}

// honestAct: a client signs something on what it holds and has its broker order it.
func (w *world) honestAct() {
	c := pick(w, w.clients)
	by := c.name
	if by == "" {
		by = "owner"
	}
	w.submit(c, w.randomBody(c.r, by), by)
}

// submit signs on what a client holds, and appends.
func (w *world) submit(c *holder, body chain.Body, signers ...string) {
	if body == nil {
		return
	}
	e := w.sign(c.r, body, signers...)
	if e.IsZero() {
		return
	}
	err := c.face.order(w.now, e)
	w.note(c.face)
	w.tell("%s by %s: place %d: %v", e.Entry.Type(), signers[0], e.Entry.N, err)
	if err == nil {
		w.tally.ordered++
	} else if errors.Is(err, roster.ErrPlace) {
		w.tally.raced++
	}
	w.sync(c)
}

// randomBody makes something that by could have a reason to say.
func (w *world) randomBody(r *roster.Roster, by string) chain.Body {
	s := r.State()
	members := s.Members()
	switch w.rng.IntN(10) {
	case 0, 1:
		i := w.invite(w.fresh("i%d"))
		if user, _, isPeer := strings.Cut(by, "@"); isPeer && w.rng.IntN(2) == 0 {
			i.User = user
		}
		if by == "owner" && w.rng.IntN(2) == 0 {
			i.Rank = chain.RankAdmin
		}
		return i
	case 2, 3:
		if waiting := s.Pending(w.now); len(waiting) > 0 {
			return chain.Admit{Peer: pick(w, waiting).Key}
		}
	case 4:
		return chain.Role{Key: pick(w, members).Key, Rank: chain.Rank(1 + w.rng.IntN(2))}
	case 5, 6:
		body := chain.Revoke{Keys: []keys.Public{pick(w, members).Key}}
		if open := s.Invites(w.now); len(open) > 0 && w.rng.IntN(2) == 0 {
			body.Keys = []keys.Public{pick(w, open).Key}
		}
		if w.rng.IntN(4) == 0 {
			body.Keys = []keys.Public{w.key(by)}
		}
		return body
	case 7:
		return chain.Broker{URLs: []string{w.fresh("https://b%d.example.org")}}
	case 8:
		if by == "owner" {
			return chain.Role{Key: w.key(w.fresh("owner%d")), Rank: chain.RankOwner}
		}
	}
	return nil
}

// newcomer joins by a link that is open somewhere, under its own or another's name.
func (w *world) newcomer() {
	face := pick(w, w.faces)
	open := face.r.State().Invites(w.now)
	if len(open) == 0 {
		return
	}
	name := w.fresh(pick(w, users) + "@d%d")
	link := w.names[pick(w, open).Key]
	e := w.sign(face.r, w.join(name), link, name)
	if e.IsZero() {
		return
	}
	err := face.order(w.now, e)
	w.note(face)
	w.tell("join %s by %s: place %d: %v", name, link, e.Entry.N, err)
}

// sync: a client asks its broker for what it does not have, as a real one does.
func (w *world) sync(c *holder) {
	if c == nil {
		return
	}
	from := c.r.Chain().Len()
	for range 12 {
		var p chain.Page
		if from < c.face.r.Chain().Len() {
			p = c.face.page(from, w.now)
		} else {
			p = chain.Page{Head: c.face.head(c.face.r.Chain().Len()-1, w.now).Object}
		}
		err := w.give(c, p)
		next, missing := roster.IsMissing(err, from)
		var fork *chain.ForkError
		switch {
		case missing && next != from:
			from = next
		case errors.As(err, &fork) && len(p.Entries) == 0:
			from /= 2 // was it healed since?
		default:
			return
		}
	}
	w.failf("a client and its broker find no common place")
}

// give gives a page to a client and checks all that must hold after it.
func (w *world) give(c *holder, p chain.Page) error {
	before := w.remember(c)
	change, err := c.r.Append(p, w.now)
	w.tell("page %d+%d to %q: outcome %d, %v", p.From, len(p.Entries), c.name, change.Outcome, err)
	w.judge(c, before, change, err)
	return err
}

// gossip: one client brings another what it holds, or a revocation alone.
func (w *world) gossip() {
	a, b := pick(w, w.clients), pick(w, w.clients)
	common := commonLen(a.r, b.r)
	theirs := a.r.Chain().From(common, 1<<20)
	if by := a.name; w.rng.IntN(3) == 0 { // signed, and withheld by the broker
		if by == "" {
			by = pick(w, []string{"owner", "recovery"})
		}
		e := w.force(a.r, chain.Revoke{Keys: []keys.Public{pick(w, a.r.State().Members()).Key}}, by)
		if by == "recovery" && w.rng.IntN(2) == 0 {
			e = w.force(a.r, chain.Revoke{Keys: []keys.Public{pick(w, append(a.r.State().Owners(), w.key("owner")))}}, by)
		}
		if !e.IsZero() {
			theirs = append(slices.Clone(theirs), e)
		}
	} else if w.rng.IntN(2) == 0 {
		from := w.rng.Uint64N(common) + 1
		w.give(b, chain.Page{From: from, Entries: objects(a.r.Chain().From(from, 1<<20)), Head: a.r.Chain().Head().Object})
		return
	}
	for _, e := range theirs {
		inChain := e.Entry.N < a.r.Chain().Len()
		if e.Entry.Type() == chain.TypeRevoke && (!inChain || a.r.Void(e.Entry.N) == nil) {
			_, err := b.r.Ban(e.Object, common, w.now)
			w.tell("%q bans by the revocation at place %d: %v", b.name, e.Entry.N, err)
			w.tally.bans++
			w.holds(b)
		}
	}
}

func commonLen(a, b *roster.Roster) uint64 {
	n := uint64(0)
	for {
		x, ok1 := a.Chain().Entry(n)
		y, ok2 := b.Chain().Entry(n)
		if !ok1 || !ok2 || x.Hash != y.Hash {
			return n
		}
		n++
	}
}

// restore: the broker's disk is lost, a backup takes its place. An honest broker
// counts up its life and takes back what a client brings.
func (w *world) restore() {
	face := pick(w, w.faces)
	n := face.r.Chain().Len()
	if n < 8 {
		return
	}
	back := face.copyOf(n - 1 - w.rng.Uint64N(3))
	if back.r.State().BrokerKey() != face.key.Public() {
		return // it would be another broker's again
	}
	w.lives[face.key.Public()]++
	face.r, face.life = back.r, w.lives[face.key.Public()]
	w.tally.restored++
	w.tell("a broker is restored to %d entries, life %d", face.r.Chain().Len(), face.life)
	for _, c := range w.clients {
		if c.face != face || w.rng.IntN(2) == 0 {
			continue
		}
		from := commonLen(face.r, c.r)
		if from < c.r.Chain().Len() {
			_, err := face.r.Append(chain.Page{From: from, Entries: objects(c.r.Chain().From(from, 1<<20)), Head: c.r.Chain().Head().Object}, w.now)
			w.tell("%q brings %d entries back: %v", c.name, c.r.Chain().Len()-from, err)
		}
	}
}

// steal gives the adversary a key: any but the recovery key.
func (w *world) steal() {
	s := pick(w, w.faces).r.State()
	var names []string
	for _, m := range s.Members() {
		names = append(names, w.names[m.Key])
	}
	for _, i := range s.Invites(w.now) {
		names = append(names, w.names[i.Key])
	}
	for _, key := range s.Owners() { // what matters most, most often
		names = append(names, w.names[key], w.names[key], w.names[key])
	}
	if name := pick(w, names); name != "" && !slices.Contains(w.stolen, name) {
		w.stolen = append(w.stolen, name)
		w.tell("the key of %s is stolen", name)
	}
}

// honestHeal: the owner, or the recovery key, says that what the owner's machine
// holds counts, and names an honest broker.
func (w *world) honestHeal() {
	c := w.clients[0]
	by := "owner"
	if w.rng.IntN(3) == 0 {
		by = "recovery"
	}
	w.heal(c, by)
}

// heal heals on what a client holds, at a new broker, and moves all clients there.
func (w *world) heal(c *holder, by string) *orderer {
	name := w.fresh("broker%d")
	b := &orderer{t: w.t, key: cached(name).(keys.BrokerPrivate), life: 1}
	w.key(name)
	w.lives[b.key.Public()] = 1
	var err error
	b.r, err = roster.Load(w.mesh, keys.Public{}, objects(c.r.Chain().From(0, 1<<20)), c.r.Chain().Head().Object)
	w.must(err)
	e := w.sign(b.r, chain.Heal{Broker: b.key.Public(), URLs: []string{"https://" + name + ".example.org"}}, by)
	if e.IsZero() {
		return nil
	}
	w.must(b.order(w.now, e))
	w.note(b)
	w.tell("%s heals at place %d", by, e.Entry.N)
	w.tally.healed++
	w.faces = append(w.faces, b)
	c.face = b
	w.sync(c)
	return b
}

// note remembers the highest life of a broker's key.
func (w *world) note(b *orderer) {
	w.lives[b.key.Public()] = max(w.lives[b.key.Public()], b.life)
}

// end: faults stop. The owner's machine looks at everything that honest clients
// hold, the recovery key heals on the order that counts and revokes what was stolen,
// and everybody must agree, on the state and on whom to take as members.
func (w *world) end() {
	w.tell("faults end")
	w.lying = false
	home := w.clients[0]
	for range 2 {
		for _, c := range w.clients {
			w.give(home, chain.Page{Entries: objects(c.r.Chain().From(0, 1<<20)), Head: c.r.Chain().Head().Object})
		}
	}
	b := w.heal(home, "recovery")
	if b == nil {
		w.failf("the recovery key cannot heal")
		return
	}
	w.revokeAll(b, w.stolen)
	for _, c := range w.clients {
		c.face = b
		w.sync(c)
		var out []string // whom c bans, by a revocation or for who let them in
		for _, m := range c.r.State().Members() {
			if _, banned := c.r.View().Banned(m.Key); banned {
				out = append(out, w.names[m.Key])
			}
		}
		w.revokeAll(b, out) // the admin signs bans anew
	}
	for _, c := range w.clients {
		w.sync(c)
		if c.r.State().At() != b.r.State().At() {
			w.failf("%q does not converge: at %v, the broker at %v", c.name, c.r.State().At(), b.r.State().At())
		}
		if got, want := len(c.r.View().Members()), len(b.r.State().Members()); got != want {
			w.failf("%q takes %d as members, the state has %d", c.name, got, want)
		}
	}
}

// revokeAll has the recovery key revoke what still can be.
func (w *world) revokeAll(b *orderer, names []string) {
	for _, name := range names {
		key := w.key(name)
		if b.r.State().MayRevoke(w.key("recovery"), key) != nil || name == "recovery" {
			continue
		}
		w.must(b.order(w.now, w.sign(b.r, chain.Revoke{Keys: []keys.Public{key}}, "recovery")))
	}
}
