"""Monitoring: what is served now, beside what the model was fitted on."""
