package report

import (
	"encoding/json"
	"io"

	"roost/bench"
)

// JSON writes the result as one indented object. Field names carry their
// units: _us, _seconds, _bytes, _per_second.
func JSON(w io.Writer, r *bench.Result) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}
