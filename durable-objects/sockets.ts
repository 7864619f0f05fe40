import { connect } from "cloudflare:sockets";
import { DialQueue, type DialTurn } from "./gateway/dial-queue.ts";
import type { Refused } from "./gateway/flow.ts";
import type { Pipe } from "./stream-flow.ts";

/** How many connections one object may be making at a time: the platform allows six, and DNS over HTTPS needs some. */
export const MAX_PENDING_DIALS = 4;
/** Dials that wait for their turn; more are refused at once. */
const MAX_WAITING_DIALS = 1024;
const DIAL_MS = 10_000;

const timeout: Refused = {
  refusal: "timeout",
  code: "timeout",
  sentence: "It did not answer within 10 seconds.",
};
/** Nobody hears it. */
export const forgotten: Refused = {
  refusal: "unreachable",
  code: "failed",
  sentence: "The connection was given up.",
};
export const tooMany: Refused = {
  refusal: "refused",
  code: "too-many-connections",
  sentence: "Too many connections are being opened at once.",
};

interface DialWish {
  /** Whose dial it is; callers take turns. */
  readonly caller?: string;
  /** Nobody wants the connection any more. */
  readonly unwanted?: AbortSignal;
  /** How long it waits for its turn before it is one too many; undefined: until it comes. */
  readonly patienceMs?: number | undefined;
}

/** The sockets that one object dials: few at a time, the rest in a queue. */
export class Dialler {
  readonly #queue: DialQueue;

  /** `isShared`: for several callers, of whom none may keep the others waiting. */
  constructor(isShared = false) {
    this.#queue = new DialQueue(MAX_PENDING_DIALS, MAX_WAITING_DIALS, isShared);
  }

  /** For `/metrics` and tests. */
  get load(): { readonly pending: number; readonly waiting: number } {
    return { pending: this.#queue.runningCount, waiting: this.#queue.waitingCount };
  }

  /**
   * `address` is a literal that the policy has let through: it is not resolved again. A dial that is `unwanted` before its
   * turn never begins.
   */
  async dial(address: string, port: number, wish: DialWish): Promise<Pipe | Refused> {
    const { caller = "", unwanted, patienceMs } = wish;
    const turn = await turnOf(this.#queue, caller, unwanted, patienceMs);
    if (turn === null) return tooMany;
    try {
      return unwanted?.aborted ? forgotten : await open(address, port);
    } finally {
      turn.leave();
    }
  }
}

/**
 * Waits for the turn; null: too many wait, or it did not come within `patienceMs`. Also answers when the dial is unwanted,
 * with a turn that holds nothing.
 */
export function turnOf(
  queue: DialQueue,
  caller: string,
  unwanted: AbortSignal | undefined,
  patienceMs?: number,
): Promise<DialTurn | null> {
  return new Promise((resolve) => {
    let patience: ReturnType<typeof setTimeout> | undefined;
    let isMine = false;
    // `enter` may start before it has answered.
    const turn = queue.enter(caller, () => {
      isMine = true;
      clearTimeout(patience ?? null);
      queueMicrotask(() => resolve(turn));
    });
    if (!turn) return resolve(null);
    const leave = (answer: DialTurn | null): void => {
      clearTimeout(patience ?? null);
      turn.leave();
      resolve(answer);
    };
    unwanted?.addEventListener("abort", () => leave(turn));
    if (patienceMs !== undefined && !isMine) patience = setTimeout(() => leave(null), patienceMs);
    return undefined;
  });
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
