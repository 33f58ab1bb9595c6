package event

import "context"

// The formats of events, as format.type spells them.
const (
	JSON = "json"
	CSV  = "csv"
	Avro = "avro"
)

// format reads events of one encoding into cells. It is made for one Decoder.
type format interface {
	// state returns the cells that read fills.
	state() *cells
	// prepare gets what the events of a run need from elsewhere. Its error ends
	// the run before any event is read.
	prepare(ctx context.Context, e *Events) error
	// read reads one event into the cells. It returns false if the event is no
	// row whatever the columns want; failure then says why, until the next read.
	// Values that are not of their column's type are held against the cell.
	read(b []byte) bool
	// failure returns the reason and the cause of the reject.
	failure() (reason, cause string)
}

// formats makes each format from the cells that it fills, whose cfg holds the
// options. To add a format is a file with an implementation and a line here.
var formats = map[string]func(*cells) (format, error){
	JSON: newJSON,
	CSV:  newCSV,
	Avro: newAvro,
}
