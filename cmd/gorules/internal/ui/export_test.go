package ui

// Refresh draws the status now, as the ticker does.
func (c *Console) Refresh() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refresh()
}
