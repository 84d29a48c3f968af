package wire

// AddressKind says which form an address has [CM-2.16].
type AddressKind uint8

// Forms of an address.
const (
	AddressUser    AddressKind = iota + 1 // user[@device][/label]
	AddressLabel                          // /label: own sessions
	AddressTag                            // @tag
	AddressChannel                        // #channel
	AddressAll                            // *
	AddressKey                            // key-… or a unique prefix of it
)

// Address is a parsed address: [mesh:]target. Names are slugs, lower-cased.
// Whom it means is the resolver's to say, in package peer.
type Address struct {
	Mesh   string // mesh alias, "" if none was given
	Kind   AddressKind
	User   string // AddressUser
	Device string // AddressUser, optional
	Label  string // AddressUser (optional), AddressLabel
	Name   string // tag or channel without its sign
	Key    string // AddressKey: "key-" and 8 to 52 base32 characters, lower-case
}

// ParseAddress parses an address typed in any case. Errors are *AddressError.
func ParseAddress(text string) (Address, error) { return parseAddress(text) }

// AddressError says what is wrong with an address and what would be right.
type AddressError struct {
	Text   string // as typed, at most 80 bytes of it, quoted safely
	Reason string // one sentence
}

// Error gives one sentence.
func (e *AddressError) Error() string { return "address " + e.Text + ": " + e.Reason }
