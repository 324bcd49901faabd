"""Data: brings sources in, and finds out what is in them."""
