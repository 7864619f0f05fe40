-- The catalogue: one row per image; `definition` is a MachineDefinition in JSON. Bytes live in the object store.
CREATE TABLE images (
  id TEXT PRIMARY KEY,
  slug TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  description TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('ready', 'building')),
  size_bytes INTEGER NOT NULL,
  stored_bytes INTEGER NOT NULL,
  definition TEXT,
  updated_at TEXT NOT NULL
) STRICT;

-- Raw disks that an image of the catalogue names: anyone may ask for a signed URL to them.
CREATE TABLE shared_raw_disks (
  raw_id TEXT NOT NULL,
  slug TEXT NOT NULL REFERENCES images (slug) ON DELETE CASCADE,
  PRIMARY KEY (raw_id, slug)
) STRICT, WITHOUT ROWID;
