"""Data: brings a person's own data in, finds out what it is, and drafts the contract."""
