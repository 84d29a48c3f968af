package roster_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/roster"
)

// A story draws a chain as text. Each line is one entry, "SIGNER VERB …", and says
// at its end what becomes of it: nothing where it counts, "-> REASON" where it does
// not. Lines that begin with "=" look at the state. Everybody's key is made of the
// name; the genesis is there already.
//
//	owner        invite i0 rank=admin uses=1
//	i0           join alice@laptop
//	alice@laptop invite i1
//	i1           join bob@desk
//	bob@desk     invite i2                     -> not entitled
//	wait 8d
//	= members alice@laptop:admin bob@desk:member
type story struct {
	t      *testing.T
	now    int64
	state  roster.State
	chain  []chain.Signed
	names  map[keys.Public]string
	number int
}

const (
	start  = int64(1_795_000_000_000)
	second = int64(time.Second / time.Millisecond)
	day    = 24 * 3600 * second
)

// reasons are the words for why an entry does not count.
var reasons = map[string]error{
	"not entitled":   roster.ErrNotEntitled,
	"key used":       roster.ErrKeyUsed,
	"unknown key":    roster.ErrUnknownKey,
	"revoked":        roster.ErrRevoked,
	"pending":        roster.ErrPending,
	"already":        roster.ErrAlready,
	"name taken":     roster.ErrNameTaken,
	"lapsed":         roster.ErrLapsed,
	"cap":            roster.ErrCap,
	"too early":      roster.ErrTime,
	"invite revoked": roster.ErrInviteRevoked,
	"invite used":    roster.ErrInviteUsed,
	"invite expired": roster.ErrInviteExpired,
	"invite maker":   roster.ErrInviteMaker,
	"invite other":   roster.ErrInviteOther,
}

// secret makes the key that a name stands for.
func secret(name string) keys.Signer {
	seed := sha256.Sum256([]byte("key of " + name))
	var s keys.Signer
	var err error
	switch {
	case strings.HasPrefix(name, "owner"), name == "recovery":
		s, err = keys.OwnerPrivateFromSeed(seed[:])
	case strings.HasPrefix(name, "broker"):
		s, err = keys.BrokerPrivateFromSeed(seed[:])
	case strings.Contains(name, "@"):
		s, err = keys.PeerPrivateFromSeed(seed[:])
	default:
		s, err = keys.InvitePrivateFromSeed(seed[:])
	}
	if err != nil {
		panic(err)
	}
	return s
}

func public(name string) keys.Public { return secret(name).Public() }

// genesis is the first entry of every story.
func genesis(t testing.TB) chain.Signed {
	t.Helper()
	e, err := newGenesis()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func newGenesis() (chain.Signed, error) {
	return chain.NewGenesis(start, secret("owner"), chain.Genesis{
		Name: "acme", Recovery: public("recovery"), Broker: public("broker"),
		URLs: []string{"https://mesh.example.org"},
	}, strings.NewReader("sixteen bytes..."))
}

// tell runs a story.
func tell(t *testing.T, lines string) *story {
	t.Helper()
	s := &story{t: t, now: start, names: map[keys.Public]string{}}
	for _, name := range []string{"owner", "recovery", "broker"} {
		s.name(name)
	}
	s.record()
	s.append(genesis(t))
	s.goOn(lines)
	return s
}

// goOn runs further lines.
func (s *story) goOn(lines string) {
	s.t.Helper()
	for line := range strings.Lines(lines) {
		s.number++
		line, _, _ = strings.Cut(line, "#")
		line, reason, _ := strings.Cut(line, "->")
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case words[0] == "wait":
			s.now += s.duration(words[1])
		case words[0] == "=":
			s.look(words[1], words[2:])
		default:
			s.now += second
			s.say(words, strings.TrimSpace(reason))
		}
	}
}

func (s *story) fail(format string, args ...any) {
	s.t.Helper()
	s.t.Errorf("line %d: %s", s.number, fmt.Sprintf(format, args...))
}

func (s *story) duration(text string) int64 {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil {
			s.t.Fatal(err)
		}
		return int64(n) * day
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return d.Milliseconds()
}

func (s *story) name(name string) keys.Public {
	key := public(name)
	s.names[key] = name
	return key
}

