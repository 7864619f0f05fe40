import type { PublishedPort } from "#protocol/published-port.ts";
import { limits } from "./limits.ts";

/** A row of `published_ports` (infra/migrations/0003_port_machines.sql). */
export interface PortRow {
  readonly id: string;
  readonly sid: string;
  /** 12 hex digits, an IPv4 address, the id of a room; each may be empty. */
  readonly machine: string;
  readonly address: string;
  readonly room: string;
  readonly port: number;
  readonly access: PublishedPort["access"];
}

const COLUMNS = "id, sid, machine, address, room, port, access";

/** The object in which the port's machine is. */
export const placeOfPort = (env: Env, { room, sid }: PortRow) =>
  room === "" ? env.TUNNEL.getByName(sid) : env.LAN.getByName(room);

export async function findPort(db: D1Database, id: string): Promise<PortRow | null> {
  return db.prepare(`SELECT ${COLUMNS} FROM published_ports WHERE id = ?`).bind(id).first<PortRow>();
}

export async function portsOf(db: D1Database, sid: string): Promise<PortRow[]> {
  const query = `SELECT ${COLUMNS} FROM published_ports WHERE sid = ? ORDER BY published_at LIMIT ?`;
  return (await db.prepare(query).bind(sid, limits.portsPerSession).all<PortRow>()).results;
}

/** A port that is published already keeps its id and gets the new access. Null: the session has as many as it may. */
export async function savePort(db: D1Database, row: PortRow): Promise<PortRow | null> {
  const insert = `INSERT INTO published_ports (id, sid, port, access, published_at, machine, address, room)
    SELECT ?1, ?2, ?3, ?4, ?5, ?7, ?8, ?9
    WHERE (SELECT count(*) FROM published_ports
      WHERE sid = ?2 AND NOT (port = ?3 AND machine = ?7 AND room = ?9)) < ?6
    ON CONFLICT (sid, room, machine, port) DO UPDATE SET access = ?4, address = ?8
    RETURNING ${COLUMNS}`;
  const { id, sid, port, access, machine, address, room } = row;
  const now = new Date().toISOString();
  return db
    .prepare(insert)
    .bind(id, sid, port, access, now, limits.portsPerSession, machine, address, room)
    .first<PortRow>();
}

/** What was published; null: there is no such port of this session. */
export async function deletePort(db: D1Database, sid: string, id: string): Promise<PortRow | null> {
  return db
    .prepare(`DELETE FROM published_ports WHERE id = ? AND sid = ? RETURNING ${COLUMNS}`)
    .bind(id, sid)
    .first<PortRow>();
}
