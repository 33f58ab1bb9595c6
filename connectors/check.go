package connectors

import "fmt"

// CheckFrom returns what is wrong with r as the answer to a Fetch from an
// offset, nil if nothing is: no record lies before the offset, each lies after
// the one before it, and Next lies after them all. A reader that took other
// records for new ones would count them twice.
func (r *Records) CheckFrom(offset int64) error {
	next := offset
	for _, at := range r.Offsets {
		if at < next {
			return fmt.Errorf("asked for records from offset %d on, got one of offset %d where %d was the least", offset, at, next)
		}
		next = at + 1
	}
	if r.Next < next {
		return fmt.Errorf("asked for records from offset %d on, got some up to %d and was told to go on at %d", offset, next, r.Next)
	}
	return nil
}
