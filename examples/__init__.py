"""Short scripts that use frozen graphs: one for each model, see README.md."""
