package table

import (
	"errors"
	"fmt"
)

// RowError is what is wrong with one row.
type RowError struct {
	What string // "column v", "label late"
	Row  int64  // its value in RowColumn, or from PlaceError on its number in the object
	Err  error
}

func (e *RowError) Error() string { return fmt.Sprintf("%s, row %d: %v", e.What, e.Row, e.Err) }

// errHidden stands for what is wrong with a row whose values are not shown.
var errHidden = errors.New("its value does not fit, and is not shown since the pipeline's rows are private")

// HideValue takes what is wrong with a row out of an error about it, since that tells the
// value: which row it is stays.
func HideValue(err error) {
	if bad := new(RowError); errors.As(err, &bad) {
		bad.Err = errHidden
	}
}

// Unwrap returns the cause.
func (e *RowError) Unwrap() error { return e.Err }

// NoRowGroup is the row group of an object that has none.
const NoRowGroup = -1

// Place is where a batch was read: the row group of an object, and the row of the
// object that it begins with. The zero Place is none.
type Place struct {
	Object   string
	RowGroup int
	Row      int64
}

// PlaceError is what is wrong with rows of a batch, and where they are.
type PlaceError struct {
	Place
	Err error
}

func (e *PlaceError) Error() string {
	if e.RowGroup == NoRowGroup {
		return fmt.Sprintf("object %s: %v", e.Object, e.Err)
	}
	return fmt.Sprintf("object %s, row group %d: %v", e.Object, e.RowGroup, e.Err)
}

// Unwrap returns the cause.
func (e *PlaceError) Unwrap() error { return e.Err }

// Of returns an error about the batch read there, whose RowColumn counts from
// first on, as a *PlaceError. A row that it names becomes that of the object.
func (p Place) Of(err error, first int64) error {
	if err == nil || p == (Place{}) {
		return err
	}
	var bad *RowError
	if errors.As(err, &bad) {
		bad.Row += p.Row - first
	}
	return &PlaceError{p, err}
}
