"""Reading a table from a file, however it is written."""
