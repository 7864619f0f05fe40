import { existsSync } from "node:fs";
import { expect, onTestFailed } from "vitest";
import { openFrameLink, sharedLinkEnds, type FrameLink } from "#protocol/frame-link";
import type { Cidr } from "../../durable-objects/policy/cidr.ts";
import type { Headless } from "../../emulator/machine/headless.ts";
import { DiskRoom, withForgottenChanges } from "../../infra/headless/disks.ts";
import { NodeNetwork } from "../../infra/headless/node-network.ts";
import { startNodeMachine } from "../../infra/headless/node-machine.ts";
import { SerialDialogue } from "../../infra/headless/serial-dialogue.ts";
import { cacheDirectory, ImageStore, type ImageRecord } from "../../infra/store/image-store.ts";

/** Demo images with a network card, as `virga run` starts them. */
const store = existsSync(cacheDirectory()) ? new ImageStore() : undefined;

export const builtImage = (slug: "tiny" | "debian"): ImageRecord | null =>
  existsSync("build/wasm/cpu.wasm") ? (store?.latest(slug) ?? null) : null;

export interface Guest {
  readonly machine: Headless;
  readonly dialogue: SerialDialogue;
  /** Runs a command that must succeed and answers what it printed. */
  say(command: string): Promise<string>;
  /** Tries until it succeeds; the guest's own clock decides when it is enough. */
  insist(command: string): Promise<string>;
  close(): Promise<void>;
}

/** Boots an image to its prompt. */
export async function networkGuest(image: ImageRecord, link: FrameLink, number = 1): Promise<Guest> {
  if (!store) throw new Error("no images");
  const { definition } = image;
  const boot = definition.boot[0]!;
  const room = new DiskRoom({ chunks: store.chunks, manifests: store.manifests });
  const dialogue = new SerialDialogue((bytes) => machine.sendSerial(bytes));
  const [disk] = definition.disks;
  if (disk?.kind !== "chunked") throw new Error("the image has chunks");
  const machine = await startNodeMachine({
    boot,
    kernel: await room.readWhole(boot.kernel),
    ...(boot.initrd && { initrd: await room.readWhole(boot.initrd) }),
    memoryMiB: definition.memoryMiB,
    disks: [await withForgottenChanges(await room.openChunked(disk.manifest))],
    nics: [{ model: "virtio-net", mac: Uint8Array.of(0x52, 0x54, 0, 0, 0, number), link }],
    onSerial: (bytes) => dialogue.hear(bytes),
  });
  await dialogue.prompt(definition.ready);
  const say = async (command: string): Promise<string> => {
    onTestFailed(() => console.log(dialogue.transcript.slice(-3000)));
    const { output, exitCode } = await dialogue.run(command);
    expect(exitCode, `${command}: ${output}`).toBe(0);
    return output;
  };
  return {
    machine,
    dialogue,
    say,
    insist: (command) => say(`for i in $(seq 60); do (${command}) && exit 0; sleep 0.5; done; exit 1`),
    async close() {
      machine.powerOff();
      await machine.done;
      room.close();
    },
  };
}

/** The stack in this process behind a wire; the other end is for a machine. */
export function internet(allow: readonly Cidr[]): { network: NodeNetwork; machineEnd: FrameLink } {
  const [mine, theirs] = sharedLinkEnds();
  return {
    network: new NodeNetwork({ link: openFrameLink(mine), allow }),
    machineEnd: openFrameLink(theirs),
  };
}