// say appends one entry.
func (s *story) say(words []string, reason string) {
	s.t.Helper()
	signer, verb, args := secret(words[0]), words[1], words[2:]
	s.name(words[0])
	signers := []keys.Signer{signer}
	body, peer := s.body(verb, args)
	if peer != nil {
		signers = append(signers, peer)
	}
	draft := s.state.Draft(s.now, signer.Public(), body)
	for _, arg := range args {
		if back, ok := strings.CutPrefix(arg, "back="); ok {
			draft.Time = s.state.Time() - s.duration(back)
		}
	}
	e, err := chain.Make(draft, signers...)
	if err != nil {
		s.t.Fatalf("line %d: %v", s.number, err)
	}
	want, known := reasons[reason]
	if reason != "" && !known {
		s.t.Fatalf("line %d: no reason %q", s.number, reason)
	}
	if got := s.state.Check(e); !errors.Is(got, want) || want == nil && got != nil {
		s.fail("%v: %v, want %v", words, got, want)
	}
	s.append(e)
}

func (s *story) append(e chain.Signed) {
	s.t.Helper()
	next, _ := s.state.Apply(e)
	if next.Next() != s.state.Next()+1 || next.Tip() != e.Hash {
		s.t.Fatalf("line %d: the entry has no place", s.number)
	}
	s.state, s.chain = next, append(s.chain, e)
}

// body reads what an entry says. peer signs it too where it is a join.
func (s *story) body(verb string, args []string) (body chain.Body, peer keys.Signer) {
	option := func(name, standard string) string {
		for _, arg := range args {
			if value, ok := strings.CutPrefix(arg, name+"="); ok {
				return value
			}
		}
		return standard
	}
	number := func(name, standard string) int64 {
		n, err := strconv.ParseInt(option(name, standard), 10, 64)
		if err != nil {
			s.t.Fatalf("line %d: %v", s.number, err)
		}
		return n
	}
	switch verb {
	case "broker":
		return chain.Broker{URLs: args}, nil
	case "role":
		return chain.Role{Key: s.name(args[0]), Rank: rankOf(args[1])}, nil
	case "invite":
		invite := chain.Invite{
			Key: s.name(args[0]), Rank: rankOf(option("rank", "member")), User: option("user", ""),
			Expires: s.now + s.duration(option("for", "24h")), Uses: number("uses", "10"),
			Approve: slices.Contains(args, "approve"),
		}
		for kind := range strings.SplitSeq(option("kinds", "agent"), ",") {
			invite.Kinds = append(invite.Kinds, chain.Kind(kind))
		}
		return invite, nil
	case "join":
		user, device, _ := strings.Cut(args[0], "@")
		key := option("key", args[0])
		s.name(key)
		return chain.Join{User: user, Device: device, Peer: public(key), Kind: chain.Kind(option("kind", "agent"))}, secret(key)
	case "admit":
		return chain.Admit{Peer: public(args[0])}, nil
	case "revoke":
		var revoke chain.Revoke
		for _, name := range args {
			revoke.Keys = append(revoke.Keys, public(name))
		}
		return revoke, nil
	case "heal":
		return chain.Heal{Broker: s.name(args[0]), URLs: []string{"https://" + args[0] + ".example.org"}}, nil
	}
	s.t.Fatalf("line %d: no verb %q", s.number, verb)
	return nil, nil
}

func rankOf(text string) chain.Rank {
	for rank := chain.RankNone; rank <= chain.RankRecovery; rank++ {
		if rank.String() == text {
			return rank
		}
	}
	return chain.RankNone
}

// look compares something of the state with what the line says.
func (s *story) look(what string, want []string) {
	s.t.Helper()
	got := []string{}
	switch what {
	case "members":
		for _, m := range s.state.Members() {
			got = append(got, fmt.Sprintf("%s:%v", m.Address(), m.Rank))
		}
	case "pending":
		for _, p := range s.state.Pending(s.now) {
			word := s.names[p.Key]
			if p.NeedsUser {
				word += "+user"
			}
			if p.NeedsAdmin {
				word += "+admin"
			}
			got = append(got, word)
		}
	case "open":
		for _, i := range s.state.Invites(s.now) {
			got = append(got, fmt.Sprintf("%s:%d", s.names[i.Key], i.Left))
		}
	case "owners":
		for _, key := range s.state.Owners() {
			got = append(got, s.names[key])
		}
	case "urls":
		got = s.state.URLs()
	case "broker":
		got = append(got, s.names[s.state.BrokerKey()])
	default:
		s.t.Fatalf("line %d: nothing called %q", s.number, what)
	}
	if !slices.Equal(got, want) {
		s.fail("%s: %v, want %v", what, got, want)
	}
}
