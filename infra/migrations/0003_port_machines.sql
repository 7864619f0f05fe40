-- A published port belongs to the machine that it was published for: its hardware address (12 hex digits), the IPv4 address
-- that it had then, and the room it is in (empty: a LAN of its own, in the session's tunnel). Empty: the session's machine.
CREATE TABLE ports_of_machines (
  id TEXT PRIMARY KEY,
  sid TEXT NOT NULL,
  machine TEXT NOT NULL DEFAULT '',
  address TEXT NOT NULL DEFAULT '',
  room TEXT NOT NULL DEFAULT '',
  port INTEGER NOT NULL CHECK (port BETWEEN 1 AND 65535),
  access TEXT NOT NULL CHECK (access IN ('private', 'link', 'public')),
  published_at TEXT NOT NULL,
  UNIQUE (sid, room, machine, port)
) STRICT;
INSERT INTO ports_of_machines (id, sid, port, access, published_at)
  SELECT id, sid, port, access, published_at FROM published_ports;
DROP TABLE published_ports;
ALTER TABLE ports_of_machines RENAME TO published_ports;
