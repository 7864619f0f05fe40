/**
 * RFC 9293 §3.3.2, figure 5, as data. A pair that is not here is a bug, not a case. `Dialling` is ours: a SYN of the guest
 * that waits for the world's answer before it is answered itself (between LISTEN and SYN-RECEIVED).
 */
export const transitions = {
  Dialling: { accept: "SynReceived", rst: "Closed" },
  SynSent: { synAck: "Established", syn: "SynReceived", rst: "Closed", close: "Closed" },
  SynReceived: { ackOfSyn: "Established", rst: "Closed", close: "FinWait1", fin: "CloseWait" },
  Established: { fin: "CloseWait", close: "FinWait1", rst: "Closed" },
  FinWait1: { ackOfFin: "FinWait2", fin: "Closing", rst: "Closed" },
  FinWait2: { fin: "TimeWait", rst: "Closed" },
  Closing: { ackOfFin: "TimeWait", rst: "Closed" },
  CloseWait: { close: "LastAck", rst: "Closed" },
  LastAck: { ackOfFin: "Closed", rst: "Closed" },
  TimeWait: { timeout: "Closed", rst: "Closed" },
  Closed: {},
} as const satisfies Record<string, Readonly<Record<string, string>>>;

export type State = keyof typeof transitions;
export type Event =
  | "accept"
  | "syn"
  | "synAck"
  | "ackOfSyn"
  | "fin"
  | "ackOfFin"
  | "close"
  | "rst"
  | "timeout";

/** The state after an event. Throws for a pair that the diagram does not have: a bug of ours. */
export function next(state: State, event: Event): State {
  const after = (transitions[state] as Readonly<Record<string, State>>)[event];
  if (after === undefined) throw new Error(`TCP has no way from ${state} by ${event}`);
  return after;
}

/** States in which the guest may still send, and in which we may. */
export const mayReceive = (state: State): boolean =>
  state === "SynReceived" || state === "Established" || state === "FinWait1" || state === "FinWait2";
export const maySend = (state: State): boolean => state === "Established" || state === "CloseWait";
/** The guest's SYN has been acknowledged by ours and ours by it. */
export const isSynchronized = (state: State): boolean =>
  state !== "Dialling" && state !== "SynSent" && state !== "SynReceived" && state !== "Closed";
