//go:build system

package e2e

// inbox takes all that waits.
func (p *person) inbox(args ...string) []letter {
	p.t.Helper()
	r := p.do(append([]string{"inbox", "--json"}, args...)...)
	return decode[[]letter](p.t, r.out)
}

// letter is an element of `inbox --json`.
type letter struct {
	ID     string `json:"id"`
	Mesh   string `json:"mesh"`
	From   string `json:"from"`
	Body   string `json:"body"`
	SentAt string `json:"sent_at"`
	Kind   string `json:"kind"`
}

// status is the object of `send --json`.
type status struct {
	ID    string `json:"id"`
	State string `json:"state"`
}
