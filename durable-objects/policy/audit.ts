import type { EgressKind, Profile, RefusalCode } from "#protocol/tunnel-notices.ts";

/** One line of the operator's log per flow, written when it ends or is refused. It says who reached what, never content. */
export interface AuditRecord {
  /** Milliseconds since 1970. */
  readonly atMs: number;
  readonly session: string;
  readonly account?: string;
  /** The visitor's address as the edge saw it. */
  readonly visitor?: string;
  readonly profile: Profile;
  /** `l2`, `tcp`, `tcp-mux`, `wisp`, `port` … */
  readonly by: string;
  /** Absent: TCP. */
  readonly protocol?: "udp";
  readonly name?: string;
  readonly address?: string;
  readonly port: number;
  readonly via: EgressKind;
  readonly outcome: "done" | "reset" | "timeout" | RefusalCode;
  /** From the guest and to the guest, payload. */
  readonly sentBytes: number;
  readonly receivedBytes: number;
  readonly durationMs: number;
  /** Refusals before this line that were too many to be written. */
  readonly unwritten?: number;
}

/** JSON in one line, marked so that a log can be searched for it. Names come from guests: they are cut. */
export const auditLine = (record: AuditRecord): string =>
  JSON.stringify({
    audit: "flow",
    ...record,
    at: new Date(record.atMs).toISOString(),
    ...(record.name !== undefined && { name: record.name.slice(0, 253) }),
  });
