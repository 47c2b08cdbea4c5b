package durablestreams

import "time"

// CanTellIdle says whether appends go over links on this system.
const CanTellIdle = canTellIdle

// SetTimeout changes the option Timeout, for a session that is open and idle.
func (c *Client) SetTimeout(d time.Duration) { c.config.timeout = d }
