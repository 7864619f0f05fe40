/**
 * RFC 9293 §3.3.2, Figure 5, seen from the stack. LISTEN is no state of a connection here: every address of the world
 * listens. What Figure 5 does between LISTEN and SYN-RECEIVED waits in `Dialing` until the world has answered. A pair
 * that is not here is a bug, not a case.
 */
export const transitions = {
  Closed: { syn: "Dialing", activeOpen: "SynSent" },
  Dialing: { dialed: "SynReceived", rst: "Closed" },
  SynSent: { synAck: "Established", syn: "SynReceived", rst: "Closed" },
  SynReceived: { ackOfSyn: "Established", rst: "Closed" },
  Established: { fin: "CloseWait", close: "FinWait1", rst: "Closed" },
  FinWait1: { ackOfFin: "FinWait2", fin: "Closing", rst: "Closed" },
  FinWait2: { fin: "TimeWait", rst: "Closed" },
  CloseWait: { close: "LastAck", rst: "Closed" },
  Closing: { ackOfFin: "TimeWait", rst: "Closed" },
  LastAck: { ackOfFin: "Closed", rst: "Closed" },
  TimeWait: { twoMslElapsed: "Closed", rst: "Closed" },
} as const satisfies Record<string, Record<string, string>>;

export type State = keyof typeof transitions;
type Row<S extends State> = (typeof transitions)[S];
export type Event = { [S in State]: keyof Row<S> }[State];

/** `rst` stands for every end without ceremony: a reset of either side, a time-out, a refusal. */
export function next(state: State, event: Event): State {
  const to = (transitions[state] as Partial<Record<Event, State>>)[event];
  if (!to) throw new Error(`TCP: ${event} cannot happen in ${state}`);
  return to;
}

/** What a state allows: to take the guest's text, to send our own, and whether both sides know each other's ISS. */
const may = (text: boolean, send: boolean, synchronized: boolean) => ({ text, send, synchronized });
export const abilities: { readonly [S in State]: ReturnType<typeof may> } = {
  Closed: may(false, false, false),
  Dialing: may(false, false, false),
  SynSent: may(false, false, false),
  SynReceived: may(false, false, true),
  Established: may(true, true, true),
  FinWait1: may(true, true, true),
  FinWait2: may(true, false, true),
  CloseWait: may(false, true, true),
  Closing: may(false, true, true),
  LastAck: may(false, true, true),
  TimeWait: may(false, false, true),
};
