import { connect } from "cloudflare:sockets";
import type { Refused } from "./gateway/flow.ts";
import type { Pipe } from "./stream-flow.ts";

/** How many connections one object may be making at a time: the platform allows six, and DNS over HTTPS needs some. */
export const MAX_PENDING_DIALS = 4;
/** Dials that wait for their turn; more are refused at once. */
const MAX_WAITING_DIALS = 256;
const DIAL_MS = 10_000;

const timeout: Refused = {
  refusal: "timeout",
  code: "timeout",
  sentence: "It did not answer within 10 seconds.",
};
const tooMany: Refused = {
  refusal: "refused",
  code: "too-many-connections",
  sentence: "Too many connections are being opened at once.",
};

/** The sockets that one object dials: few at a time, the rest in a queue. */
export class Dialler {
  #pending = 0;
  #waiting: (() => void)[] = [];

  /** Whether a dial would start at once. */
  get isFree(): boolean {
    return this.#pending < MAX_PENDING_DIALS;
  }

  /** `address` is a literal that the policy has let through: it is not resolved again. */
  async dial(address: string, port: number): Promise<Pipe | Refused> {
    if (!this.isFree) {
      if (this.#waiting.length >= MAX_WAITING_DIALS) return tooMany;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    this.#pending++;
    try {
      return await open(address, port);
    } finally {
      this.#pending--;
      this.#waiting.shift()?.();
    }
  }
}

async function open(address: string, port: number): Promise<Pipe | Refused> {
  const hostname = address.includes(":") ? `[${address}]` : address;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<"late">((resolve) => (timer = setTimeout(() => resolve("late"), DIAL_MS)));
  try {
    const socket = connect({ hostname, port }, { allowHalfOpen: true });
    socket.closed.catch(() => {});
    if ((await Promise.race([socket.opened, late])) === "late") {
      void socket.close().catch(() => {});
      return timeout;
    }
    const close = (): void => void socket.close().catch(() => {});
    return { readable: socket.readable, writable: socket.writable, close };
  } catch (error) {
    return dialFailure(error);
  } finally {
    clearTimeout(timer ?? null);
  }
}

/**
 * The platform says one sentence for a port that refuses, a host that is away and an address that it forbids (private
 * ranges, its own addresses, port 25). A refusal is what most of them are, and what makes a client give up at once.
 */
function dialFailure(error: unknown): Refused {
  const said = error instanceof Error ? error.message : String(error);
  if (/timed? ?out/i.test(said)) return timeout;
  if (/unreachable|no route/i.test(said))
    return { refusal: "unreachable", code: "unreachable", sentence: "The host cannot be reached." };
  return {
    refusal: "refused",
    code: "refused",
    sentence: "The connection was refused, or the platform does not allow it.",
  };
}
