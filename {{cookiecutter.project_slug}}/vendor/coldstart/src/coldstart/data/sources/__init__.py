"""Importing tables from files, addresses, buckets, databases and APIs into `data/raw`."""
