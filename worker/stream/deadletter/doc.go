// Package deadletter is for the events that could not be scored: listing and
// selecting them, delivering them to a topic, and replaying them, beside the live
// stream, with a newer version. Each that can be scored then becomes one row,
// whoever replays at the same time.
package deadletter
