package secure

// recordHeader is the length of a record's header (RFC 8446 section 5.1).
const recordHeader = 5

// record is a place in a stream of records. It keeps a reader from going beyond the record
// that it is in: crypto/tls reads ahead what it can get, and of what it has
// got only the data comes out again.
type record struct {
	header [recordHeader]byte
	got    int // bytes of header
	left   int // bytes of the record, once the header is there
}

// most is how many of n bytes may be read next.
func (r *record) most(n int) int {
	if r.got < recordHeader {
		return min(n, recordHeader-r.got)
	}
	return min(n, r.left)
}

// read is told what was read. It reports the end of a record.
func (r *record) read(b []byte) (end bool) {
	if r.got < recordHeader {
		if r.got += copy(r.header[r.got:], b); r.got == recordHeader {
			r.left = int(r.header[3])<<8 | int(r.header[4])
		}
	} else {
		r.left -= len(b)
	}
	if r.got < recordHeader || r.left > 0 {
		return false
	}
	*r = record{}
	return true
}

// begun reports whether some of a record was read.
func (r *record) begun() bool { return r.got > 0 }
