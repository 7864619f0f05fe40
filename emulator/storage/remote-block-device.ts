import { fail, ok, type Outcome } from "../protocol/failure.ts";
import type { DiskReply, DiskRequest } from "../protocol/storage-messages.ts";
import type { BlockDevice } from "./block-device.ts";

/** The machine's end of a disk port, or what stands for one in tests. */
export interface RemotePort {
  onmessage: ((event: MessageEvent<DiskReply>) => void) | null;
  postMessage(request: DiskRequest, transfer: Transferable[]): void;
}

type Answer = Outcome<{ readonly bytes?: Uint8Array }>;
/** A request before it has its number; distributed, so that each case keeps its own fields. */
type Unnumbered = DiskRequest extends infer Case
  ? Case extends DiskRequest
    ? Omit<Case, "id">
    : never
  : never;

/** A disk that the storage worker serves over a port (storage-messages.ts). Answers may come in any order. */
export class RemoteBlockDevice implements BlockDevice {
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  readonly #port: RemotePort;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #lastId = 0;

  constructor(port: RemotePort, sizeBytes: number, readOnly: boolean) {
    this.#port = port;
    this.sizeBytes = sizeBytes;
    this.readOnly = readOnly;
    port.onmessage = ({ data }) => {
      this.#waiting.get(data.id)?.(data.outcome);
      this.#waiting.delete(data.id);
    };
  }

  async read(offset: number, length: number): Promise<Outcome<Uint8Array>> {
    const answer = await this.#ask({ type: "read", offset, length });
    if (!answer.ok) return answer;
    const { bytes } = answer.value;
    return bytes ? ok(bytes) : fail({ code: "internal", incident: "a read was answered without bytes" });
  }

  /** A copy of `bytes` is handed over: a write that fails is asked again with the same bytes. */
  write(offset: number, bytes: Uint8Array): Promise<Outcome<null>> {
    const copy = Uint8Array.from(bytes);
    return this.#done({ type: "write", offset, bytes: copy }, [copy.buffer]);
  }
  flush(): Promise<Outcome<null>> {
    return this.#done({ type: "flush" });
  }
  discard(offset: number, length: number): Promise<Outcome<null>> {
    return this.#done({ type: "discard", offset, length });
  }

  async #done(request: Unnumbered, transfer: Transferable[] = []): Promise<Outcome<null>> {
    const answer = await this.#ask(request, transfer);
    return answer.ok ? ok(null) : answer;
  }

  #ask(request: Unnumbered, transfer: Transferable[] = []): Promise<Answer> {
    const id = ++this.#lastId;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      this.#port.postMessage({ ...request, id }, transfer);
    });
  }
}

const PIECE_BYTES = 1 << 20;
const PIECES_IN_FLIGHT = 4;

/** Reads a whole file, several pieces at a time, and says how far it is. */
export async function readWhole(
  device: BlockDevice,
  onProgress: (doneBytes: number) => void,
): Promise<Outcome<Uint8Array>> {
  const bytes = new Uint8Array(device.sizeBytes);
  let next = 0;
  let done = 0;
  const reader = async (): Promise<Outcome<null>> => {
    while (next < bytes.length) {
      const offset = next;
      const length = Math.min(PIECE_BYTES, bytes.length - offset);
      next += length;
      const piece = await device.read(offset, length);
      if (!piece.ok) return piece;
      if (piece.value.length !== length) return fail({ code: "corrupt", what: "a boot file" });
      bytes.set(piece.value, offset);
      onProgress((done += length));
    }
    return ok(null);
  };
  const outcomes = await Promise.all(Array.from({ length: PIECES_IN_FLIGHT }, reader));
  return outcomes.find((outcome) => !outcome.ok) ?? ok(bytes);
}
