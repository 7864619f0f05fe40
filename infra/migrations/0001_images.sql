-- The catalogue. `definition` and `raw_*` are what a machine is made from; bytes live in the object store.
CREATE TABLE images (
  id TEXT PRIMARY KEY,
  slug TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  description TEXT NOT NULL DEFAULT '',
  state TEXT NOT NULL CHECK (state IN ('ready', 'building')),
  size_bytes INTEGER NOT NULL,
  stored_bytes INTEGER NOT NULL,
  definition TEXT,
  updated_at TEXT NOT NULL
) STRICT;
