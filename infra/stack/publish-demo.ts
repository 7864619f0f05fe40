/** Brings the demo images to the local server: first each as it is built, then the traces of their boots. */
import { join } from "node:path";
import { tracePath } from "#protocol/store-api.ts";
import { publishToken } from "../cli/server.ts";
import { runLong } from "../host/exec.ts";
import type { ImageRecord, ImageStore } from "../store/image-store.ts";
import { Publisher } from "../store/publisher.ts";
import type { ImageSupply, Say } from "./demo-images.ts";

const recorder = join(import.meta.dirname, "record-trace.ts");

/** Rows for what is not there yet, so that people see what will come. */
async function announce(publisher: Publisher, supply: ImageSupply): Promise<void> {
  for (const { slug, name, description } of supply.expected)
    if (!(await publisher.find(slug)))
      await publisher.image({ slug, name, description, state: "building", definition: null });
}

/** Each image as soon as it is there; `onImage` hears of it when people can start it. */
export async function publishDemo(
  url: string,
  supply: ImageSupply,
  say: Say,
  onImage: (record: ImageRecord) => void,
): Promise<ImageRecord[]> {
  const publisher = new Publisher(url, publishToken(url));
  await announce(publisher, supply);
  const records: ImageRecord[] = [];
  for await (const record of supply.images()) {
    let shown = 0;
    await publisher.record(supply.store, record, ({ sentChunks, missingChunks }) => {
      const tenth = Math.floor((10 * sentChunks) / missingChunks);
      if (tenth > shown && missingChunks > 300) say(`${record.slug}: published ${tenth * 10} %`);
      shown = tenth;
    });
    records.push(record);
    onImage(record);
  }
  return records;
}

/** Records the traces that are missing and gives the server those that it does not have. What fails here only costs speed. */
export async function publishTraces(
  url: string,
  store: ImageStore,
  records: readonly ImageRecord[],
  say: Say,
): Promise<void> {
  const publisher = new Publisher(url, publishToken(url));
  for (const { slug, definition } of records) {
    const disk = definition.disks[0];
    if (disk?.kind !== "chunked") continue;
    for (const { id } of definition.boot) {
      try {
        if (store.trace(disk.manifest, id) === null)
          await runLong("nice", ["-n", "19", process.execPath, recorder, store.directory, slug, id]);
        const trace = store.trace(disk.manifest, id);
        const known = await fetch(url + tracePath(disk.manifest, id));
        await known.body?.cancel();
        if (trace !== null && !known.ok) await publisher.trace(disk.manifest, id, trace);
      } catch (error) {
        say(
          `${slug}: no trace of ${id} was recorded (${error instanceof Error ? error.message.trim().split("\n").at(-1) : "unknown"})`,
        );
      }
    }
  }
}
