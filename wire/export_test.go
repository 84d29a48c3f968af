package wire

// HotScan is the hot scanner alone, for the fuzz target that compares it.
func (d *Decoder) HotScan(header []byte) (Frame, bool) { return d.hotScan(header) }

// Parse is the general parser alone.
var Parse = parse
