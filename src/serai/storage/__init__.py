"""What remembers: the log in SQLite, tiles and blobs as files, keys in a private folder."""
