"""Components of a user's own project: one module for each kind."""
