"""Reading tables: text, Parquet, Excel and JSON files, and archives of these, to a raw table."""
