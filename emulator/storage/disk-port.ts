import { type Outcome, fail } from "../protocol/failure.ts";
import type { DiskReply, DiskRequest } from "../protocol/storage-messages.ts";
import type { BlockDevice } from "./block-device.ts";

/** A port, or what stands for one in tests. */
export interface DiskPort {
  onmessage: ((event: MessageEvent<DiskRequest>) => void) | null;
  postMessage(reply: DiskReply, transfer: Transferable[]): void;
}

/** Answers the requests of a machine from a device. They run at once; the device keeps writes and flushes in order. */
export function serveDisk(
  port: DiskPort,
  device: BlockDevice,
  onChange: (offset: number) => void = () => {},
): void {
  const reply = <T>(id: number, outcome: Outcome<T>): void =>
    port.postMessage({ id, outcome: outcome.ok ? { ok: true, value: {} } : outcome }, []);
  const serve = async (request: DiskRequest): Promise<void> => {
    const { id } = request;
    switch (request.type) {
      case "read": {
        const outcome = await device.read(request.offset, request.length);
        if (!outcome.ok) return reply(id, outcome);
        const bytes = outcome.value;
        return port.postMessage({ id, outcome: { ok: true, value: { bytes } } }, [bytes.buffer]);
      }
      case "write":
        reply(id, await device.write(request.offset, request.bytes));
        return onChange(request.offset);
      case "flush":
        return reply(id, await device.flush());
      case "discard":
        reply(id, await device.discard(request.offset, request.length));
        return onChange(request.offset);
      default:
        return request satisfies never;
    }
  };
  port.onmessage = ({ data }) => {
    serve(data).catch((error: unknown) =>
      reply(data.id, fail({ code: "internal", incident: String(error) })),
    );
  };
}
