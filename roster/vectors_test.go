package roster_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/roster"
	"github.com/claudemesh/claudemesh-go/signed"
)

// go test ./roster -update writes the stories of these tests into
// vectors/chain/rosters.json, for other implementations.
var update = flag.Bool("update", false, "write vectors/chain/rosters.json anew")

const rostersFile = "../vectors/chain/rosters.json"

// rosterVector is a chain, what counts in it and who belongs at its end.
type rosterVector struct {
	Name    string          `json:"name"`
	Entries []signed.Object `json:"entries"`
	// Why says of each entry why it does not count, empty where it does; the words
	// are for people, only empty or not is part of the vector.
	Why     []string       `json:"why"`
	Members []vectorMember `json:"members"`
	// Waiting are the joins that wait for a yes at the time of the last entry that
	// counts.
	Waiting []vectorMember `json:"waiting"`
	Owners  []keys.Public  `json:"owners"`
	Broker  keys.Public    `json:"broker"`
}

type vectorMember struct {
	Key    keys.Public `json:"key"`
	User   string      `json:"user"`
	Device string      `json:"device"`
	Rank   chain.Rank  `json:"rank"`
}

type rosterVectors struct {
	About   string         `json:"about"`
	MadeBy  string         `json:"made_by"`
	Vectors []rosterVector `json:"vectors"`
}

// told collects the stories of a run.
var told struct {
	mu      sync.Mutex
	stories []rosterVector
}

// record keeps a story for the vectors once its test is over.
func (s *story) record() {
	s.t.Cleanup(func() {
		if s.t.Failed() || len(s.chain) > 50 {
			return
		}
		told.mu.Lock()
		defer told.mu.Unlock()
		told.stories = append(told.stories, s.vector(s.t.Name()))
	})
}

func (s *story) vector(name string) rosterVector {
	v := rosterVector{Name: name, Entries: objects(s.chain)}
	var state roster.State
	for _, e := range s.chain {
		next, void := state.Apply(e)
		why := ""
		if void != nil {
			why = void.Error()
		}
		state, v.Why = next, append(v.Why, why)
	}
	v.Members, v.Waiting, v.Owners, v.Broker = ends(state)
	return v
}

func ends(s roster.State) (members, waiting []vectorMember, owners []keys.Public, broker keys.Public) {
	members, waiting = []vectorMember{}, []vectorMember{}
	for _, m := range s.Members() {
		members = append(members, vectorMember{m.Key, m.User, m.Device, m.Rank})
	}
	for _, p := range s.Pending(0) {
		waiting = append(waiting, vectorMember{p.Key, p.User, p.Device, p.Rank})
	}
	return members, waiting, s.Owners(), s.BrokerKey()
}

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if code == 0 && *update {
		if err := writeVectors(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func writeVectors() error {
	told.stories = longest(told.stories)
	if len(told.stories) < 20 {
		return fmt.Errorf("%d stories only: run all tests to write the vectors", len(told.stories))
	}
	slices.SortStableFunc(told.stories, func(a, b rosterVector) int { return cmp.Compare(a.Name, b.Name) })
	seen := map[string]int{}
	for i := range told.stories { // a test may tell several
		name := told.stories[i].Name
		if seen[name]++; seen[name] > 1 {
			told.stories[i].Name = fmt.Sprintf("%s#%d", name, seen[name])
		}
	}
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	err := encoder.Encode(rosterVectors{
		About:   "Chains from their genesis on: which entries count, and who belongs at the end. Every entry stands under a head of the broker; none stops the reader.",
		MadeBy:  "the tests of package roster (go test ./roster -update)",
		Vectors: told.stories,
	})
	if err != nil {
		return err
	}
	return os.WriteFile(rostersFile, buffer.Bytes(), 0o644)
}

// longest leaves out the stories with which others begin.
func longest(all []rosterVector) []rosterVector {
	slices.SortStableFunc(all, func(a, b rosterVector) int { return len(b.Entries) - len(a.Entries) })
	var kept []rosterVector
	for _, v := range all {
		n := len(v.Entries)
		if !slices.ContainsFunc(kept, func(k rosterVector) bool { return bytes.Equal(k.Entries[n-1].Bytes, v.Entries[n-1].Bytes) }) {
			kept = append(kept, v)
		}
	}
	return kept
}

func TestRosterVectors(t *testing.T) {
	if *update {
		return // they are written when all tests have passed
	}
	data, err := os.ReadFile(rostersFile)
	if err != nil {
		t.Fatal(err)
	}
	var file rosterVectors
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Vectors) < 20 {
		t.Fatalf("%d vectors", len(file.Vectors))
	}
	for _, v := range file.Vectors {
		var state roster.State
		for i, o := range v.Entries {
			e, err := chain.Read(o)
			if err != nil {
				t.Fatalf("%s: entry %d: %v", v.Name, i, err)
			}
			next, void := state.Apply(e)
			if next.Next() != uint64(i)+1 || (void == nil) != (v.Why[i] == "") {
				t.Errorf("%s: entry %d: %v, want %q", v.Name, i, void, v.Why[i])
			}
			state = next
		}
		members, waiting, owners, broker := ends(state)
		if !slices.Equal(members, v.Members) || !slices.Equal(waiting, v.Waiting) || !slices.Equal(owners, v.Owners) || broker != v.Broker {
			t.Errorf("%s: ends with %v, %v, %v", v.Name, members, waiting, owners)
		}
	}
}
