/**
 * `node record-trace.ts <store> <slug> <boot>`: starts an image without a screen and writes down which chunks it touched, in
 * which order, so that everybody's first boot prefetches them. A process of its own, to be run at low priority.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { encodeTrace } from "../../emulator/storage/traces.ts";
import { DiskRoom, withForgottenChanges } from "../headless/disks.ts";
import { startNodeMachine } from "../headless/node-machine.ts";
import { SerialDialogue } from "../headless/serial-dialogue.ts";
import { ImageStore } from "../store/image-store.ts";

/** What a machine does right after its prompt belongs to the boot. */
const AFTERWARDS_MS = 1500;
const GIVE_UP_MS = 300_000;
/** Guest time passes by instructions, so that a slow host records the same. */
const NS_PER_INSTRUCTION = 5;

export async function recordTrace(store: ImageStore, slug: string, bootId: string): Promise<number> {
  const record = store.latest(slug);
  const boot = record?.definition.boot.find(({ id }) => id === bootId);
  const disk = record?.definition.disks[0];
  if (!record || !boot || disk?.kind !== "chunked")
    throw new Error(`${slug} has no boot entry ${bootId}, or no disk of chunks`);
  const room = new DiskRoom(store);
  const base = await room.openChunked(disk.manifest);
  const dialogue = new SerialDialogue(() => {});
  const initrd = boot.initrd && (await room.readWhole(boot.initrd));
  const machine = await startNodeMachine({
    boot,
    kernel: await room.readWhole(boot.kernel),
    ...(initrd ? { initrd } : {}),
    memoryMiB: record.definition.memoryMiB,
    disks: [await withForgottenChanges(base)],
    onSerial: (bytes) => dialogue.hear(bytes),
    nsPerInstruction: NS_PER_INSTRUCTION,
  });
  const isReady = await Promise.race([
    dialogue.prompt(record.definition.ready).then(() => true),
    Promise.race([machine.done, sleep(GIVE_UP_MS, undefined, { ref: false })]).then(() => false),
  ]);
  if (isReady) await sleep(AFTERWARDS_MS);
  machine.powerOff();
  room.close();
  if (!isReady) throw new Error(`${slug} did not come to its prompt:\n${dialogue.transcript.slice(-1000)}`);
  const { touches } = base.readAhead;
  store.saveTrace(disk.manifest, boot.id, new TextDecoder().decode(encodeTrace(touches)));
  return touches.length;
}

if (import.meta.main) {
  const [directory = "", slug = "", boot = ""] = process.argv.slice(2);
  await recordTrace(new ImageStore(directory), slug, boot);
}
