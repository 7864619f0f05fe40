-- Published ports: which session's machine answers on which id, and who may come in. `sid` names a session, it is no credential.
CREATE TABLE published_ports (
  id TEXT PRIMARY KEY,
  sid TEXT NOT NULL,
  port INTEGER NOT NULL CHECK (port BETWEEN 1 AND 65535),
  access TEXT NOT NULL CHECK (access IN ('private', 'link', 'public')),
  published_at TEXT NOT NULL,
  UNIQUE (sid, port)
) STRICT;
