package s2

import "time"

// ShortSleep is how short a wait without a session must be for the reader to be more patient before the next wait.
func ShortSleep(d time.Duration) Option { return func(c *config) { c.shortSleep = d } }

// Readers returns how many readers keep the connections of read sessions.
func (c *Client) Readers() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.readers
}
