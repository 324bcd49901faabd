"""Profiling a table: column types, roles and leaks, and a draft of schema.yaml."""
