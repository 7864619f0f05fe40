import type { PublishedPort } from "#protocol/published-port.ts";
import { limits } from "./limits.ts";

/** A row of `published_ports` (infra/migrations/0002_ports.sql). */
export interface PortRow {
  readonly id: string;
  readonly sid: string;
  readonly port: number;
  readonly access: PublishedPort["access"];
}

export async function findPort(db: D1Database, id: string): Promise<PortRow | null> {
  return db
    .prepare("SELECT id, sid, port, access FROM published_ports WHERE id = ?")
    .bind(id)
    .first<PortRow>();
}

export async function portsOf(db: D1Database, sid: string): Promise<PortRow[]> {
  const query =
    "SELECT id, sid, port, access FROM published_ports WHERE sid = ? ORDER BY published_at LIMIT ?";
  return (await db.prepare(query).bind(sid, limits.portsPerSession).all<PortRow>()).results;
}

/** A port that is published already keeps its id and gets the new access. Null: the session has as many as it may. */
export async function savePort(db: D1Database, row: PortRow): Promise<PortRow | null> {
  const insert = `INSERT INTO published_ports (id, sid, port, access, published_at)
    SELECT ?1, ?2, ?3, ?4, ?5
    WHERE (SELECT count(*) FROM published_ports WHERE sid = ?2 AND port <> ?3) < ?6
    ON CONFLICT (sid, port) DO UPDATE SET access = ?4
    RETURNING id, sid, port, access`;
  const { id, sid, port, access } = row;
  const now = new Date().toISOString();
  return db.prepare(insert).bind(id, sid, port, access, now, limits.portsPerSession).first<PortRow>();
}

/** False: there is no such port of this session. */
export async function deletePort(db: D1Database, sid: string, id: string): Promise<boolean> {
  const { meta } = await db
    .prepare("DELETE FROM published_ports WHERE id = ? AND sid = ?")
    .bind(id, sid)
    .run();
  return meta.changes > 0;
}
