// Package serve answers for rows over HTTP as streams score events: the same cleaning,
// transform and model, and the same reasons where a row cannot be scored. It speaks the Open
// Inference Protocol, version 2, and a plain form, rows in and answers out, as JSON, lines of
// JSON or Arrow. See DESIGN.md.
package serve
