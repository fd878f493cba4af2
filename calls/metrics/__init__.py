"""Numbers that add up: every metric is data (catalogue), every instant belongs to one cell of a grid, every value lists what made it."""
