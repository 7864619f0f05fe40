import { parentPort, workerData } from "node:worker_threads";
import { openFrameLink, type FrameLinkEnd } from "../../emulator/protocol/frame-link.ts";

/** Sends back every frame that comes; sleeps on the link whenever there is nothing to take or no room to send. */
const link = openFrameLink(workerData as FrameLinkEnd);
let waiting: Uint8Array | null = null;
function pump(): void {
  for (waiting ??= link.receive(); waiting; waiting = link.receive()) if (!link.send(waiting)) return;
}
link.listen(pump);
pump();
/** Keeps the thread alive: a wait on shared memory does not. */
parentPort?.on("message", () => {});
