import { onCleanup, onMount } from "solid-js";
import type { Touch, TouchKind } from "#protocol/storage-messages";

const ROW_MS = 250;
const ROWS = 24;
/** When nothing has fallen for so many rows, the rest falls in steps of so many rows: a frame costs more than it shows. */
const QUIET_ROWS = 4;

const colourNames: { readonly [Kind in TouchKind]: string } = {
  fetched: "--from-network",
  ahead: "--from-prefetch",
  cached: "--from-cache",
  written: "--to-overlay",
  failed: "--failed",
};

export interface RainHandle {
  fall(touches: readonly Touch[]): void;
}

/**
 * A picture of the disk at work: across is the place on the disk, down is time, colour is where the bytes came from.
 * Drops fade as they fall, so an idle disk is an empty sky, and then nothing is drawn at all.
 */
export function Rain(props: { onReady(handle: RainHandle): void }) {
  let canvas!: HTMLCanvasElement;
  onMount(() => {
    const rows: Touch[][] = [];
    const calm = matchMedia("(prefers-reduced-motion: reduce)");
    let timer: ReturnType<typeof setInterval> | undefined;
    let steps = 0;
    const step = () => {
      rows.unshift([]);
      if (rows.length > ROWS) rows.pop();
      steps = (steps + 1) % QUIET_ROWS;
      if (steps === 0 || rows.slice(0, QUIET_ROWS).some((row) => row.length > 0)) draw(canvas, rows);
      if (rows.every((row) => row.length === 0)) {
        clearInterval(timer);
        timer = undefined;
        draw(canvas, rows);
      }
    };
    props.onReady({
      fall(touches) {
        if (touches.length === 0 || calm.matches || document.hidden) return;
        rows[0] = [...(rows[0] ?? []), ...touches].slice(-2000);
        timer ??= setInterval(step, ROW_MS);
      },
    });
    onCleanup(() => clearInterval(timer));
  });
  return <canvas ref={canvas} aria-hidden="true" />;
}

/** A canvas that is given a size is made anew, so only when the page has changed it; otherwise it is wiped. */
function clear(canvas: HTMLCanvasElement, paint: CanvasRenderingContext2D): void {
  const width = Math.round(canvas.clientWidth * devicePixelRatio);
  const height = Math.round(canvas.clientHeight * devicePixelRatio);
  if (canvas.width === width && canvas.height === height) return paint.clearRect(0, 0, width, height);
  canvas.width = width;
  canvas.height = height;
  return undefined;
}

function draw(canvas: HTMLCanvasElement, rows: readonly (readonly Touch[])[]): void {
  const paint = canvas.getContext("2d");
  if (!paint) return;
  clear(canvas, paint);
  const style = getComputedStyle(canvas);
  const drop = { width: 2 * devicePixelRatio, height: 7 * devicePixelRatio, row: canvas.height / ROWS };
  for (const [age, touches] of rows.entries()) {
    paint.globalAlpha = (1 - age / ROWS) ** 1.4;
    for (const { position, kind } of touches) {
      paint.fillStyle = style.getPropertyValue(colourNames[kind]);
      paint.fillRect(
        Math.round(position * (canvas.width - drop.width)),
        age * drop.row,
        drop.width,
        drop.height,
      );
    }
  }
}
