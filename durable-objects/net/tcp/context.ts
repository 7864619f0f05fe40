import type { IpOutput } from "../ip-output.ts";
import type { FlowId, HeldTogether, StackConfig, World } from "../world.ts";
import type { Connection } from "./connection.ts";
import type { Deadlines } from "./deadlines.ts";
import { limits } from "./limits.ts";
import type { ConnectionTable } from "./table.ts";

/** What every function of this folder is given beside its connection. `now` is the time of the call from outside. */
export interface TcpContext {
  readonly world: World;
  readonly config: StackConfig;
  readonly ip: IpOutput;
  readonly table: ConnectionTable;
  readonly deadlines: Deadlines;
  /** Connections that are over for the guest while the host still writes what it sent. */
  readonly endings: Map<FlowId, Connection>;
  now: number;
  /** Payload that is held for the world and out of order, over all flows. */
  receiveHeld: number;
  /** Payload that waits to be acknowledged by guests, over all flows. */
  sendHeld: number;
  /** The same of all stacks in this place. */
  held: HeldTogether;
}

/** Every change of what a stack holds, in bytes more. */
export function holdForGuest(t: TcpContext, bytes: number): void {
  t.sendHeld += bytes;
  t.held.send += bytes;
}
export function holdForWorld(t: TcpContext, bytes: number): void {
  t.receiveHeld += bytes;
  t.held.receive += bytes;
}

type Timer = "rexmitAt" | "persistAt" | "delayedAckAt" | "keepAliveAt" | "endAt";

export function arm(t: TcpContext, c: Connection, timer: Timer, at: number): void {
  c[timer] = at;
  if (at < c.heapAt) t.deadlines.note(c, at);
}

const share = (all: number, most: number, flows: number): number =>
  Math.min(most, Math.max(limits.leastFlowBytes, Math.floor(all / Math.max(1, flows))));

/** Bytes that a flow may hold for sending, as many flows as there are. */
export const sendShare = (t: TcpContext): number =>
  t.held.send < limits.stackSendBytes
    ? share(limits.stackSendBytes, t.config.sendBufferBytes, t.table.active)
    : Math.min(limits.leastFlowBytes, t.config.sendBufferBytes);

/** How far a flow's window may open. */
export const receiveShare = (t: TcpContext): number =>
  share(limits.stackReceiveBytes, t.config.receiveBufferBytes, t.table.active);
