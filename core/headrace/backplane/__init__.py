"""What gives entries their place in the one total order: a counter here, a shared log elsewhere."""
