import type { Failure } from "#protocol/failure";
import type { DiskDefinition } from "#protocol/machine-definition";
import type { StorageCommand, StorageNotice } from "#protocol/storage-messages";

/** Work on a disk while no machine uses it, in a storage worker of its own that ends with the work. */
function withStorage<T>(work: (worker: Worker) => Promise<T>): Promise<T> {
  const worker = new Worker(new URL("../../emulator/storage-worker.ts", import.meta.url), {
    type: "module",
    name: "storage",
  });
  return work(worker).finally(() => worker.terminate());
}

/** Forgets what was changed on a disk; the failure, if it cannot. */
export const forgetChanges = (disk: string): Promise<Failure | undefined> =>
  withStorage(
    (worker) =>
      new Promise((resolve) => {
        worker.onmessage = ({ data }: MessageEvent<StorageNotice>) => {
          if (data.type === "overlay-reset" && data.disk === disk)
            resolve(data.outcome.ok ? undefined : data.outcome.failure);
        };
        worker.postMessage({ type: "reset-overlay", disk } satisfies StorageCommand);
      }),
  );

/** The pieces of the whole disk, your changes included, in order. Pieces that are only zeros are sent too. */
function pieces(
  worker: Worker,
  disk: string,
  source: DiskDefinition,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const { port1, port2 } = new MessageChannel();
  return new ReadableStream({
    start(controller) {
      port1.onmessage = ({ data }: MessageEvent<Uint8Array<ArrayBuffer> | null | Failure>) => {
        if (data === null) controller.close();
        else if (data instanceof Uint8Array) controller.enqueue(data);
        else controller.error(data);
      };
      worker.onmessage = ({ data }: MessageEvent<StorageNotice>) => {
        if (data.type === "open-failed") controller.error(data.failure);
      };
      const command: StorageCommand = { type: "export", disk, source, port: port2 };
      worker.postMessage(command, [port2]);
    },
    // A piece for every wish, so that a slow disk does not fill memory.
    pull() {
      port1.postMessage("next");
    },
    cancel() {
      port1.close();
    },
  });
}

type SavePicker = (options: { suggestedName: string }) => Promise<FileSystemFileHandle>;
const savePicker = (): SavePicker | undefined =>
  (globalThis as { showSaveFilePicker?: SavePicker }).showSaveFilePicker;

/**
 * Saves the disk as a raw file and reports how many bytes are written. Where the browser can write to a file that the
 * person chose, nothing is held in memory; elsewhere the whole file is collected first.
 */
export const exportDisk = (
  disk: string,
  source: DiskDefinition,
  onProgress: (writtenBytes: number) => void,
): Promise<void> =>
  withStorage(async (worker) => {
    const suggestedName = `${disk.replaceAll("/", "-")}.img`;
    let written = 0;
    const counted = (stream: ReadableStream<Uint8Array<ArrayBuffer>>) =>
      stream.pipeThrough(
        new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
          transform(piece, controller) {
            controller.enqueue(piece);
            onProgress((written += piece.length));
          },
        }),
      );
    const pick = savePicker();
    if (pick) {
      const file = await pick.call(globalThis, { suggestedName });
      return counted(pieces(worker, disk, source)).pipeTo(await file.createWritable());
    }
    const blob = await new Response(counted(pieces(worker, disk, source))).blob();
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = suggestedName;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  });
