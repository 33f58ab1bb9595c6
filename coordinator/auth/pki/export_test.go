package pki

import "time"

// SetClock gives credentials another clock.
func SetClock(c *Credentials, now func() time.Time) { c.now = now }
