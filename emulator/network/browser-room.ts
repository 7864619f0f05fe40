import { MAX_FRAME_BYTES } from "../protocol/frame-ring.ts";
import type { Room } from "./network-service.ts";

/**
 * Machines in several tabs of one browser on one LAN: every frame goes to all of them over a BroadcastChannel, and each
 * tab's switch keeps what is for its machine. One of the tabs, the holder of a lock, serves the room's gateway; when it
 * closes, the browser gives the lock to another.
 */
export function joinBrowserRoom(name: string, hear: (frame: Uint8Array) => void): Room {
  const channel = new BroadcastChannel(`virga-lan-${name}`);
  const leave = new AbortController();
  let release = (): void => {};
  channel.onmessage = ({ data }: MessageEvent<unknown>) => {
    if (data instanceof Uint8Array && data.length <= MAX_FRAME_BYTES) hear(data);
  };
  return {
    // A message takes the whole buffer along, and a frame may be a view of sixty-four kilobytes.
    send: (frame) => channel.postMessage(frame.slice()),
    whenGateway(tell) {
      const held = new Promise<void>((resolve) => {
        release = resolve;
      });
      const asked = navigator.locks.request(`virga-lan-${name}`, { signal: leave.signal }, () => {
        tell();
        return held;
      });
      asked.catch((problem: unknown) => {
        if (!leave.signal.aborted) console.error("network:", problem);
      });
    },
    close() {
      leave.abort();
      release();
      channel.close();
    },
  };
}
